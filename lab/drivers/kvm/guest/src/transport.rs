//! What a transport is: how a guest knows what its hypervisor does, and how it asks for something.

use pvqspin_abi::{Cpu, Hint, RunSample, Status};

use crate::cpu;

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

    /// Publishes whom this vCPU waits for.
    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let page = cpu::page(cpu::room().number.load());
        let former = page.waiting_for();
        page.set_waiting_for(cpu);
        former
    }

    /// Whom a CPU waits for.
    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        cpu::page(cpu).waiting_for()
    }

    /// Corrects the edge of another CPU.
    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        cpu::page(cpu).set_waiting_for(to);
    }

    /// Brings this vCPU's account of its time up to date, where nobody does it from outside. True if
    /// it was not.
    #[inline]
    fn notice_entry() -> bool {
        false
    }
}
