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
    use pvqspin_load::{NeighbourKind, NeighbourVm};

    use super::*;

    #[test]
    fn a_neighbours_part_of_its_share_is_pcpu_time_where_that_is_known() {
        let memory = GuestMemory::new(2).expect("some memory");
        let run = Run::default().with(|run| {
            (run.host.pcpus, run.vcpus) = (2, 8);
            run.neighbour = Some(NeighbourVm {
                kind: NeighbourKind::Busy,
                vcpus: 2,
                weight: run.weight,
            });
        });
        let part = |run: &Run, pcpus| neighbour(&memory, run, 1_000_000, pcpus).expect("possible");
        // Two of ten vCPUs: 0.4 of two pCPUs, whatever work they did.
        let all = part(&run, Some([1.6, 0.4])).expect("a part");
        assert!((all - 1.0).abs() < 1e-9, "{all}");
        let half = part(&run, Some([1.8, 0.2])).expect("a part");
        assert!((half - 0.5).abs() < 1e-9, "{half}");
        assert_ne!(part(&run, None), Some(all), "no work was done");
        assert_eq!(part(&Run::default(), Some([1.6, 0.4])), None);
    }

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
