//! What a transport is: how a guest knows what its hypervisor does, and how it asks for something.

use pvqspin_abi::{Cpu, Hint, RunSample, Status};

/// One way to a hypervisor.
///
/// The functions are those of [`Env`](pvqspin::Env) of the same name, and keep the same contract.
pub(crate) trait Transport: 'static {
    /// What a CPU was doing a moment ago.
    fn run_sample(cpu: Cpu) -> RunSample;
    /// Whether any runnable vCPU has to wait for a pCPU.
    fn pressure() -> bool;
    /// Stops this vCPU until it is kicked.
    fn halt(hint: Option<Hint>);
    /// Ends the halt of a CPU, or its next one.
    fn kick(cpu: Cpu);
    /// Lends this pCPU.
    fn yield_to(hint: Hint) -> Status;
}
