//! What the ideal lock needs of its environment: the simulator can know everything, and can charge
//! nothing.
//!
//! Snapshots are exact here for every lock, because the host writes its pages at the instant of each
//! decision. A simulation of [`LockId::Ideal`] is besides one in which atomics, line transfers,
//! calls, pokes and switches are free, and a directed yield is a contract, whatever was asked for.
//! Slices, sections, the number of pCPUs, faults and jitter stay as they are. Where sections are
//! empty, inside and outside, each lasts as long as an atomic, as under every other lock: time has
//! to pass.

use std::borrow::Cow;

use pvqspin::Env;
use pvqspin_abi::{Cpu, Hint, Status};
use pvqspin_host::YieldMode;
use pvqspin_rivals::catalog::LockId;
use pvqspin_rivals::ideal::Oracle;

use crate::config::SimConfig;
use crate::costs::Costs;
use crate::guest_env::SimEnv;
use crate::shared::shared;

impl Oracle for SimEnv {
    fn waits(cpu: Cpu) -> bool {
        let shared = shared();
        // The vCPUs of a VM are neighbours, in their order.
        let first = shared.current.get() - shared.me().cpu.index();
        shared.guests[first + cpu.index()].waits.get()
    }

    fn lend(hint: Hint) -> Status {
        let me = shared().me();
        me.waits.set(true);
        let status = Self::yield_to(hint);
        me.waits.set(false);
        status
    }
}

/// What a simulation really is: for the ideal lock, one that costs nothing.
pub(crate) fn granted(config: &SimConfig) -> Cow<'_, SimConfig> {
    if config.run.lock != LockId::Ideal {
        return Cow::Borrowed(config);
    }
    let workload = &config.run.workload;
    let empty = workload.inside.mean_ns == 0 && workload.outside.mean_ns == 0;
    Cow::Owned(config.clone().with(|sim| {
        sim.costs = Costs {
            atomic_ns: if empty { config.costs.atomic_ns } else { 0 },
            ..Costs::NONE
        };
        sim.run.host.yields = YieldMode::Contract;
    }))
}
