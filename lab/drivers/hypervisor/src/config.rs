//! What the embedded hypervisor is asked for beside the run itself.

use pvqspin_driver_common::Run;
use pvqspin_real_time::{ConfigProblem, config};

/// A run, and what only this driver can do about it.
///
/// ```
/// use pvqspin_hypervisor::{HvConfig, Run};
///
/// let run = Run::default().with(|run| (run.host.pcpus, run.vcpus, run.trace) = (2, 8, true));
/// let config = HvConfig { hypercall_ns: 0, ..HvConfig::from(run) };
/// assert!(config.validate(2).is_ok());
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct HvConfig {
    /// The run.
    pub run: Run,
    /// What a hypercall costs on top of the switch, in nanoseconds. Default 1 µs: an exit to KVM
    /// and back takes 1,100 to 1,500 cycles in the processor alone (AMD, measured by Michael Roth
    /// for KVM in December 2020: 1,344 to 1,376), about 2,500 with KVM's own work.
    pub hypercall_ns: u64,
    /// How many marks of each vCPU are kept in a traced run, at most: the latest. A mark takes 16
    /// bytes, and one acquisition makes up to six.
    pub trace_marks: usize,
}

impl From<Run> for HvConfig {
    fn from(run: Run) -> Self {
        Self {
            run,
            hypercall_ns: 1_000,
            trace_marks: 1 << 17,
        }
    }
}

impl Default for HvConfig {
    fn default() -> Self {
        Self::from(Run::default())
    }
}

impl HvConfig {
    /// Checks it for a process that may use so many CPUs. [`run`](crate::run()) asks first of all.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn validate(&self, cpus: usize) -> Result<(), ConfigProblem> {
        config::validate(&self.run, cpus)?;
        if self.hypercall_ns >= self.run.host.slice_ns {
            return Err(ConfigProblem::HypercallTooLong {
                hypercall_ns: self.hypercall_ns,
                slice_ns: self.run.host.slice_ns,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypercall_longer_than_a_slice_is_refused() {
        assert!(HvConfig::default().validate(1).is_ok());
        let config = HvConfig {
            hypercall_ns: 3_000_000,
            ..HvConfig::default()
        };
        let error = config.validate(1).expect_err("too long").to_string();
        assert!(error.contains("nothing of a slice"), "{error}");
    }
}
