//! A waiter leaves the middle of the queue while others join it.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pvqspin::{Bounded, Format, Idx3, Point, QSpinLock, SpareBit, Tail};

use crate::host::{
    AllPreempted, Host, Model, NoneLends, Reached, Refuses, all_nodes_are_given_back, become_cpu,
    begin, numbered, reached,
};
use crate::{Shared, contend, extra_preemptions};

/// Behind a holder stands a queue of three, and only then it releases. The first and the last are off
/// their pCPUs until the one in the middle has taken the lock past the first: it leaves the queue
/// while another is behind it: linked (`LATE` is `Linked`), about to link itself (`Joined`), or only
/// about to join (`Joining`).
fn explore<H: Host, W: Format, const LATE: u8>() -> Reached {
    const WAITERS: usize = 3;
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(extra_preemptions());
    model.max_branches = 100_000;
    model.check(|| {
        begin();
        let shared = Arc::new(Shared::<Model<H, LATE>, Bounded<1_000>, W> {
            lock: QSpinLock::new(),
            count: UnsafeCell::new(0),
        });
        become_cpu(0);
        let token = shared.lock.lock();
        let waiters: Vec<_> = (1..=WAITERS)
            .map(|cpu| {
                let joins = Arc::clone(&shared);
                let waiter = thread::spawn(move || contend(&*joins, cpu, 1));
                let joins_late = cpu == WAITERS && LATE == Point::Joining as u8;
                let joined = Tail::Waiter(numbered(cpu), 0);
                while !joins_late && W::tail(shared.lock.raw_word()) != joined {
                    thread::yield_now();
                }
                waiter
            })
            .collect();
        // SAFETY: the token is from above.
        unsafe { shared.lock.unlock(token) };
        for waiter in waiters {
            waiter.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:#010x}", shared.lock.raw_word());
        // SAFETY: all other threads have ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, WAITERS));
        all_nodes_are_given_back();
    });
    reached()
}

#[test]
fn the_middle_leaves() {
    explore::<AllPreempted, Idx3, { Point::Linked as u8 }>();
}

#[test]
fn the_middle_leaves_bit() {
    explore::<AllPreempted, SpareBit, { Point::Linked as u8 }>();
}

#[test]
fn the_middle_leaves_while_somebody_links() {
    explore::<AllPreempted, Idx3, { Point::Joined as u8 }>();
}

#[test]
fn the_middle_leaves_while_somebody_joins() {
    explore::<NoneLends, Idx3, { Point::Joining as u8 }>();
}

/// The head is too old to be passed over, and the host does not run it when asked.
#[test]
fn the_middle_leaves_when_the_head_is_refused() {
    let reached = explore::<Refuses<0>, Idx3, { Point::Linked as u8 }>();
    assert!(reached.taken_when_refused > 0, "{reached:?}");
}
