//! A trace by hand becomes the scene that it should.

use crate::samples;
use crate::scene::{Doing, Place, Scene, Span};

fn states(scene: &Scene, vcpu: usize) -> Vec<(u64, Doing, bool)> {
    let state = |span: &Span| (span.from_ns / 1_000, span.doing, span.place.runs());
    scene.lanes[vcpu].spans.iter().map(state).collect()
}

#[test]
fn spans_follow_the_events() {
    use Doing::{Holds, Outside, Waits};
    let scene = samples::scene();
    // Every vCPU starts off its pCPU at the first event, at which two are put on one.
    assert_eq!(
        states(&scene, 0),
        [
            (1, Outside, true),
            (2, Holds, true),
            (4, Holds, false),
            (20, Holds, true),
            (22, Outside, true),
            (40, Outside, false),
        ]
    );
    assert_eq!(
        states(&scene, 1),
        [
            (1, Outside, false),
            (4, Outside, true),
            (5, Waits, true),
            (20, Waits, false),
            (40, Waits, true),
            (41, Holds, true),
            (44, Outside, true),
        ]
    );
    for lane in &scene.lanes {
        let joined = lane
            .spans
            .windows(2)
            .all(|two| two[0].to_ns == two[1].from_ns);
        assert!(joined, "{lane:?}");
    }
    assert_eq!(scene.locks, 1);
}

#[test]
fn calls_know_which_vcpu_they_put_on_a_pcpu() {
    let calls = samples::scene().calls;
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].named, calls[0].ran), (Some(0), Some((0, 20_000))));
    assert_eq!((calls[1].named, calls[1].ran), (Some(1), None));
}

#[test]
fn stays_and_levels_add_up() {
    let scene = samples::scene();
    let on_0: Vec<_> = (scene.stays[0].iter())
        .map(|stay| (stay.from_ns / 1_000, stay.to_ns / 1_000, stay.vcpu))
        .collect();
    assert_eq!(on_0, [(1, 4, 0), (4, 20, 1), (20, 40, 0), (40, 46, 1)]);
    let waiting: Vec<_> = (scene.waiting[0].iter())
        .map(|level| (level.at_ns / 1_000, level.count))
        .collect();
    assert_eq!(waiting, [(5, 1), (6, 2), (41, 1), (45, 0)]);
    // One of three never has a pCPU.
    assert_eq!(scene.runnable.last().map(|level| level.count), Some(1));
}

#[test]
fn what_was_dropped_is_not_drawn() {
    let mut trace = samples::trace();
    trace.events.retain(|event| event.at_ns >= 20_000);
    (trace.dropped, trace.complete_from_ns) = (8, 20_000);
    let scene = Scene::replay(&trace, 2, &[3]);
    assert_eq!((scene.from_ns, scene.dropped), (20_000, 8));
    let first = scene.lanes[2].spans[0];
    assert_eq!((first.from_ns, first.place), (20_000, Place::Unknown));
}
