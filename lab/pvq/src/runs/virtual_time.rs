//! A run in virtual time: how far it is, and Ctrl-C within it.

use pvqspin_report::figures::time;
use pvqspin_simulator::{SimConfig, SimError, SimResult, run_while};

use crate::output::failure::{Failure, note};
use crate::output::progress::Progress;
use crate::runs::interrupt;

/// Simulates a run that has begun in `progress`. A configuration that makes no sense is bad input.
/// A run that the user stops gives nothing, and standard error says so.
pub(crate) fn simulate(config: &SimConfig, progress: &mut Progress) -> Result<SimResult, Failure> {
    let result = run_while(config, &mut |underway| {
        progress.within(underway.part());
        !interrupt::asked()
    });
    result.map_err(|error| match error {
        SimError::Config(problem) => Failure::bad_input(problem),
        SimError::Stopped(at) => {
            let name = config.lock_name();
            let [passed, whole] = [at.passed_ns, at.whole_ns].map(|ns| time(ns as f64));
            note(&format!(
                "note: {name} was cut after {passed} of {whole} of virtual time, warm-up and all, and has no result"
            ));
            Failure::Interrupted
        }
        other => Failure::failed(other),
    })
}
