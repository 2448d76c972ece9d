//! The pages that guest and host share.
//!
//! ```text
//! VcpuPage, one for each virtual CPU          written by   read by
//! +--------------------------------------+
//! | run          generation << 2 | state |    host         all vCPUs of the VM
//! +---------------- 128 bytes -----------+
//! | waiting_for  cpu + 1, or 0           |    its vCPU     host, all vCPUs of the VM
//! +--------------------------------------+
//!
//! VmPage, one for each VM
//! +--------------------------------------+
//! | pressure     0 or 1                  |    host         all vCPUs of the VM
//! +--------------------------------------+
//! ```
//!
//! The two words of a virtual CPU stand in cache lines of their own: `waiting_for` is written
//! whenever its CPU queues, and those who watch `run` must not pay for that. The distance is 128
//! bytes because x86 prefetches lines in pairs.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::cpu::Cpu;

/// How often a virtual CPU was put on a pCPU, modulo 2^30.
///
/// Compared for equality only: after 2^30 runs a hint could be taken for a fresh one, which would
/// cost one useless yield.
///
/// ```
/// use pvqspin_abi::Generation;
///
/// assert_eq!(Generation::new(7).next(), Generation::new(8));
/// assert_eq!(Generation::new((1 << 30) - 1).next(), Generation::new(0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Generation(u32);

impl Generation {
    const MASK: u32 = u32::MAX >> 2;

    /// A generation; the two highest bits are dropped.
    #[must_use]
    #[inline]
    pub const fn new(raw: u32) -> Self {
        Self(raw & Self::MASK)
    }

    /// The count, below 2^30.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The generation of the next run.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }
}

/// What a virtual CPU is doing, as its host sees it.
///
/// Linux's steal-time flag merges the last three, and Power's odd yield count merges preempted
/// and ceded. Keeping them apart is what lets a lock yield to the one and kick the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum RunState {
    /// On a pCPU.
    Running = 0,
    /// Off its pCPU although it could run: involuntarily, or because it lent its pCPU.
    Preempted = 1,
    /// Off, in [`Hypercall::Halt`](crate::Hypercall::Halt), until it is kicked.
    Halted = 2,
    /// Off with nothing to do: not started, blocked on a device, or ended.
    Idle = 3,
}

/// One look at a virtual CPU: its state and its generation, from a single load.
///
/// ```
/// use pvqspin_abi::{Generation, RunSample, RunState};
///
/// let sample = RunSample::new(RunState::Preempted, Generation::new(41));
/// assert_eq!(RunSample::from_raw(sample.raw()), sample);
/// assert!(sample.is_preempted());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RunSample(u32);

impl RunSample {
    /// Running, generation 0: what an environment without a host reports of every CPU.
    pub const RUNNING: Self = Self::new(RunState::Running, Generation(0));

    /// A sample.
    #[must_use]
    #[inline]
    pub const fn new(state: RunState, generation: Generation) -> Self {
        Self(generation.0 << 2 | state as u32)
    }

    /// A sample from the word in the page. Every 32-bit value is one.
    #[must_use]
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The word in the page.
    #[must_use]
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// What it was doing.
    #[must_use]
    #[inline]
    pub const fn state(self) -> RunState {
        match self.0 & 3 {
            0 => RunState::Running,
            1 => RunState::Preempted,
            2 => RunState::Halted,
            _ => RunState::Idle,
        }
    }

    /// Which run it was.
    #[must_use]
    #[inline]
    pub const fn generation(self) -> Generation {
        Generation(self.0 >> 2)
    }

    /// Whether it could run and does not. False for halted and idle ones.
    #[must_use]
    #[inline]
    pub const fn is_preempted(self) -> bool {
        matches!(self.state(), RunState::Preempted)
    }
}

/// Keeps a word out of the cache lines of its neighbours.
#[derive(Debug, Default)]
#[repr(C, align(128))]
struct OwnLine<T>(T);

/// The page of one virtual CPU.
///
/// ```
/// use pvqspin_abi::{Cpu, Generation, RunSample, RunState, VcpuPage};
///
/// let page = VcpuPage::new();
/// assert_eq!(page.run().state(), RunState::Idle);
///
/// page.set_run(RunSample::new(RunState::Running, Generation::new(1))); // the host
/// page.set_waiting_for(Cpu::new(4)); // the guest
/// assert_eq!(page.waiting_for(), Cpu::new(4));
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct VcpuPage {
    run: OwnLine<AtomicU32>,
    waiting_for: OwnLine<AtomicU32>,
}

impl VcpuPage {
    /// The page of a virtual CPU that was never started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            run: OwnLine(AtomicU32::new(
                RunSample::new(RunState::Idle, Generation(0)).raw(),
            )),
            waiting_for: OwnLine(AtomicU32::new(0)),
        }
    }

    /// The latest sample of its run state, with acquire ordering.
    #[must_use]
    #[inline]
    pub fn run(&self) -> RunSample {
        // Acquire pairs with `set_run`: who sees a CPU preempted also sees the wait-for edge
        // that it published before, so that a hint starts from a chain that was true then.
        RunSample::from_raw(self.run.0.load(Acquire))
    }

    /// Host side: publishes the run state, with release ordering.
    ///
    /// *Running* before the virtual CPU executes its first instruction, anything else after it has
    /// executed its last.
    #[inline]
    pub fn set_run(&self, sample: RunSample) {
        self.run.0.store(sample.raw(), Release);
    }

    /// The virtual CPU that this one waits for in a lock, if it does.
    ///
    /// A guest can write anything here; what names no CPU reads as none.
    #[must_use]
    #[inline]
    pub fn waiting_for(&self) -> Option<Cpu> {
        // Relaxed: the edge is advice. A host that reads an old one asks the wrong CPU to run,
        // and the lock asks again.
        Cpu::from_plus_one(self.waiting_for.0.load(Relaxed))
    }

    /// Guest side: publishes which one this virtual CPU waits for, relaxed.
    #[inline]
    pub fn set_waiting_for(&self, cpu: Option<Cpu>) {
        self.set_waiting_for_raw(cpu.map_or(0, Cpu::plus_one));
    }

    /// Guest side: writes the raw word, which may be garbage. For tests of hosts.
    #[inline]
    pub fn set_waiting_for_raw(&self, raw: u32) {
        self.waiting_for.0.store(raw, Relaxed);
    }
}

impl Default for VcpuPage {
    fn default() -> Self {
        Self::new()
    }
}

/// The page of a whole VM.
///
/// ```
/// use pvqspin_abi::VmPage;
///
/// let page = VmPage::new();
/// assert!(!page.pressure());
/// page.set_pressure(true); // the host: a virtual CPU waits for a pCPU
/// assert!(page.pressure());
/// ```
#[derive(Debug)]
#[repr(C, align(128))]
pub struct VmPage {
    pressure: AtomicU32,
}

impl VmPage {
    /// The page of a VM without competition.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pressure: AtomicU32::new(0),
        }
    }

    /// Whether some runnable virtual CPU has to wait for a pCPU. While it is false, none is
    /// preempted and giving up a pCPU gains nothing.
    ///
    /// It tells a guest no more than its own stolen time does.
    #[must_use]
    #[inline]
    pub fn pressure(&self) -> bool {
        self.pressure.load(Relaxed) != 0
    }

    /// Host side: publishes it. Writes only on a change, so that readers keep their cache line.
    #[inline]
    pub fn set_pressure(&self, pressure: bool) {
        if self.pressure() != pressure {
            self.pressure.store(u32::from(pressure), Relaxed);
        }
    }
}

impl Default for VmPage {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn a_sample_keeps_state_and_generation_apart() {
        for state in [
            RunState::Running,
            RunState::Preempted,
            RunState::Halted,
            RunState::Idle,
        ] {
            for raw in [0, 1, 2, 0x1234_5678, u32::MAX] {
                let sample = RunSample::new(state, Generation::new(raw));
                assert_eq!(sample.state(), state);
                assert_eq!(sample.generation().get(), raw & (u32::MAX >> 2));
                assert_eq!(sample.is_preempted(), state == RunState::Preempted);
            }
        }
    }

    #[test]
    fn generations_wrap_without_touching_the_state() {
        let last = Generation::new(u32::MAX);
        assert_eq!(last.next(), Generation::new(0));
        let sample = RunSample::new(RunState::Running, last.next());
        assert_eq!(sample.raw(), 0);
    }

    #[test]
    fn the_layout_is_part_of_the_contract() {
        assert_eq!(offset_of!(VcpuPage, run), 0);
        assert_eq!(offset_of!(VcpuPage, waiting_for), 128);
        assert_eq!(size_of::<VcpuPage>(), 256);
        assert_eq!(size_of::<VmPage>(), 128);
    }

    #[test]
    fn a_garbage_edge_names_nobody() {
        let page = VcpuPage::new();
        for raw in [0, u32::MAX, 1 << 14, 16_383] {
            page.set_waiting_for_raw(raw);
            assert_eq!(page.waiting_for(), None, "{raw}");
        }
    }
}
