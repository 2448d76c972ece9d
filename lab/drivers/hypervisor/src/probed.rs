//! What this machine allows, and what the hypervisor's steps cost on it.

use core::fmt;

use pvqspin_driver_common::MeasuredCosts;

/// What the probe of this machine found: it can run the embedded hypervisor, at these costs.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// The CPUs that this process may use, by their numbers.
    pub cpus: Vec<usize>,
    /// Whether the time-stamp counter runs at one speed, always.
    pub tsc_invariant: bool,
    /// What the hypervisor's steps cost here.
    pub costs: MeasuredCosts,
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Probe {
    /// Finds out what this machine allows: nothing, on this platform.
    ///
    /// # Errors
    ///
    /// Always [`Unsupported::Platform`](crate::Unsupported::Platform).
    pub fn run() -> Result<Self, crate::Unsupported> {
        Err(crate::Unsupported::Platform)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let costs = &self.costs;
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
            costs.tsc_mhz
        )?;
        writeln!(
            f,
            "computing loop        {:.2} ns a turn",
            costs.compute_turn_ns
        )?;
        writeln!(f, "vCPU enter and leave  {:.0} ns", costs.switch_ns)?;
        writeln!(f, "hypercall, bare       {:.0} ns", costs.hypercall_ns)?;
        writeln!(
            f,
            "preemption, there and back  {:.0} ns",
            costs.preemption_ns
        )?;
        match costs.poke_ns.zip(costs.poke_send_ns) {
            Some((noticed, send)) => write!(
                f,
                "poke until noticed    {noticed:.0} ns, its sender goes on after {send:.0} ns"
            ),
            None => write!(f, "poke until noticed    (one CPU: no other to poke)"),
        }
    }
}
