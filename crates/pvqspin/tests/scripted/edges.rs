//! Waits inside waits: edges that are put back, and nodes that run out.

use pvqspin::{Bounded, Event, Fifo, FifoHalt, Format, Idx3, Policy, SpareBit, Tail};

use crate::locks::{held_by, lock, unlock};
use crate::world::{WORLD, cpu, events, on, then, waits_for};

#[test]
fn a_head_whose_edge_was_undone_puts_it_back() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    // As the CPU that released the lock before it, and was preempted before the redirect.
    then(|| WORLD.with(|world| world.waiting_for[1].set(None)));
    then(move || {
        assert_eq!(waits_for(1), Some(0));
        release();
    });
    let token = on(1, || lock.lock());
    assert_eq!(waits_for(1), None);
    on(1, || unlock(lock, token));
}

#[test]
fn a_waiter_in_the_middle_whose_edge_was_undone_puts_it_back() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    then(move || {
        // 2 queues behind 1, which is spinning.
        then(|| WORLD.with(|world| world.waiting_for[2].set(None)));
        then(move || {
            assert_eq!(waits_for(2), Some(1));
            release();
            panic!("far enough");
        });
        let _ = on(2, || lock.lock());
    });
    let outcome = std::panic::catch_unwind(|| on(1, || lock.lock()));
    let why = outcome.expect_err("the script ends in the middle");
    assert_eq!(why.downcast_ref(), Some(&"far enough"));
}

#[test]
fn an_interrupted_wait_is_put_back() {
    let outer = lock::<Fifo, Idx3>();
    let inner = lock::<Fifo, Idx3>();
    let release_outer = held_by(0, outer);
    let release_inner = held_by(2, inner);
    then(move || {
        // An interrupt on CPU 1, in the middle of its wait for CPU 0.
        assert_eq!(waits_for(1), Some(0));
        then(move || {
            assert_eq!(waits_for(1), Some(2));
            release_inner();
        });
        let token = on(1, || inner.lock());
        on(1, || unlock(inner, token));
        assert_eq!(waits_for(1), Some(0), "the outer wait is back");
        release_outer();
    });
    let token = on(1, || outer.lock());
    on(1, || unlock(outer, token));
    assert_eq!(waits_for(1), None);
}

/// Waits for locks of CPU 0 in `levels` contexts of CPU 1, one interrupting the other. Returns
/// how often the fallback was taken.
fn nested<P: Policy, W: Format>(levels: usize) -> u64 {
    fn wait<P: Policy, W: Format>(levels: usize) {
        if levels == 0 {
            return;
        }
        let lock = lock::<P, W>();
        let release = held_by(0, lock);
        then(move || {
            wait::<P, W>(levels - 1);
            release();
        });
        let token = on(1, || lock.lock());
        if P::RULES.paravirtual() {
            assert_eq!(W::tail(lock.raw_word()), Tail::SoleHolder(cpu(1)));
        }
        on(1, || unlock(lock, token));
        assert_eq!(lock.raw_word(), 0);
    }
    let before = events(1, Event::NodeExhausted);
    wait::<P, W>(levels);
    WORLD.with(|world| assert_eq!(world.nodes[1].in_use(), 0));
    events(1, Event::NodeExhausted) - before
}

#[test]
fn three_contexts_queue_and_the_fourth_falls_back_and_is_counted() {
    assert_eq!(nested::<Fifo, Idx3>(3), 0);
    assert_eq!(nested::<Fifo, Idx3>(4), 1);
    assert_eq!(nested::<FifoHalt, Idx3>(5), 2);
    assert_eq!(nested::<Bounded, Idx3>(4), 1);
}

#[test]
fn with_a_spare_bit_the_fourth_context_queues_too() {
    assert_eq!(nested::<Fifo, SpareBit>(4), 0);
    assert_eq!(nested::<Fifo, SpareBit>(5), 1);
}
