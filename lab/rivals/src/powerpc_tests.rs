//! Tests of the Power-like lock: what it names, what it passes on, when it closes.

use super::*;
use crate::test_env::{Alone, Asleep, put_to_sleep};

fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("in range")
}

/// CPU 0 holds the lock; so many others wait, in order.
fn crowded<E: Env>(waiters: usize) -> Powerpc<E> {
    let lock = Powerpc::new(waiters + 1);
    assert!(lock.take(0, cpu(0)));
    for index in 1..=waiters {
        lock.queue.join::<E>(cpu(index));
    }
    lock
}

fn told(lock: &Powerpc<impl Env>, index: usize) -> Option<Cpu> {
    Cpu::from_plus_one(Powerpc::<Alone>::told(lock.queue.node(cpu(index))))
}

#[test]
fn the_owner_that_it_was_told_of_goes_before_the_one_before_it() {
    let lock = crowded::<Asleep>(2);
    let target = |asleep: &[usize], told: u32| {
        put_to_sleep(asleep);
        lock.whom_to_lend_to(told, cpu(1)).map(Cpu::index)
    };
    let owner = cpu(0).plus_one();
    assert_eq!(target(&[0, 1], owner), Some(0));
    assert_eq!(target(&[1], owner), Some(1), "old news of the owner");
    assert_eq!(
        target(&[0, 1], 0),
        Some(1),
        "no waiter was told of the owner"
    );
    assert_eq!(target(&[0], 0), None);
    // SAFETY: CPU 0 holds it.
    unsafe { lock.unlock(()) };
    assert_eq!(target(&[0], owner), None, "it is the owner no longer");
}

#[test]
fn a_preempted_owner_is_passed_down_the_queue_one_by_one_and_so_is_its_return() {
    let lock = crowded::<Alone>(3);
    for news in [Some(cpu(0)), None] {
        let raw = news.map_or(0, Cpu::plus_one);
        lock.tell_next(cpu(1), raw);
        assert_eq!(told(&lock, 2), news);
        assert_ne!(told(&lock, 3), news, "the head tells only the next one");
        lock.tell_next(cpu(2), raw);
        assert_eq!(told(&lock, 3), news);
        lock.tell_next(cpu(3), raw);
    }
}

#[test]
fn a_preempted_owner_makes_everybody_patient_until_it_releases() {
    let lock = crowded::<Asleep>(1);
    put_to_sleep(&[0]);
    let mut patience = Patience::new(STEAL_NS);
    assert_eq!(patience.left_ns(), STEAL_NS);
    let mut told = false;
    lock.wait_for_owner(cpu(0), 0, Some(&mut patience), || false, || told = true);
    assert!(told, "the next one hears of it");
    let seen = lock.word.load(Relaxed);
    assert_eq!(seen, held_by(cpu(0)) | SLEEPY);
    assert_eq!(patience.left_ns(), STEAL_NS * SLEEPY_FACTOR - ROUND_NS);
    // SAFETY: CPU 0 holds it.
    unsafe { Lock::<Asleep>::unlock(&lock, ()) };
    assert_eq!(lock.word.load(Relaxed), 0);
}

#[test]
fn a_closed_lock_is_not_stolen_and_opens_when_its_head_has_it() {
    let lock = crowded::<Alone>(1);
    lock.word.fetch_or(MUST_QUEUE, Relaxed);
    // SAFETY: CPU 0 holds it.
    unsafe { lock.unlock(()) };
    assert_eq!(lock.word.load(Relaxed), MUST_QUEUE, "it stays closed");
    assert!(!lock.steal(cpu(0)));
    lock.wait_as_head(cpu(1));
    assert_eq!(lock.word.load(Relaxed), held_by(cpu(1)));
    // SAFETY: CPU 1 holds it.
    unsafe { lock.unlock(()) };
    assert!(lock.steal(cpu(0)));
}
