//! Test-and-test-and-set with backoff: who loses a race for the free lock stays away for a while.
//!
//! ```text
//!   wait until free ──compare-exchange──► held
//!        ▲                  │ another was faster
//!        └──────────────────┘ pause: random, below a limit that doubles with every loss, capped
//! ```
//!
//! Thomas Anderson, "The Performance of Spin Lock Alternatives for Shared-Memory Multiprocessors"
//! (IEEE TPDS, 1990), in the form of Herlihy and Shavit's textbook: the pause follows a lost race
//! and not a look at a held lock, so it shortens the storm after a release and never lets the
//! lock lie free. It makes no hypercalls.
//!
//! Against the original: the limits are in time, not in loop rounds. [`FIRST_NS`] is about a line
//! transfer; [`LONGEST_NS`] is a few short sections, so that a CPU that lost often does not
//! oversleep many releases.
//!
//! Published: without backoff a test-and-set lock fell 3.8 times behind a queued one on a contended
//! lock without overcommit (Waiman Long, 2014, AIM7 on EXT4); backoff is the classical answer. It
//! cannot matter where a line costs the same however many want it; see `docs/rivals.md`.

use core::marker::PhantomData;

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::test_and_set::TestAndSet;

/// The limit of the first pause, in ns.
pub const FIRST_NS: u32 = 50;

/// The largest limit, in ns.
pub const LONGEST_NS: u32 = 3_200;

/// The test-and-test-and-set lock with backoff.
#[derive(Debug)]
pub struct TestAndSetBackoff<E> {
    lock: TestAndSet<E>,
    environment: PhantomData<fn() -> E>,
}

/// How long to stay away, loss after loss.
struct Backoff {
    limit_ns: u32,
    random: u32,
}

impl Backoff {
    /// Sequences only have to differ between CPUs, so the number of the CPU is the seed.
    fn new(cpu: Cpu) -> Self {
        Self {
            limit_ns: FIRST_NS,
            random: cpu.plus_one().wrapping_mul(0x9e37_79b9),
        }
    }

    /// The next pause: from half the limit to all of it.
    fn next_ns(&mut self) -> u32 {
        // xorshift32
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let limit = self.limit_ns;
        self.limit_ns = (limit * 2).min(LONGEST_NS);
        limit / 2 + self.random % (limit / 2 + 1)
    }
}

impl<E: Env> TestAndSetBackoff<E> {
    #[cold]
    fn lock_contended(&self) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt.
        E::checkpoint(Point::Joined);
        let mut backoff = Backoff::new(E::cpu());
        loop {
            E::spin_until(|| self.lock.is_free(), Budget::FOREVER);
            if self.lock.try_lock() {
                break;
            }
            E::spin_until(|| false, Budget::ns(backoff.next_ns()));
        }
        E::checkpoint(Point::Taken);
    }
}

impl<E: Env> Lock<E> for TestAndSetBackoff<E> {
    type Token = ();

    fn new(cpus: usize) -> Self {
        Self {
            lock: TestAndSet::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        if !self.lock.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        // SAFETY: the caller holds this lock, which is that one.
        unsafe { self.lock.unlock(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_differ_between_cpus() {
        let pauses = |cpu| {
            let mut backoff = Backoff::new(Cpu::new(cpu).expect("in range"));
            [(); 12].map(|()| backoff.next_ns())
        };
        let mut limit = FIRST_NS;
        for pause in pauses(0) {
            assert!((limit / 2..=limit).contains(&pause), "{pause} of {limit}");
            limit = (limit * 2).min(LONGEST_NS);
        }
        assert_eq!(limit, LONGEST_NS);
        assert_ne!(pauses(0), pauses(1));
    }
}
