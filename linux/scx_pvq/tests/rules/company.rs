//! When companions are needed.

use crate::c::CLook;

const MS: u64 = 1_000_000;

#[test]
fn they_are_needed_if_tasks_were_queued_for_half_of_the_time() {
    let mut look = CLook::default();
    assert!(!look.is_crowded(1000 * MS, 400 * MS), "of a second");
    assert!(!look.is_crowded(1020 * MS, 409 * MS));
    assert!(look.is_crowded(1040 * MS, 419 * MS));
    assert!(look.is_crowded(1100 * MS, 479 * MS));
    assert!(!look.is_crowded(9000 * MS, 2479 * MS), "after a pause");
}

#[test]
fn less_than_twenty_milliseconds_are_not_looked_at() {
    let mut look = CLook::default();
    look.is_crowded(1000 * MS, 0);
    for passed in 1..20 {
        assert!(!look.is_crowded((1000 + passed) * MS, passed * MS));
    }
    assert!(look.is_crowded(1020 * MS, 20 * MS), "and none is lost");
    // Another CPU's clock is a little behind.
    assert!(!look.is_crowded(1019 * MS, 20 * MS));
    assert!(look.is_crowded(1040 * MS, 40 * MS));
}
