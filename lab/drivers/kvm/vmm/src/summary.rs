//! What the guests have left behind, if it can be true, and what was counted meanwhile.

use std::sync::Arc;

use pvqspin_driver_common::Run;
use pvqspin_load::neighbour::throughput_over_share;
use pvqspin_load::record::IMPLAUSIBLE;
use pvqspin_load::{Account, NeighbourRecord, Outcome, Record, WorkloadId};

use crate::error::RunError;
use crate::memory::GuestMemory;
use crate::phases::Counts;

/// Puts together what the guests have left, if it can be true, and what was counted.
pub(crate) fn summarise(
    config: &Run,
    memories: &[Arc<GuestMemory>],
    duration_ns: u64,
    counts: &Counts,
) -> Result<Outcome, RunError> {
    let memory = &memories[0];
    let summary = what_can_be_true(memory, config.workload.id, duration_ns)?;
    let neighbour = match memories.get(1) {
        Some(beside) => neighbour(beside, config, duration_ns, counts.pcpus)?,
        None => None,
    };
    let mut outcome = Outcome {
        neighbour,
        halt_timeouts: counts.halt_timeouts,
        waits_over_slice: pvqspin_load::waits_over(memory.records(), config.host.slice_ns),
        ..counts.tally.complete(summary)
    };
    outcome.hypercalls.yield_to = counts.yield_calls;
    outcome.events.extend(counts.kvm.named());
    Ok(outcome)
}

/// What the guest has left of its locks, if it can be true. No vCPU runs any more.
fn what_can_be_true(
    memory: &GuestMemory,
    id: WorkloadId,
    duration_ns: u64,
) -> Result<Outcome, RunError> {
    let records = memory.records();
    if !records.iter().all(Record::is_plausible) {
        return Err(RunError::Senseless("a count of its vCPUs is impossible"));
    }
    let (entered, class_sizes) = (memory.results().account())
        .filter(|(entered, _)| *entered < IMPLAUSIBLE)
        .ok_or(RunError::Senseless(
            "the account of its locks is impossible",
        ))?;
    let account = Account {
        id,
        entered,
        class_sizes: class_sizes.collect(),
    };
    Ok(pvqspin_load::summarise(records, &account, duration_ns))
}

/// How much a neighbour got of its share, if what it has left can be true: of pCPU time, if that is known.
fn neighbour(
    memory: &GuestMemory,
    config: &Run,
    duration_ns: u64,
    pcpus: Option<[f64; 2]>,
) -> Result<Option<f64>, RunError> {
    let records = memory.neighbour_records();
    if !records.iter().all(NeighbourRecord::is_plausible) {
        return Err(RunError::Senseless(
            "a count of the neighbour is impossible",
        ));
    }
    let share = config.neighbour_share(1);
    Ok(share.and_then(|share| match pcpus {
        // Not by its work: a unit that the emulator's next turn falls into takes 200 times as long as another one.
        Some([_, theirs]) => Some(theirs / share),
        None => throughput_over_share(records, duration_ns, share),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_counts_are_told() {
        let memory = GuestMemory::new(2).expect("some memory");
        let look = || what_can_be_true(&memory, WorkloadId::HotLock, 1).map(|_| ());
        memory.results().set_account(0, &[1]);
        look().expect("nothing happened, which is possible");
        memory.results().set_account(IMPLAUSIBLE, &[1]);
        let error = look().expect_err("too often").to_string();
        assert!(error.contains("account of its locks"), "{error}");
        let last = memory.layout().records + 2 * size_of::<Record>() as u64 - 8;
        let at = memory.layout().records + size_of::<Record>() as u64;
        for at in [at, last] {
            memory.write_words(at, &[u64::MAX]).expect("inside");
        }
        let error = look().expect_err("a count of all ones").to_string();
        assert!(error.contains("count of its vCPUs"), "{error}");
    }
}
