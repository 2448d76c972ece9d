//! Every lock of the catalogue, on threads: one at a time is inside, and none sleeps for ever.
//!
//! Each lock runs under three hosts (see [`threads::Mood`]): one under which spinning mostly
//! suffices, one with hardly any spin budget, so that the halting paths are the common ones, and
//! one that lies about who is preempted and wakes sleepers for no reason.

mod threads;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin_rivals::Lock;
use pvqspin_rivals::catalog::{CATALOG, Entry, LockId};
use pvqspin_rivals::visit::{Visitor, with_lock};
use threads::{Calls, HASTY, LYING, PATIENT, Threads};

const CPUS: usize = 4;

/// A counter that only a lock keeps from tearing.
struct Shared {
    count: UnsafeCell<u64>,
    inside: AtomicU64,
    crowded: AtomicU64,
}

// SAFETY: `count` is touched between `lock` and `unlock` only. If the lock under test fails at
// that, the test has found what it looks for (and Miri or a sanitizer would say so too).
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn add_one(&self) {
        // SAFETY: as promised by the caller.
        unsafe { *self.count.get() += 1 };
    }
}

struct Hammer {
    sections: u64,
}

struct Result {
    count: u64,
    crowded: u64,
    calls: Calls,
}

impl<const MOOD: u8> Visitor<Threads<MOOD>> for Hammer {
    type Output = Result;

    fn visit<L: Lock<Threads<MOOD>>>(self) -> Result {
        let lock = L::new(CPUS);
        let shared = Shared {
            count: UnsafeCell::new(0),
            inside: AtomicU64::new(0),
            crowded: AtomicU64::new(0),
        };
        let calls = threads::run::<MOOD>(CPUS, |_cpu| {
            for section in 0..self.sections {
                let token = lock.lock();
                if shared.inside.fetch_add(1, Relaxed) != 0 {
                    shared.crowded.fetch_add(1, Relaxed);
                }
                // SAFETY: taken above.
                unsafe { shared.add_one() };
                threads::maybe_preempted(section);
                shared.inside.fetch_sub(1, Relaxed);
                // SAFETY: taken above, with this token.
                unsafe { lock.unlock(token) };
            }
        });
        Result {
            count: shared.count.into_inner(),
            crowded: shared.crowded.into_inner(),
            calls,
        }
    }
}

fn hammer_every_lock<const MOOD: u8>(sections: u64) {
    for entry in CATALOG {
        let result = with_lock::<Threads<MOOD>, _>(entry.id, Hammer { sections });
        println!("{:14} {:?}", entry.name, result.calls);
        assert_eq!(result.crowded, 0, "{}: two at once", entry.name);
        let expected = CPUS as u64 * sections;
        assert_eq!(result.count, expected, "{}: lost updates", entry.name);
        assert_eq!(result.calls.timeouts, 0, "{}: lost wake-ups", entry.name);
        uses_what_its_original_has(entry, &result.calls);
    }
}

fn uses_what_its_original_has(entry: &Entry, calls: &Calls) {
    let Calls {
        halts,
        kicks,
        yields,
        ..
    } = *calls;
    let (sleeps, lends) = match entry.id {
        LockId::PvTicket | LockId::LinuxPv | LockId::Malthusian => (true, false),
        LockId::UnfairHinted | LockId::S390Queued | LockId::Powerpc => (false, true),
        _ if entry.policy.is_some() => (true, true),
        _ => (false, false),
    };
    assert!(sleeps || halts + kicks == 0, "{}: {calls:?}", entry.name);
    assert!(lends || yields == 0, "{}: {calls:?}", entry.name);
}

#[test]
fn with_time_to_spin() {
    hammer_every_lock::<PATIENT>(5_000);
}

#[test]
fn with_hardly_any_spin_budget() {
    hammer_every_lock::<HASTY>(2_000);
}

#[test]
fn under_a_host_that_lies() {
    hammer_every_lock::<LYING>(2_000);
}

#[test]
fn the_calling_paths_are_really_taken() {
    for id in [LockId::PvTicket, LockId::LinuxPv, LockId::Malthusian] {
        let result = with_lock::<Threads<HASTY>, _>(id, Hammer { sections: 2_000 });
        let Calls { halts, kicks, .. } = result.calls;
        assert!(halts > 0 && kicks > 0, "{id:?}: {halts} {kicks}");
    }
    for id in [LockId::UnfairHinted, LockId::S390Queued, LockId::Powerpc] {
        let result = with_lock::<Threads<LYING>, _>(id, Hammer { sections: 2_000 });
        assert!(result.calls.yields > 0, "{id:?}");
    }
}

struct TakeThrice;

impl<const MOOD: u8> Visitor<Threads<MOOD>> for TakeThrice {
    type Output = Calls;

    fn visit<L: Lock<Threads<MOOD>>>(self) -> Calls {
        let lock = L::new(CPUS);
        threads::run::<MOOD>(1, |_cpu| {
            for _ in 0..3 {
                let token = lock.lock();
                // SAFETY: taken above, with this token.
                unsafe { lock.unlock(token) };
            }
        })
    }
}

#[test]
fn alone_nobody_calls_the_host() {
    for entry in CATALOG {
        let calls = with_lock::<Threads<LYING>, _>(entry.id, TakeThrice);
        assert_eq!(calls, Calls::default(), "{}", entry.name);
    }
}
