//! What a guest keeps of each of its vCPUs: the record that KVM writes, and what the vCPU says of
//! itself.
//!
//! ```text
//! Vcpu, 128-byte aligned                              written by     read by
//! +--------------------------------------------------+
//! | record   steal, version, preempted; 64 bytes     |  the host      all vCPUs
//! | doing    RUNNING, YIELDING, HALTED; KICKED       |  its vCPU; a kick by others
//! | apic_id  plus 1: how hypercalls name it; or 0    |  its vCPU, once
//! | halted_in, yielded_in  the generations in which  |  its vCPU
//! |                        it last did               |
//! +-------------------- 128 bytes -------------------+
//! | waiting_for   cpu + 1, or 0                      |  its vCPU      all vCPUs
//! | window        how long it was stolen lately      |  its vCPU
//! +--------------------------------------------------+
//! ```
//!
//! The record alone does not tell what the lock wants to know. One flag stands for preempted, and on
//! older hosts for halted too; since Linux 5.19 (commit 6cd88243c7e0, of 2022)
//! it is set only when an interrupt took the vCPU off, and so not while it sits in a hypercall or in
//! `HLT`. So a vCPU writes down itself what it is about to do:
//!
//! ```text
//!              halt                         kick by another
//!   RUNNING ──────────► HALTED ───────────────────────────────► HALTED | KICKED
//!    │  ▲  ▲              │  an interrupt                            │
//!    │  │  └──────────────┴──────────────────────────────────────────┘ it runs again
//!    │  └───────────────┐
//!    └─► YIELDING ──────┘      KICKED alone: the next halt ends at once
//! ```
//!
//! | `doing` | the record's flag | [`RunState`] |
//! | --- | --- | --- |
//! | `RUNNING` | clear | running |
//! | `RUNNING` | set | preempted |
//! | `YIELDING`, same generation | any | preempted: it lent its pCPU |
//! | `YIELDING`, a newer generation | clear | running: in a handler of an interrupt that came meanwhile |
//! | `YIELDING`, a newer generation | set | preempted there |
//! | `HALTED`, same generation | any | halted |
//! | `HALTED`, `KICKED`, same generation | any | preempted: it could run again, and does not yet |
//! | `HALTED`, a newer generation | clear | running: in a handler of the interrupt that ended its halt |
//! | `HALTED`, a newer generation | set | preempted there |
//!
//! The host counts a generation when it puts the vCPU on a pCPU, so one that is newer than the halt, or
//! the yield, says that it is over. (A halt that ends while the host still polls has no new generation: a
//! handler then says itself that it runs, [`Kvm::interrupted`](super::Kvm::interrupted). Nor has a yield
//! that the host refuses: it looks preempted until the call has returned.)
//!
//! *Idle* is never reported: a CPU that a lock names is in the lock's code or in a critical section.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin_abi::{Cpu, RunSample, RunState};

use super::steal_time::StealTime;

const YIELDING: u32 = 1 << 0;
const HALTED: u32 = 1 << 1;
const KICKED: u32 = 1 << 2;

/// Over how long to judge whether a vCPU gets its pCPU, in ns: a few time slices.
const WINDOW_NS: u64 = 10_000_000;
/// It does not if this part of the window was stolen from it. Less is the host's own housekeeping.
const STOLEN_PART: u64 = 64;

/// All that [`Kvm`](super::Kvm) keeps of one vCPU. A kernel has an array of them, beside that of
/// [`CpuNodes`](crate::CpuNodes).
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Vcpu {
    record: StealTime,
    doing: AtomicU32,
    apic_id: AtomicU32,
    halted_in: AtomicU32,
    yielded_in: AtomicU32,
    own: OwnLine,
}

/// What is written often, away from what others watch.
#[derive(Debug)]
#[repr(C, align(128))]
struct OwnLine {
    waiting_for: AtomicU32,
    /// 0 or 1.
    was_stolen: AtomicU32,
    stolen_then: AtomicU64,
    window_began: AtomicU64,
}

impl Vcpu {
    /// A vCPU that has not started: it looks as if it ran, and never halts. All of it is zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            record: StealTime::new(),
            doing: AtomicU32::new(0),
            apic_id: AtomicU32::new(0),
            halted_in: AtomicU32::new(0),
            yielded_in: AtomicU32::new(0),
            own: OwnLine {
                waiting_for: AtomicU32::new(0),
                was_stolen: AtomicU32::new(0),
                stolen_then: AtomicU64::new(0),
                window_began: AtomicU64::new(0),
            },
        }
    }

    /// The record that KVM writes, for its guest-physical address, and for who wants to see it.
    #[must_use]
    pub const fn record(&self) -> &StealTime {
        &self.record
    }

    /// Its APIC id, once it has started.
    #[must_use]
    pub fn apic_id(&self) -> Option<u32> {
        // Relaxed: a kernel brings a CPU up before it takes part in anything.
        self.apic_id.load(Relaxed).checked_sub(1)
    }

    pub(super) fn set_apic_id(&self, id: Option<u32>) {
        // No APIC has the id of all ones: that one is for all of them.
        let plus_one = id.map_or(0, |id| id.wrapping_add(1));
        self.apic_id.store(plus_one, Relaxed);
    }

    /// What it does, and which run it is, by its own record. A VMM may look, too.
    #[must_use]
    pub fn sample(&self) -> RunSample {
        self.sample_with(&self.record)
    }

    /// The same by the record that KVM writes for it, wherever that is.
    pub(super) fn sample_with(&self, record: &StealTime) -> RunSample {
        // The generation first: if the vCPU runs in between, the sample has an old generation, and
        // a hint made from it is dropped. The other way round it could pass for a new preemption.
        let generation = record.generation();
        // Acquire: as for the flag of the record; and a CPU that sees `YIELDING` or `HALTED` (released with
        // it) sees in which generation, and reads one below that is not older.
        let doing = self.doing.load(Acquire);
        let lasts = |since: &AtomicU32| since.load(Relaxed) == record.generation().get();
        let state = if doing & YIELDING != 0 && lasts(&self.yielded_in) {
            RunState::Preempted
        } else if doing & HALTED != 0 && lasts(&self.halted_in) {
            if doing & KICKED != 0 {
                RunState::Preempted
            } else {
                RunState::Halted
            }
        } else if record.is_preempted() {
            RunState::Preempted
        } else {
            RunState::Running
        };
        RunSample::new(state, generation)
    }

    /// Whether it waited for a pCPU lately. Asked by its own vCPU only.
    pub(super) fn lacks_pcpu(&self, record: &StealTime, now_ns: u64) -> bool {
        let own = &self.own;
        // Relaxed throughout, and no read-modify-write: no other CPU is interested, and an interrupt
        // in between spoils one window.
        let stolen = record
            .steal_ns()
            .wrapping_sub(own.stolen_then.load(Relaxed));
        let window = now_ns.wrapping_sub(own.window_began.load(Relaxed));
        let much = stolen > WINDOW_NS / STOLEN_PART;
        if window >= WINDOW_NS {
            let is_much = stolen > window / STOLEN_PART;
            own.was_stolen.store(is_much.into(), Relaxed);
            own.stolen_then.store(record.steal_ns(), Relaxed);
            own.window_began.store(now_ns, Relaxed);
            return is_much;
        }
        much || own.was_stolen.load(Relaxed) != 0
    }

    /// The CPU that it waits for in a lock, if any.
    #[must_use]
    pub fn waiting_for(&self) -> Option<Cpu> {
        // Relaxed: the edge is advice.
        Cpu::from_plus_one(self.own.waiting_for.load(Relaxed))
    }

    pub(super) fn set_waiting_for(&self, cpu: Option<Cpu>) {
        self.own
            .waiting_for
            .store(cpu.map_or(0, Cpu::plus_one), Relaxed);
    }

    /// It is about to lend its pCPU.
    pub(super) fn begin_yield(&self, record: &StealTime) {
        // Relaxed: the release below publishes it. Taken off its pCPU from here to the call, or interrupted
        // by a handler that yields itself, it lends it and passes for running: that is advice.
        self.yielded_in.store(record.generation().get(), Relaxed);
        // Release pairs with the acquire in `sample_with`. Others may kick meanwhile, so no plain store.
        self.doing.fetch_or(YIELDING, Release);
    }

    /// It has its pCPU back.
    pub(super) fn end_yield(&self) {
        // Relaxed: advice.
        self.doing.fetch_and(!YIELDING, Relaxed);
    }

    /// It is about to halt. False if it was kicked already: then it must not.
    ///
    /// One location decides: a kick either comes before this exchange, which then finds it, or after
    /// it, and a kicking CPU finds the halt and calls the host, which remembers until the `HLT`.
    pub(super) fn begin_halt(&self, record: &StealTime) -> bool {
        // Relaxed: the exchange below publishes it. Taken off its pCPU between the two, it halts in a
        // newer generation, and passes for awake: that is advice, and its kick comes all the same.
        self.halted_in.store(record.generation().get(), Relaxed);
        // Acquire pairs with the release of the kick: what came before it is visible now.
        let before = self.doing.fetch_or(HALTED, AcqRel);
        if before & KICKED != 0 {
            self.end_halt();
            return false;
        }
        true
    }

    /// It is back from its halt, for whatever reason.
    pub(super) fn end_halt(&self) {
        // Acquire: as above. A kick that comes only now has a host that was called for nothing.
        self.doing.fetch_and(!(HALTED | KICKED), AcqRel);
    }

    /// An interrupt has ended its halt, and a handler runs: it is awake.
    #[inline]
    pub(super) fn interrupt_halt(&self) {
        // Relaxed: only this vCPU sets the flag.
        if self.doing.load(Relaxed) & HALTED != 0 {
            // A kick that comes now makes no call, and none is needed: the halt returns after the
            // handler. Acquire and release: as at the end of the halt.
            self.doing.fetch_and(!HALTED, AcqRel);
        }
    }

    /// A CPU kicks it: whether it was asleep.
    pub(super) fn note_kick(&self) -> bool {
        // Release: what the kicker did before is visible after the halt that the kick ends.
        self.doing.fetch_or(KICKED, AcqRel) & HALTED != 0
    }
}

impl Default for Vcpu {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::steal_time::PREEMPTED;
    use super::*;
    use core::mem::{align_of, offset_of, size_of};
    use pvqspin_abi::Generation;

    #[test]
    fn the_record_is_laid_out_as_kvm_writes_it() {
        assert_eq!(size_of::<StealTime>(), 64);
        assert_eq!(align_of::<StealTime>(), 64);
        assert_eq!(offset_of!(StealTime, version), 8);
        assert_eq!(offset_of!(StealTime, flags), 12);
        assert_eq!(offset_of!(StealTime, preempted), 16);
        assert_eq!(offset_of!(Vcpu, own), 128);
    }

    fn state(vcpu: &Vcpu) -> RunState {
        vcpu.sample().state()
    }

    #[test]
    fn a_halt_is_told_from_a_preemption_whatever_the_flag_says() {
        for flag in [0, PREEMPTED] {
            let vcpu = Vcpu::new();
            assert!(vcpu.begin_halt(vcpu.record()));
            vcpu.record.preempted.store(flag, Relaxed);
            assert_eq!(state(&vcpu), RunState::Halted);
            // Kicked, but not on a pCPU yet.
            assert!(vcpu.note_kick());
            assert_eq!(state(&vcpu), RunState::Preempted);
            vcpu.record.preempted.store(0, Relaxed);
            vcpu.end_halt();
            assert_eq!(state(&vcpu), RunState::Running);
        }
    }

    #[test]
    fn a_handler_that_ends_a_halt_is_awake_before_the_halt_returns() {
        for polled in [false, true] {
            let vcpu = Vcpu::new();
            assert!(vcpu.begin_halt(vcpu.record()));
            assert_eq!(state(&vcpu), RunState::Halted);
            if polled {
                // No new generation: the handler says it itself.
                vcpu.interrupt_halt();
            } else {
                vcpu.record.version.store(2, Relaxed);
            }
            assert_eq!(state(&vcpu), RunState::Running);
            vcpu.record.preempted.store(PREEMPTED, Relaxed);
            assert_eq!(state(&vcpu), RunState::Preempted);
            vcpu.record.preempted.store(0, Relaxed);
            // What it lends from there counts, too.
            vcpu.begin_yield(vcpu.record());
            assert_eq!(state(&vcpu), RunState::Preempted);
            vcpu.end_yield();
            // A kick meanwhile ends nothing but the halt that is over.
            vcpu.note_kick();
            assert_eq!(state(&vcpu), RunState::Running);
            vcpu.end_halt();
            assert!(vcpu.begin_halt(vcpu.record()));
            assert_eq!(state(&vcpu), RunState::Halted);
        }
    }

    #[test]
    fn a_request_to_flush_is_no_preemption() {
        let vcpu = Vcpu::new();
        vcpu.record.preempted.store(1 << 1, Relaxed);
        assert_eq!(state(&vcpu), RunState::Running);
        vcpu.record.preempted.store(1 << 1 | PREEMPTED, Relaxed);
        assert_eq!(state(&vcpu), RunState::Preempted);
    }

    #[test]
    fn a_kick_before_the_halt_ends_it_once() {
        let vcpu = Vcpu::new();
        assert!(!vcpu.note_kick(), "it does not sleep: no hypercall");
        assert!(!vcpu.begin_halt(vcpu.record()), "it must not");
        assert_eq!(state(&vcpu), RunState::Running);
        assert!(vcpu.begin_halt(vcpu.record()), "the kick is used up");
    }

    #[test]
    fn a_kick_during_a_yield_is_not_lost() {
        let vcpu = Vcpu::new();
        vcpu.begin_yield(vcpu.record());
        assert_eq!(state(&vcpu), RunState::Preempted);
        assert!(!vcpu.note_kick());
        vcpu.end_yield();
        assert_eq!(state(&vcpu), RunState::Running);
        assert!(!vcpu.begin_halt(vcpu.record()));
    }

    #[test]
    fn an_update_in_progress_is_still_the_old_run() {
        let vcpu = Vcpu::new();
        for (version, generation) in [(6, 3), (7, 3), (8, 4), (u32::MAX, u32::MAX >> 2)] {
            vcpu.record.version.store(version, Relaxed);
            let expected = Generation::new(generation);
            assert_eq!(vcpu.sample().generation(), expected, "{version}");
        }
    }

    #[test]
    fn pressure_is_what_was_stolen_lately() {
        let vcpu = Vcpu::new();
        let mut now = 5 * WINDOW_NS;
        assert!(!vcpu.lacks_pcpu(vcpu.record(), now));
        // Housekeeping of the host.
        vcpu.record.steal.store(WINDOW_NS / 1_000, Relaxed);
        assert!(!vcpu.lacks_pcpu(vcpu.record(), now + 1));
        // A slice of another vCPU: known at once, and for one more window.
        vcpu.record.steal.store(3_000_000, Relaxed);
        assert!(vcpu.lacks_pcpu(vcpu.record(), now + 2));
        now += WINDOW_NS;
        assert!(vcpu.lacks_pcpu(vcpu.record(), now));
        assert!(vcpu.lacks_pcpu(vcpu.record(), now + WINDOW_NS - 1));
        assert!(
            !vcpu.lacks_pcpu(vcpu.record(), now + WINDOW_NS),
            "nothing since"
        );
    }
}
