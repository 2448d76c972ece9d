//! The pairs of accesses whose order matters, one litmus test each, with loom.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p pvqspin --test litmus
//! ```
//!
//! `docs/memory-ordering.md` has the argument and the code of each. Every test is there twice: with
//! the orderings of the lock, and weakened, which loom must find (or it could not have found it). The
//! whole lock under loom is in `loom.rs`; these say *which* ordering is needed, and for what.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};
use loom::thread;

/// Runs two CPUs at once, and then `after`. `S` is what they share.
fn two_cpus<S: Send + Sync + 'static, A: Send + 'static, B: 'static>(
    shared: impl Fn() -> S + Send + Sync + 'static,
    first: fn(&S) -> A,
    second: fn(&S) -> B,
    after: fn(&S, A, B),
) {
    loom::model(move || {
        let shared = Arc::new(shared());
        let theirs = Arc::clone(&shared);
        let other = thread::spawn(move || first(&theirs));
        let b = second(&shared);
        let a = other.join().expect("no panics");
        after(&shared, a, b);
    });
}

const WAITING: u32 = 0;
const HALTED: u32 = 1;
const HEAD: u32 = 2;

// --- the own state against the look at it before halting ---------------------------------------

/// One location decides, so that no ordering is needed.
#[test]
fn a_waiter_halts_or_is_promoted_awake() {
    two_cpus(
        || AtomicU32::new(WAITING),
        |state| {
            state
                .compare_exchange(WAITING, HALTED, Relaxed, Relaxed)
                .is_ok()
        },
        |state| state.swap(HEAD, Release),
        |_, halts, was| assert_eq!(halts, was == HALTED, "a halt that never ends"),
    );
}

/// With one location for each side, as in Linux, both may miss the other without a full barrier.
#[test]
#[should_panic(expected = "a halt that never ends")]
fn two_locations_without_a_barrier_lose_the_wake_up() {
    two_cpus(
        || (AtomicU32::new(0), AtomicU32::new(0)),
        |(halted, promoted)| {
            halted.store(1, Release);
            promoted.load(Acquire) == 0
        },
        |(halted, promoted)| {
            promoted.store(1, Release);
            halted.load(Acquire) == 1
        },
        |_, halts, kicks| assert!(!halts || kicks, "a halt that never ends"),
    );
}

// --- the release against the wish of the head ---------------------------------------------------

const LOCKED: u32 = 1;
const PENDING: u32 = 1 << 8;

#[test]
fn a_wish_is_in_the_word_before_the_release_or_not_at_all() {
    two_cpus(
        || AtomicU32::new(LOCKED),
        |word| {
            word.compare_exchange(LOCKED, LOCKED | PENDING, Relaxed, Relaxed)
                .is_ok()
        },
        |word| word.fetch_and(!(LOCKED | PENDING), Release) & PENDING != 0,
        |_, halts, kicks| assert_eq!(halts, kicks, "a head that is not woken"),
    );
}

/// The wish looked at first, then the release: what `kick_before_release` does.
#[test]
#[should_panic(expected = "a head that is not woken")]
fn a_wish_that_is_read_before_the_release_is_lost() {
    two_cpus(
        || AtomicU32::new(LOCKED),
        |word| {
            word.compare_exchange(LOCKED, LOCKED | PENDING, Relaxed, Relaxed)
                .is_ok()
        },
        |word| {
            let wished = word.load(Acquire) & PENDING != 0;
            word.fetch_and(!(LOCKED | PENDING), Release);
            wished
        },
        |_, halts, kicks| assert!(!halts || kicks, "a head that is not woken"),
    );
}

// --- what is published through another location ------------------------------------------------

/// One CPU writes something plain and publishes it; another sees that, and reads it.
struct Published {
    flag: AtomicU32,
    plain: UnsafeCell<u32>,
}

fn publish(store: fn(&AtomicU32), load: fn(&AtomicU32) -> bool) {
    loom::model(move || {
        let shared = Arc::new(Published {
            flag: AtomicU32::new(0),
            plain: UnsafeCell::new(0),
        });
        let theirs = Arc::clone(&shared);
        let writer = thread::spawn(move || {
            // SAFETY: no thread looks before the flag is set; loom checks it.
            theirs.plain.with_mut(|plain| unsafe { *plain = 1 });
            store(&theirs.flag);
        });
        if load(&shared.flag) {
            // SAFETY: the writer is done with it; loom checks it.
            shared.plain.with(|plain| assert_eq!(unsafe { *plain }, 1));
        }
        writer.join().expect("no panics");
    });
}

fn swap_tail(flag: &AtomicU32, ordering: Ordering) -> bool {
    let seen = flag.load(Relaxed);
    flag.compare_exchange(seen, 2, ordering, Relaxed).is_ok() && seen == 1
}

/// The tail exchange: who queues behind finds an initialised node.
#[test]
fn the_tail_publishes_the_node() {
    publish(
        |tail| {
            let _ = tail.compare_exchange(0, 1, AcqRel, Relaxed);
        },
        |tail| swap_tail(tail, AcqRel),
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_tail_publishes_nothing() {
    publish(
        |tail| {
            let _ = tail.compare_exchange(0, 1, Relaxed, Relaxed);
        },
        |tail| swap_tail(tail, AcqRel),
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn who_joins_without_acquiring_sees_nothing() {
    publish(
        |tail| {
            let _ = tail.compare_exchange(0, 1, AcqRel, Relaxed);
        },
        |tail| swap_tail(tail, Release),
    );
}

/// The link: the promoter finds the waiter's node as that one left it.
#[test]
fn the_link_publishes_the_node() {
    publish(
        |next| next.store(1, Release),
        |next| next.load(Acquire) == 1,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_link_publishes_nothing() {
    publish(
        |next| next.store(1, Relaxed),
        |next| next.load(Acquire) == 1,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_link_that_is_not_acquired_shows_nothing() {
    publish(
        |next| next.store(1, Release),
        |next| next.load(Relaxed) == 1,
    );
}

/// The promotion: who is made the head sees the links as the promoter left them.
#[test]
fn the_promotion_publishes_the_links() {
    publish(
        |state| {
            state.swap(HEAD, Release);
        },
        |state| state.load(Acquire) == HEAD,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_promotion_publishes_nothing() {
    publish(
        |state| {
            state.swap(HEAD, Relaxed);
        },
        |state| state.load(Acquire) == HEAD,
    );
}

/// The release: the next holder sees what the last one did, also with a waiter's exchange between.
#[test]
fn the_release_publishes_the_section() {
    publish(
        |word| {
            word.fetch_or(LOCKED, Relaxed);
            word.fetch_and(!LOCKED, Release);
            // A waiter joins with a read-modify-write, which carries the release on.
            word.fetch_or(4, Relaxed);
        },
        |word| word.compare_exchange(4, 5, Acquire, Relaxed).is_ok(),
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_relaxed_release_publishes_nothing() {
    publish(
        |word| {
            word.fetch_and(!LOCKED, Relaxed);
            word.fetch_or(4, Relaxed);
        },
        |word| word.compare_exchange(4, 5, Acquire, Relaxed).is_ok(),
    );
}

// --- the edge against the run state -------------------------------------------------------------

/// Which CPU it waits for, then that it was preempted: `VcpuPage::set_waiting_for`, then the host's
/// `set_run` on the same pCPU. True if a thread sees the second without the first.
fn preempted_without_its_edge(publish: Ordering, look: Ordering) {
    loom::model(move || {
        let page = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let theirs = Arc::clone(&page);
        let host = thread::spawn(move || {
            theirs.0.store(7, Relaxed);
            theirs.1.store(1, publish);
        });
        if page.1.load(look) == 1 {
            assert_eq!(
                page.0.load(Relaxed),
                7,
                "preempted, and its edge is not there"
            );
        }
        host.join().expect("no panics");
    });
}

#[test]
fn who_sees_it_preempted_sees_its_edge() {
    preempted_without_its_edge(Release, Acquire);
}

#[test]
#[should_panic(expected = "its edge is not there")]
fn a_relaxed_run_state_hides_the_edge() {
    preempted_without_its_edge(Relaxed, Acquire);
}

#[test]
#[should_panic(expected = "its edge is not there")]
fn a_relaxed_look_misses_the_edge() {
    preempted_without_its_edge(Release, Relaxed);
}
