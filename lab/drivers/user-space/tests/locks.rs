//! Every lock of the catalogue, on more threads than there are CPUs.

use std::time::Duration;

use pvqspin_load::{Section, WorkloadConfig, WorkloadId, catalog as workloads};
use pvqspin_user_space::threads::catalog::Waits;
use pvqspin_user_space::threads::{CATALOG, MAX_THREADS, RunConfig, RunError, catalog, run};

fn config(entry: &catalog::Entry, id: WorkloadId, threads: usize) -> RunConfig {
    RunConfig {
        lock: entry.id,
        workload: WorkloadConfig {
            id,
            inside: Section::uniform(500),
            outside: Section::uniform(500),
            seed: 1,
        },
        threads,
        warmup: Duration::from_millis(5),
        duration: Duration::from_millis(40),
    }
}

#[test]
fn every_lock_excludes_and_nobody_is_lost() {
    for entry in CATALOG {
        let outcome = run(&config(entry, WorkloadId::HotLock, 6)).expect("six threads");
        assert_eq!(outcome.exclusion_violations, 0, "{}", entry.name);
        // A queue of spinning threads may be handed over less than once in that time.
        assert!(
            outcome.acquisitions > 0 || entry.waits == Waits::Spinning,
            "{}",
            entry.name
        );
        assert_eq!(outcome.per_vcpu.len(), 6, "{}", entry.name);
        assert!(
            outcome.wait.max >= outcome.wait.p50 && outcome.wait == outcome.call,
            "{}: waits count from the call",
            entry.name
        );
    }
}

#[test]
fn every_workload_runs() {
    // The last workload does nothing.
    let busy = |workload: &&workloads::Entry| workload.id != WorkloadId::Halted;
    for workload in workloads::CATALOG.iter().filter(busy) {
        for name in [
            "bounded",
            "fifo-halt",
            "spin-ticket-yield",
            "mcs-yield",
            "std",
        ] {
            let entry = catalog::find(name).expect("it is in the catalogue");
            let what = (workload.name, name);
            // A busy machine may leave a thread out for 40 ms, but not each time.
            let progress = (0..8).any(|_| {
                let outcome = run(&config(entry, workload.id, 4)).expect("four threads");
                assert_eq!(outcome.exclusion_violations, 0, "{what:?}");
                outcome
                    .per_vcpu
                    .iter()
                    .all(|acquisitions| *acquisitions > 0)
            });
            assert!(progress, "{what:?}: a thread never got the lock");
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    for entry in CATALOG {
        assert_eq!(catalog::find(entry.name), Some(entry));
    }
    assert_eq!(catalog::find("std-mutex"), None);
}

#[test]
fn impossible_numbers_of_threads_are_refused() {
    for threads in [0, MAX_THREADS + 1] {
        let error =
            run(&config(&CATALOG[0], WorkloadId::HotLock, threads)).expect_err("impossible");
        assert!(matches!(error, RunError::Threads(asked) if asked == threads));
        assert!(error.to_string().contains("from 1 to 2048"), "{error}");
    }
}
