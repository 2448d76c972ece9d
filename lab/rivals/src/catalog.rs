//! Every lock that can be compared, by name.
//!
//! A lock is a type, so that each workload is compiled for it and no call goes through a table.
//! [`with_lock`](crate::visit::with_lock) turns a [`LockId`], which a command line can name, into that type.
//!
//! One lock is not in the catalogue, because no machine can have it: [`IDEAL`] needs an [`Oracle`](crate::ideal::Oracle).
//! An environment that is one gets it from [`with_lock_or_ideal`](crate::visit::with_lock_or_ideal).

/// How long the catalogue's `bounded` lets a waiter be passed over, in µs.
pub const BOUNDED_WAIT_US: u32 = 1_000;

/// A lock of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LockId {
    /// Ours: strict order, yields both ways.
    Fifo,
    /// Ours: strict order, waiters halt and name their predecessor.
    FifoHalt,
    /// Ours: strict order, waiters halt and name the holder.
    FifoHolder,
    /// Ours: preempted waiters may be passed over for [`BOUNDED_WAIT_US`].
    Bounded,
    /// Ours: as `Fifo`, on the word with a spare bit.
    FifoBit,
    /// [`TestAndSet`](crate::test_and_set::TestAndSet).
    TestAndSet,
    /// [`Ticket`](crate::ticket::Ticket).
    Ticket,
    /// [`NativeQueued`](crate::native_queued::NativeQueued).
    NativeQueued,
    /// [`UnfairQueued`](crate::unfair_queued::UnfairQueued).
    UnfairQueued,
    /// [`PvTicket`](crate::pv_ticket::PvTicket).
    PvTicket,
    /// [`LinuxPv`](crate::linux_pv::LinuxPv).
    LinuxPv,
    /// [`UnfairHinted`](crate::unfair_hinted::UnfairHinted).
    UnfairHinted,
    /// [`TestAndSetBackoff`](crate::test_and_set_backoff::TestAndSetBackoff).
    TestAndSetBackoff,
    /// [`Mcs`](crate::mcs::Mcs).
    Mcs,
    /// [`Clh`](crate::clh::Clh).
    Clh,
    /// [`McsTp`](crate::mcs_tp::McsTp).
    McsTp,
    /// [`PreemptableTicket`](crate::preemptable_ticket::PreemptableTicket).
    PreemptableTicket,
    /// [`Malthusian`](crate::malthusian::Malthusian).
    Malthusian,
    /// [`Shuffling`](crate::shuffling::Shuffling).
    Shuffling,
    /// [`S390Queued`](crate::s390_queued::S390Queued).
    S390Queued,
    /// [`Powerpc`](crate::powerpc::Powerpc).
    Powerpc,
    /// [`Ideal`](crate::ideal::Ideal): for an [`Oracle`](crate::ideal::Oracle) only, and not in the [`CATALOG`].
    Ideal,
}

impl LockId {
    /// Every lock of the [`CATALOG`], in its order.
    pub const ALL: [Self; CATALOG.len()] = {
        let mut all = [Self::Fifo; CATALOG.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = CATALOG[at].id;
            at += 1;
        }
        all
    };

    /// Its entry in the catalogue.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        // The catalogue is in the order of the declaration, which a test checks; what follows it
        // is the ideal.
        CATALOG.get(self as usize).unwrap_or(&IDEAL)
    }
}

/// What the catalogue says about a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which one it is.
    pub id: LockId,
    /// Its name on command lines and in reports.
    pub name: &'static str,
    /// The policy, if it is a policy of `pvqspin`.
    pub policy: Option<&'static str>,
    /// The word format (`idx3` or `bit`), if it is a policy of `pvqspin` and names the holder.
    pub word: Option<&'static str>,
    /// Whether waiters get it in the order in which they came.
    pub fair: bool,
    /// One sentence about it.
    pub about: &'static str,
}

/// The locks that a command compares by default: policies of `pvqspin`, and locks that guests have had.
pub const DEFAULT: [LockId; 12] = [
    LockId::Fifo,
    LockId::FifoHalt,
    LockId::FifoHolder,
    LockId::Bounded,
    LockId::FifoBit,
    LockId::TestAndSet,
    LockId::Ticket,
    LockId::NativeQueued,
    LockId::UnfairQueued,
    LockId::PvTicket,
    LockId::LinuxPv,
    LockId::UnfairHinted,
];

/// The ideal lock: simulator only.
pub const IDEAL: Entry = rival(
    LockId::Ideal,
    "ideal",
    false,
    "an oracle that knows everything and pays nothing: the most that any lock can do",
);

/// Every lock that every environment can have: policies of `pvqspin` first, then those that guests have had, from
/// the simplest to the strongest, then those of other systems and of papers.
pub const CATALOG: &[Entry] = &[
    own(
        LockId::Fifo,
        "fifo",
        "fifo",
        "idx3",
        "strict order; waiters yield to a preempted holder, releasers to a preempted head",
    ),
    own(
        LockId::FifoHalt,
        "fifo-halt",
        "fifo-halt",
        "idx3",
        "strict order; waiters halt and name their predecessor, releasers kick",
    ),
    own(
        LockId::FifoHolder,
        "fifo-holder",
        "fifo-holder",
        "idx3",
        "strict order; waiters halt and name the holder, releasers always kick",
    ),
    Entry {
        fair: false,
        ..own(
            LockId::Bounded,
            "bounded",
            "bounded",
            "idx3",
            "order among those who run; a preempted waiter is passed over for 1 ms at most",
        )
    },
    own(
        LockId::FifoBit,
        "fifo-bit",
        "fifo",
        "bit",
        "as fifo, on the word with a spare bit for the sole holder",
    ),
    rival(
        LockId::TestAndSet,
        "test-and-set",
        false,
        "unfair, no hypercalls: what Linux falls back to in a guest without paravirtual locks",
    ),
    rival(
        LockId::Ticket,
        "ticket",
        true,
        "strict order, no hypercalls: Linux before 2015",
    ),
    rival(
        LockId::NativeQueued,
        "native-queued",
        true,
        "strict order, no hypercalls: Linux on bare metal",
    ),
    rival(
        LockId::UnfairQueued,
        "unfair-queued",
        false,
        "a queue that any newcomer may pass, no hypercalls: the proposal of 2014",
    ),
    rival(
        LockId::PvTicket,
        "pv-ticket",
        true,
        "tickets; waiters halt blindly, releasers kick the next ticket: Linux 3.12 to 4.1",
    ),
    rival(
        LockId::LinuxPv,
        "linux-pv",
        false,
        "a queue with hybrid stealing, halt, hash and kick: Linux in KVM guests since 2015",
    ),
    rival(
        LockId::UnfairHinted,
        "unfair-hinted",
        false,
        "unfair, waiters yield to a preempted owner: s390 on shared CPUs; the strongest rival",
    ),
    rival(
        LockId::TestAndSetBackoff,
        "tas-backoff",
        false,
        "test-and-set; who loses a race stays away for a while: Anderson, 1990",
    ),
    rival(
        LockId::Mcs,
        "mcs",
        true,
        "strict order, each on a line of its own: Mellor-Crummey and Scott, 1991",
    ),
    rival(
        LockId::Clh,
        "clh",
        true,
        "strict order, each on the line of the one before: Craig, 1993",
    ),
    rival(
        LockId::McsTp,
        "mcs-tp",
        false,
        "MCS whose waiters publish the time; stale ones are passed over: He and others, 2005",
    ),
    rival(
        LockId::PreemptableTicket,
        "preemptable-ticket",
        false,
        "tickets, until the queue stands still for too long: Ouyang and Lange, 2013",
    ),
    rival(
        LockId::Malthusian,
        "malthusian",
        false,
        "MCS that puts surplus waiters to sleep: Dice, 2017",
    ),
    rival(
        LockId::Shuffling,
        "shuffling",
        false,
        "a queue whose head brings those forward who run: after Kashyap and others, 2019",
    ),
    rival(
        LockId::S390Queued,
        "s390-queued",
        false,
        "a queue passed three times at most; waiters yield to the owner or the head: s390",
    ),
    rival(
        LockId::Powerpc,
        "powerpc",
        false,
        "a queue with stealing; all yield to the owner, which is passed down: Power since 6.2",
    ),
];

const fn own(
    id: LockId,
    name: &'static str,
    policy: &'static str,
    word: &'static str,
    about: &'static str,
) -> Entry {
    Entry {
        id,
        name,
        policy: Some(policy),
        word: Some(word),
        fair: true,
        about,
    }
}

const fn rival(id: LockId, name: &'static str, fair: bool, about: &'static str) -> Entry {
    Entry {
        id,
        name,
        policy: None,
        word: None,
        fair,
        about,
    }
}

/// The lock of this name.
///
/// ```
/// use pvqspin_rivals::catalog::{self, LockId};
///
/// assert_eq!(catalog::find("ticket").map(|entry| entry.id), Some(LockId::Ticket));
/// assert_eq!(catalog::find("tikcet"), None);
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// As [`find`], for an [`Oracle`](crate::ideal::Oracle): it can also have the [`IDEAL`].
#[must_use]
pub fn find_or_ideal(name: &str) -> Option<&'static Entry> {
    find(name).or_else(|| (name == IDEAL.name).then_some(&IDEAL))
}

#[cfg(test)]
mod tests;
