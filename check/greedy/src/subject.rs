//! What the search needs to know about a host.

use pvqspin_abi::RunState;
use pvqspin_host::{Cap, Scheduling, YieldMode};

/// How a host is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// How many pCPUs it has.
    pub pcpus: usize,
    /// Its scheduling policy.
    pub scheduling: Scheduling,
    /// What a directed yield is worth.
    pub yields: YieldMode,
    /// A slice, in nanoseconds.
    pub slice_ns: u64,
    /// The shortest loan, in nanoseconds.
    pub min_loan_ns: u64,
}

/// What a pCPU runs, and when it has to ask again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placed {
    /// The vCPU, by the host's number.
    pub vcpu: Option<u32>,
    /// When [`Subject::reschedule`] has to be called at the latest, in nanoseconds.
    pub until: Option<u64>,
}

/// A host under test. vCPUs are named by the host's own numbers, pCPUs from 0. Times are nanoseconds and
/// never go back. After each event the search drains [`next_poke`](Self::next_poke) and calls
/// [`reschedule`](Self::reschedule) for each pCPU that comes out, at the same instant.
pub trait Subject {
    /// A host without VMs.
    fn new(setup: &Setup) -> Self;

    /// Adds a VM, and returns the numbers of its vCPUs. None of them runs yet.
    fn add_vm(&mut self, now: u64, vcpus: usize, weight: u32) -> Vec<u32>;

    /// Caps each of these vCPUs, if this host knows caps.
    fn cap(&mut self, _now: u64, _vcpus: &[u32], _cap: Cap) {}

    /// Removes the VM of these vCPUs. Its numbers may come again.
    fn remove_vm(&mut self, now: u64, vcpus: &[u32]);

    /// A vCPU that sleeps can run.
    fn start(&mut self, now: u64, vcpu: u32);

    /// A pCPU asks what to run.
    fn reschedule(&mut self, now: u64, pcpu: usize) -> Placed;

    /// The vCPU on a pCPU yields to another of its VM.
    fn yield_to(&mut self, now: u64, pcpu: usize, to: u32) -> Placed;

    /// The vCPU on a pCPU halts until it is kicked or started, and perhaps names another of its VM.
    fn halt(&mut self, now: u64, pcpu: usize, to: Option<u32>) -> Placed;

    /// The vCPU on a pCPU kicks another of its VM.
    fn kick(&mut self, now: u64, pcpu: usize, to: u32) -> Placed;

    /// The vCPU on a pCPU sleeps until it is started.
    fn block(&mut self, now: u64, pcpu: usize) -> Placed;

    /// A guest says that a vCPU waits for another of its VM.
    fn set_edge(&mut self, vcpu: u32, to: Option<u32>);

    /// What a vCPU does.
    fn state(&self, vcpu: u32) -> RunState;

    /// The next pCPU that has to be interrupted.
    fn next_poke(&mut self) -> Option<usize>;
}
