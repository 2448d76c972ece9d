//! Records for tests: plausible figures, each easy to change.

use std::collections::BTreeMap;

use crate::machine::Machine;
use crate::point::Point;
use crate::schema::{LockFacts, Record, Report, SCHEMA};
use pvqspin_load::{Hypercalls, Outcome, Quantiles, YieldResults};

/// Two pCPUs, 1 µs inside, 2 µs outside.
pub(crate) fn point(vcpus: usize) -> Point {
    Point {
        workload: "hot-lock".into(),
        host_policy: "round-robin".into(),
        yield_mode: "contract".into(),
        pcpus: 2,
        vcpus,
        inside_ns: 1_000,
        outside_ns: 2_000,
        distribution: "uniform".into(),
        slice_ns: 3_000_000,
    }
}

pub(crate) fn facts(lock: &str) -> LockFacts {
    let policy = match lock {
        "fifo" | "bounded" => Some(lock.to_owned()),
        _ => None,
    };
    LockFacts {
        lock: lock.into(),
        word: policy.as_ref().map(|_| "idx3".into()),
        policy,
        fair: ["fifo", "native-queued"].contains(&lock),
    }
}

/// An outcome of one second with so many acquisitions.
pub(crate) fn outcome(vcpus: usize, acquisitions: u64) -> Outcome {
    Outcome {
        duration_ns: 1_000_000_000,
        acquisitions,
        unit: "sections",
        units: acquisitions,
        per_vcpu: vec![acquisitions / vcpus as u64; vcpus],
        jain: 0.99,
        wait: Quantiles {
            p50: 900,
            p99: 4_000,
            p999: 8_000,
            p9999: 20_000,
            max: 31_000,
        },
        wait_counts: vec![
            (0, acquisitions / 4),
            (900, acquisitions / 2),
            (4_000, acquisitions / 100),
            (8_000, acquisitions / 1_000),
            (20_000, acquisitions / 10_000),
            (31_000, 1),
        ],
        call: Quantiles {
            p50: 950,
            p99: 4_100,
            p999: 8_200,
            p9999: 3_000_000,
            max: 6_000_000,
        },
        lhp: 30,
        lwp: 12,
        wasted_ns: 50_000_000,
        inside_measured_ns: 1_010.0,
        outside_measured_ns: 1_995.5,
        hypercalls: Hypercalls {
            halt: 1,
            kick: 2,
            yield_to: 3,
        },
        yields: YieldResults {
            ran: 2,
            already_running: 1,
            stale: 0,
            refused: 0,
        },
        events: vec![("slow_path", 17), ("queued", 16)],
        ..Outcome::default()
    }
}

/// A record with this throughput, everything else plausible.
pub(crate) fn record(lock: &str, vcpus: usize, throughput_per_s: f64) -> Record {
    Record::new(
        &facts(lock),
        &point(vcpus),
        0,
        &outcome(vcpus, throughput_per_s as u64),
    )
}

pub(crate) fn report() -> Report {
    Report {
        schema: SCHEMA,
        command: "pvq compare --quick".into(),
        version: "0.1.0".into(),
        machine: Machine::default(),
        seed: 42,
        driver: "hypervisor".into(),
        options: BTreeMap::from([("repeats".into(), 3.into())]),
        started_unix_s: 1_700_000_000,
        complete: true,
        planned: 2,
        results: vec![
            record("fifo", 4, 600_000.0),
            record("test-and-set", 4, 300_000.0),
        ],
    }
}
