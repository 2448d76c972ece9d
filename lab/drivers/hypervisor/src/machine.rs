//! What this machine allows, and what the hypervisor's steps cost on it.

use core::fmt;

/// A machine that can run the embedded hypervisor, with what was measured on it.
///
/// The costs are medians of short measurements. They describe the machine at that moment; runs
/// do not rely on them.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// The CPUs that this process may use, by their numbers.
    pub cpus: Vec<usize>,
    /// Whether the time-stamp counter runs at one speed, always.
    pub tsc_invariant: bool,
    /// The time-stamp counter's frequency, in MHz.
    pub tsc_mhz: f64,
    /// One turn of the loop that stands for work, in nanoseconds: the grain of sections.
    pub compute_turn_ns: f64,
    /// Entering a vCPU and leaving it, in nanoseconds.
    pub switch_ns: f64,
    /// A hypercall that changes nothing, there and back, without the added cost; in nanoseconds.
    pub hypercall_ns: f64,
    /// A timer signal, the way to the host and back to the same vCPU, in nanoseconds: what a
    /// guest loses at the end of a slice.
    pub preemption_ns: f64,
    /// From poking another pCPU until its guest is interrupted, in nanoseconds. `None` with one
    /// CPU.
    pub poke_ns: Option<f64>,
    /// What the poke costs the pCPU that sends it, in nanoseconds. `None` with one CPU.
    pub poke_send_ns: Option<f64>,
    /// What the poke costs the guest that it interrupts, if that goes on, in nanoseconds. `None`
    /// with one CPU.
    pub poke_lost_ns: Option<f64>,
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Machine {
    /// Finds out what this machine allows: nothing, on this platform.
    ///
    /// # Errors
    ///
    /// Always [`Unsupported::Platform`](crate::Unsupported::Platform).
    pub fn probe() -> Result<Self, crate::Unsupported> {
        Err(crate::Unsupported::Platform)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariant = if self.tsc_invariant {
            "invariant"
        } else {
            "NOT known to be invariant: times may be wrong"
        };
        writeln!(
            f,
            "CPUs usable           {} {:?}",
            self.cpus.len(),
            self.cpus
        )?;
        writeln!(
            f,
            "time-stamp counter    {:.0} MHz, {invariant}",
            self.tsc_mhz
        )?;
        writeln!(
            f,
            "computing loop        {:.2} ns a turn",
            self.compute_turn_ns
        )?;
        writeln!(f, "vCPU enter and leave  {:.0} ns", self.switch_ns)?;
        writeln!(f, "hypercall, bare       {:.0} ns", self.hypercall_ns)?;
        writeln!(
            f,
            "preemption, there and back  {:.0} ns",
            self.preemption_ns
        )?;
        match self.poke_ns.zip(self.poke_send_ns) {
            Some((noticed, send)) => write!(
                f,
                "poke until noticed    {noticed:.0} ns, its sender goes on after {send:.0} ns"
            ),
            None => write!(f, "poke until noticed    (one CPU: no other to poke)"),
        }
    }
}
