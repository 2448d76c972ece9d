//! The kernel does the same with either lock: every task takes every step once, and every sleep ends.

use example_tiny_kernel::{after, before};

#[test]
fn before() {
    let summary = before::kernel::run();
    assert_eq!(
        summary.steps,
        [before::kernel::STEPS; before::kernel::TASKS]
    );
    // 200 steps, every fifth but the last of which ends with a sleep.
    assert_eq!(summary.wake_ups, 39 * before::kernel::TASKS as u32);
}

#[test]
fn after() {
    let summary = after::kernel::run();
    assert_eq!(summary.steps, [after::kernel::STEPS; after::kernel::TASKS]);
    assert_eq!(summary.wake_ups, 39 * after::kernel::TASKS as u32);
}
