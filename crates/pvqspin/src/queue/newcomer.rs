//! Looking before queueing: the second contender of a paravirtual lock often needs no node.
//! docs/decisions/0045-a-newcomer-looks.md has what it gains, and what it costs.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Env, Point};
use crate::token::Token;
use crate::word::{Format, LOCKED, Tail};
use pvqspin_abi::Cpu;

/// Looks at the lock [`Env::LOOKS`] times at most, and takes it if it becomes free. `None` as soon as a CPU queues: then no
/// newcomer goes first.
pub(super) fn take<E: Env, W: Format>(word: &AtomicU32, cpu: Cpu) -> Option<Token> {
    let alone = W::sole_holder(cpu) | LOCKED;
    for _ in 0..E::LOOKS {
        let seen = word.load(Ordering::Relaxed);
        if seen == 0 {
            // Acquire pairs with the release of the holder before.
            let taken = word.compare_exchange(0, alone, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                E::checkpoint(Point::Taken);
                return Some(Token::new(alone));
            }
        } else {
            match W::tail(seen) {
                // This very CPU holds it: the queue reports that.
                Tail::SoleHolder(holder) if holder == cpu => return None,
                Tail::SoleHolder(_) | Tail::Empty => {}
                Tail::Waiter(..) => return None,
            }
        }
        core::hint::spin_loop();
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;
    use crate::env::Budget;
    use crate::nodes::CpuNodes;
    use crate::word::Idx3;
    use std::thread;
    use std::time::Duration;

    struct Looks<const N: u32>;

    impl<const N: u32> Env for Looks<N> {
        const LOOKS: u32 = N;

        fn cpu() -> Cpu {
            Cpu::ZERO
        }
        fn nodes(_: Cpu) -> &'static CpuNodes {
            unreachable!("it takes no node")
        }
        fn spin_until(_: impl FnMut() -> bool, _: Budget) -> bool {
            unreachable!("it does not wait")
        }
    }

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    fn look<const N: u32>(word: &AtomicU32) -> Option<u32> {
        take::<Looks<N>, Idx3>(word, cpu(1)).map(Token::into_raw)
    }

    const NAMELESS: u32 = LOCKED;

    #[test]
    fn a_lock_that_becomes_free_is_taken_under_its_own_name() {
        for held in [Idx3::sole_holder(cpu(2)) | LOCKED, NAMELESS] {
            let word = AtomicU32::new(held);
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(5));
                    word.store(0, Ordering::Release);
                });
                let own = Idx3::sole_holder(cpu(1)) | LOCKED;
                assert_eq!(look::<{ u32::MAX }>(&word), Some(own));
                assert_eq!(word.load(Ordering::Relaxed), own);
            });
        }
    }

    #[test]
    fn one_that_stays_held_is_left_as_it_is() {
        for held in [Idx3::sole_holder(cpu(2)) | LOCKED, NAMELESS] {
            let word = AtomicU32::new(held);
            assert_eq!(look::<3>(&word), None);
            assert_eq!(word.load(Ordering::Relaxed), held);
        }
    }

    #[test]
    fn one_that_another_waits_for_and_its_own_are_not_looked_at() {
        // With so many looks it would take hours.
        for held in [
            Idx3::waiter(cpu(3), 0) | LOCKED,
            Idx3::sole_holder(cpu(1)) | LOCKED,
        ] {
            assert_eq!(look::<{ u32::MAX }>(&AtomicU32::new(held)), None);
        }
    }

    #[test]
    fn without_looks_not_even_a_free_one_is_taken() {
        let free = AtomicU32::new(0);
        assert_eq!(look::<0>(&free), None);
        assert!(look::<1>(&free).is_some());
    }
}
