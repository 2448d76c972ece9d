//! What runs, and how: the same in every run of a command.

use pvqspin_driver_common::Run;
use pvqspin_kvm_boot::Transport;
use pvqspin_real_time::config::validate as validate_run;

use crate::error::{ConfigProblem, MIN_SLICE_NS};
use crate::image::Image;
use crate::setup::Cpl;
use crate::vm::KvmHost;

/// A guest to run.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its program.
    pub image: Image,
    /// How it reaches its hypervisor.
    pub transport: Transport,
    /// At which privilege level it runs.
    pub cpl: Cpl,
}

/// Whether a run makes sense for this guest on this KVM, for a process that may use so many CPUs.
/// [`run`](crate::run()) asks first of all.
///
/// # Errors
///
/// The first thing that makes no sense.
pub fn validate(
    host: &KvmHost,
    guest: &Guest,
    cpus: usize,
    config: &Run,
) -> Result<(), ConfigProblem> {
    validate_run(config, cpus)?;
    let neighbour = config.neighbour.map(|neighbour| neighbour.vcpus);
    let allowed = host.max_vcpus();
    for asked in [Some(config.vcpus), neighbour].into_iter().flatten() {
        if asked > allowed {
            return Err(ConfigProblem::TooManyVcpus { asked, allowed });
        }
    }
    if config.host.slice_ns < MIN_SLICE_NS {
        return Err(ConfigProblem::SliceTooShort {
            slice_ns: config.host.slice_ns,
        });
    }
    if guest.transport.is_stock() && guest.cpl != Cpl::Zero {
        return Err(ConfigProblem::StockNeedsCpl0);
    }
    if config.trace || !config.faults.0.is_empty() {
        return Err(ConfigProblem::EmbeddedOnly);
    }
    Ok(())
}
