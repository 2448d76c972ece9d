//! Who takes part: every lock of the catalogue, other crates' locks, and what no lock can beat.

use pvqspin_rivals::Lock;
use pvqspin_rivals::catalog::{CATALOG, LockId};
use pvqspin_rivals::visit::{Visitor, with_lock};

use crate::uncontended::count::count;
use crate::uncontended::env::OneCpu;
use crate::uncontended::round::round;
use crate::uncontended::subject::{
    Clh, Floor, Guarded, Mcs, Nothing, OurMutex, ParkingLot, SpinFair, SpinMutex, SpinTicket,
    SpinningTop, Std, Subject,
};

/// The name of the contender that all others are compared with: our lock, native.
pub const REFERENCE: &str = "native-queued";

/// Where a contender comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Not a lock, but what locks are made of.
    Floor,
    /// `pvqspin`, native and under each policy.
    Own,
    /// Locks after those of kernels, and from papers.
    Rivals,
    /// Locks of other crates.
    Crates,
}

impl Group {
    /// What results call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Own => "pvqspin",
            Self::Rivals => "rivals",
            Self::Crates => "crates",
        }
    }

    /// What the table calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Floor => "the floor",
            Self::Own => "pvqspin",
            Self::Rivals => "rivals",
            Self::Crates => "other crates",
        }
    }
}

/// One that takes part.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its name: as in the catalogue, or as its crate writes it.
    pub name: &'static str,
    /// Where it comes from.
    pub group: Group,
    /// Times so many pairs with a gap of so many multiplications after each, in ns a turn.
    pub(crate) round: fn(u32, u32) -> f64,
    count: fn(u32, fn()),
}

impl Contender {
    /// Takes and releases a lock of its own, over and over, while a tool counts instructions:
    /// a few times to warm up, then `pairs` times, then twice as often. `mark` is called before,
    /// between and after.
    ///
    /// Whatever a turn of the loop costs is then the difference of the two over `pairs`, and what
    /// the lock costs is what remains over that of [`nothing`].
    pub fn count(&self, pairs: u32, mark: fn()) {
        OneCpu::start();
        (self.count)(pairs, mark);
    }
}

/// The loop and the section without a lock, which [`Contender::count`] counts as well.
#[must_use]
pub fn nothing() -> Contender {
    of::<Nothing>("nothing", Group::Floor)
}

/// All of them, group by group.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    let mut all = vec![
        of::<Floor<false>>("swap, then store", Group::Floor),
        of::<Floor<true>>("swap, then swap", Group::Floor),
        of::<OurMutex>("pvqspin::Mutex", Group::Own),
        of::<SpinMutex>("spin::SpinMutex", Group::Crates),
        of::<SpinTicket>("spin::TicketMutex", Group::Crates),
        of::<SpinFair>("spin::FairMutex", Group::Crates),
        of::<SpinningTop>("spinning_top::Spinlock", Group::Crates),
        of::<Mcs>("mcslock::raw::Mutex", Group::Crates),
        of::<Clh>("clhlock::raw::Mutex", Group::Crates),
        of::<ParkingLot>("parking_lot::Mutex", Group::Crates),
        of::<Std>("std::sync::Mutex", Group::Crates),
    ];
    all.extend(CATALOG.iter().map(|entry| {
        // The native queued lock stands among the rivals of the catalogue, and is `pvqspin` too.
        let own = entry.policy.is_some() || entry.id == LockId::NativeQueued;
        let group = if own { Group::Own } else { Group::Rivals };
        with_lock(entry.id, Named(entry.name, group))
    }));
    all.sort_by_key(|contender| (contender.group, contender.name != REFERENCE));
    all
}

const fn of<S: Subject>(name: &'static str, group: Group) -> Contender {
    Contender {
        name,
        group,
        round: round::<S>,
        count: count::<S>,
    }
}

struct Named(&'static str, Group);

impl Visitor<OneCpu> for Named {
    type Output = Contender;

    fn visit<L: Lock<OneCpu>>(self) -> Contender {
        of::<Guarded<L>>(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn every_name_is_there_once_and_the_reference_is_the_first_lock() {
        let all = contenders();
        let names: BTreeSet<_> = all.iter().map(|contender| contender.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(CATALOG.iter().all(|entry| names.contains(entry.name)));
        let first = all
            .iter()
            .find(|contender| contender.group != Group::Floor)
            .expect("there are locks");
        assert_eq!(first.name, REFERENCE);
        assert!(all.is_sorted_by_key(|contender| contender.group));
    }

    #[test]
    fn who_counts_is_told_three_times() {
        static MARKS: AtomicU32 = AtomicU32::new(0);
        for contender in contenders() {
            MARKS.store(0, Relaxed);
            contender.count(3, || {
                MARKS.fetch_add(1, Relaxed);
            });
            assert_eq!(MARKS.load(Relaxed), 3, "{}", contender.name);
        }
    }
}
