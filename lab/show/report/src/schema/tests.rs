use super::*;
use crate::samples;

/// The fields that design and documentation promise, in their order. Add, never rename.
const FILE: [&str; 7] = [
    "schema", "command", "version", "machine", "seed", "driver", "results",
];
const RECORD: [&str; 29] = [
    "lock",
    "policy",
    "word",
    "workload",
    "host_policy",
    "pcpus",
    "vcpus",
    "overcommit",
    "inside_ns",
    "outside_ns",
    "inside_measured_ns",
    "outside_measured_ns",
    "repeat",
    "duration_ns",
    "acquisitions",
    "throughput_per_s",
    "throughput_over_bound",
    "jain",
    "wait_ns",
    "call_ns",
    "lhp",
    "lwp",
    "wasted_ns",
    "hypercalls",
    "hypercalls_per_acquisition",
    "neighbour",
    "events",
    "yields",
    "waits_over_slice",
];

fn json(report: &Report) -> Value {
    let mut bytes = Vec::new();
    write_json(report, &mut bytes).expect("a vector takes everything");
    assert_eq!(bytes.last(), Some(&b'\n'));
    serde_json::from_slice(&bytes).expect("what was written is JSON")
}

#[test]
fn every_promised_field_is_there() {
    let value = json(&samples::report());
    for field in FILE {
        assert!(value.get(field).is_some(), "{field} is missing");
    }
    assert_eq!(value["schema"], 1);
    for record in value["results"].as_array().expect("an array") {
        for field in RECORD {
            assert!(record.get(field).is_some(), "{field} is missing");
        }
        for latency in ["wait_ns", "call_ns"] {
            for quantile in ["p50", "p99", "p999", "p9999", "max"] {
                assert!(record[latency][quantile].is_u64(), "{latency}.{quantile}");
            }
        }
        for kind in ["halt", "kick", "yield_to"] {
            assert!(record["hypercalls"][kind].is_u64(), "hypercalls.{kind}");
        }
        for status in ["ran", "already_running", "stale", "refused"] {
            assert!(record["yields"][status].is_u64(), "yields.{status}");
        }
    }
}

#[test]
fn every_field_is_documented() {
    let documentation = include_str!("../../../../../docs/results.md");
    let value = json(&samples::report());
    let keys = |of: &Value| -> Vec<String> {
        of.as_object().expect("an object").keys().cloned().collect()
    };
    let all = [&value, &value["machine"], &value["results"][0]];
    for field in all.into_iter().flat_map(keys) {
        assert!(
            documentation.contains(&format!("`{field}`")),
            "docs/results.md does not describe {field}"
        );
    }
}

#[test]
fn what_was_written_reads_back() {
    let report = samples::report();
    let back: Report = serde_json::from_value(json(&report)).expect("our own schema");
    assert_eq!(back, report);
}

#[test]
fn ratios_are_computed_from_what_was_measured() {
    let record = samples::record("fifo", 4, 500_000.0);
    // P/(C+N) with the measured C and N is the least of the three.
    let bound = 2.0 / (1_010.0e-9 + 1_995.5e-9);
    assert!((record.throughput_over_bound - 500_000.0 / bound).abs() < 1e-9);
    assert!((record.hypercalls_per_acquisition - 6.0 / 500_000.0).abs() < 1e-12);
    assert!((record.wasted_share - 0.025).abs() < 1e-12);
    assert_eq!(record.policy.as_deref(), Some("fifo"));
    assert_eq!(samples::record("ticket", 4, 1.0).policy, None);
}

#[test]
fn a_run_that_did_nothing_has_no_nan() {
    let mut outcome = samples::outcome(4, 0);
    outcome.inside_measured_ns = f64::NAN;
    outcome.outside_measured_ns = f64::NAN;
    outcome.jain = f64::NAN;
    outcome.neighbour = Some(f64::NAN);
    let record = Record::new(&samples::facts("fifo"), &samples::point(4), 0, &outcome);
    let value = serde_json::to_value(&record).expect("serialises");
    for field in [
        "throughput_over_bound",
        "jain",
        "hypercalls_per_acquisition",
    ] {
        assert_eq!(value[field].as_f64(), Some(0.0), "{field}");
    }
    assert!(value["neighbour"].is_null());
}
