//! What the ideal lock needs of its environment: the simulator can know everything, and can charge
//! nothing.
//!
//! Snapshots are exact here for every lock, because the host writes its pages at the instant of each
//! decision. A simulation of [`LockId::Ideal`] is besides one in which atomics, line transfers,
//! calls, pokes and switches are free, and a directed yield is a contract, whatever was asked for.
//! Slices, sections, the number of pCPUs, faults and jitter stay as they are.

use std::borrow::Cow;

use pvqspin_host::YieldMode;
use pvqspin_rivals::catalog::LockId;
use pvqspin_rivals::ideal::Oracle;

use crate::config::SimConfig;
use crate::costs::Costs;
use crate::guest_env::SimEnv;

impl Oracle for SimEnv {}

/// What a simulation really is: for the ideal lock, one that costs nothing.
pub(crate) fn granted(config: &SimConfig) -> Cow<'_, SimConfig> {
    if config.lock != LockId::Ideal {
        return Cow::Borrowed(config);
    }
    Cow::Owned(SimConfig {
        costs: Costs::NONE,
        yields: YieldMode::Contract,
        ..config.clone()
    })
}
