use super::*;

#[test]
fn only_who_waited_and_was_away_was_absent() {
    let section = |joined, entered| Section {
        class: 0,
        called: 10,
        joined,
        entered,
        holding: 90,
        releasing: 100,
        waited_inside_ns: 0,
        handed_over: 50,
        preemptions: 0,
        inside_ns: 10,
        since: 1,
    };
    assert!(section(20, 80).was_handed_to_absent());
    assert!(!section(20, 40).was_handed_to_absent(), "it ran in time");
    assert!(!section(60, 80).was_handed_to_absent(), "it came later");
}
