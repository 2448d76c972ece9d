use super::*;
use crate::samples;

#[test]
fn both_sides_are_drawn_to_one_scale() {
    let scene = samples::scene();
    let episodes = scene.episodes();
    let panel = |title| Panel {
        title,
        subtitle: "as the sample has it",
        scene: &scene,
        episode: &episodes[0],
    };
    let extent = Extent {
        before_ns: 3_000,
        after_ns: 42_000,
    };
    let picture = svg([panel("first"), panel("second")], "by hand", extent);
    assert_eq!(
        picture,
        svg([panel("first"), panel("second")], "by hand", extent)
    );
    for part in [
        "first",
        "second",
        "by hand",
        "class=\"stuck\"",
        "prefers-color-scheme",
    ] {
        assert!(picture.contains(part), "no {part} in {picture}");
    }
    // 16 of 45 µs.
    let width = (WIDTH - 2.0 * MARGIN - GAP) / 2.0 - NAMES;
    let stuck = format!("h{:.1}", width * 16.0 / 45.0);
    assert_eq!(picture.matches(&stuck).count(), 2, "{stuck}");
    assert_eq!(
        picture.matches("marker-end").count(),
        3,
        "two arrows and the key"
    );
    assert!(picture.contains("taken 2 times"), "{picture}");
}
