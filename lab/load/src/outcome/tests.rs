use super::*;
use crate::workload::WorkloadId;
use alloc::vec;

const EPSILON: f64 = 1e-9;

/// The summary of a workload with one lock that counted right.
fn summarise(records: &[Record], duration_ns: u64) -> Outcome {
    let entered = records.iter().map(Record::all_acquisitions).sum();
    super::summarise(records, &account(entered), duration_ns)
}

fn account(entered: u64) -> Account {
    Account {
        id: WorkloadId::HotLock,
        entered,
        class_sizes: vec![1],
    }
}

#[test]
fn jain_is_one_for_equals_and_one_over_n_for_a_monopoly() {
    let of = |shares: &[u64]| jain(shares.iter().copied());
    assert_eq!(of(&[5, 5, 5, 5]), Some(1.0));
    assert_eq!(of(&[8, 0, 0, 0]), Some(0.25));
    assert_eq!(of(&[1, 3]), Some(0.8));
    assert_eq!(of(&[0, 0]), None);
    assert_eq!(of(&[]), None);
}

/// A record with these acquisitions in its windows.
fn record(windows: &[u32]) -> Record {
    let record = Record::new();
    for (window, &count) in windows.iter().enumerate() {
        for _ in 0..count {
            record.count_in_window(window as u64 * WINDOW_NS + 17);
            record.acquisitions.add(1);
            record.all_acquisitions.add(1);
        }
    }
    record
}

#[test]
fn fairness_is_judged_in_each_window() {
    // Taking turns by whole windows is not fair, although it evens out.
    let records = [record(&[10, 0, 5, 3]), record(&[0, 10, 5, 1])];
    let outcome = summarise(&records, 3 * WINDOW_NS + WINDOW_NS / 2);
    assert!((outcome.jain - (0.5 + 0.5 + 1.0) / 3.0).abs() < EPSILON);
    assert_eq!(outcome.per_vcpu, vec![18, 16]);
    assert_eq!(outcome.acquisitions, 34);
    // A run shorter than a window is judged as a whole.
    let whole = summarise(&records, WINDOW_NS - 1).jain;
    assert!((whole - 34.0 * 34.0 / (2.0 * (324.0 + 256.0))).abs() < EPSILON);
}

#[test]
fn windows_in_which_nobody_got_the_lock_do_not_count() {
    let records = [record(&[4, 0, 4]), record(&[4, 0, 4])];
    assert!((summarise(&records, 3 * WINDOW_NS).jain - 1.0).abs() < EPSILON);
    assert_eq!(summarise(&[Record::new()], 3 * WINDOW_NS).jain, 0.0);
}

#[test]
fn what_comes_after_the_last_window_counts_in_none() {
    let record = Record::new();
    record.count_in_window(WINDOWS as u64 * WINDOW_NS);
    record.count_in_window(u64::MAX);
    assert_eq!(record.windows().sum::<u32>(), 0);
}

#[test]
fn sums_and_means_are_over_all_records() {
    let records = [Record::new(), Record::new()];
    records[0].lhp.add(3);
    records[1].lhp.add(4);
    records[1].lwp.add(5);
    records[0].wasted_before_ns.set(1_000);
    records[0].wasted_after_ns.set(1_700);
    records[1].wasted_after_ns.set(50);
    records[0].inside.add(900);
    records[0].inside.add(1_100);
    records[1].inside.add(1_300);
    records[1].wait.record(4_000_000);
    records[0].call.record(5_000_000);
    let outcome = summarise(&records, 1_000_000_000);
    assert_eq!((outcome.lhp, outcome.lwp, outcome.wasted_ns), (7, 5, 750));
    assert!((outcome.inside_measured_ns - 1_100.0).abs() < EPSILON);
    assert!(outcome.outside_measured_ns.is_nan());
    assert_eq!((outcome.wait.max, outcome.call.max), (4_000_000, 5_000_000));
    assert_eq!(waits_over(&records, 3_000_000), 1);
    assert_eq!(waits_over(&records, 5_000_000), 0);
}

#[test]
fn a_lost_count_is_a_violation() {
    let records = [record(&[3]), record(&[2])];
    let violations =
        |entered| super::summarise(&records, &account(entered), 1).exclusion_violations;
    assert_eq!(violations(5), 0);
    assert_eq!((violations(4), violations(6)), (1, 1));
    records[0].violations.add(2);
    assert_eq!(violations(4), 3);
}

#[test]
fn the_busiest_lock_is_the_one_with_the_most_time_for_each_acquisition() {
    let record = Record::new();
    record.acquisitions.add(100);
    record.nested.add(50);
    // 40 of 100 acquisitions of the one lock of its kind, 60 of a hundred locks.
    for (class, taken, held) in [(0, 40, 1_000), (1, 60, 9_000)] {
        record.use_of(class).acquisitions.add(taken);
        record.use_of(class).held.add(held);
    }
    let load = |sizes: &[usize]| super::load(core::slice::from_ref(&record), sizes);
    assert!((load(&[1, 100]).busiest_ns - 400.0).abs() < EPSILON);
    assert!((load(&[1, 1]).busiest_ns - 5_400.0).abs() < EPSILON);
    assert!((load(&[1]).per_round - 2.0).abs() < EPSILON);
    // Alone, a lock is as busy as it is held.
    let alone = Record::new();
    alone.acquisitions.add(7);
    alone.use_of(0).acquisitions.add(7);
    alone.inside.add(1_234);
    let alone = super::load(core::slice::from_ref(&alone), &[1]);
    assert!((alone.busiest_ns - 1_234.0).abs() < EPSILON && alone.per_round == 1.0);
}

#[test]
fn a_restart_forgets_measurements_and_keeps_violations() {
    let record = record(&[3]);
    record.violations.add(1);
    record.wait.record(5);
    record.restart();
    let outcome = summarise(core::slice::from_ref(&record), WINDOW_NS);
    assert_eq!((outcome.acquisitions, outcome.wait.max), (0, 0));
    assert_eq!((record.all_acquisitions(), record.violations.get()), (3, 1));
    assert_eq!(record.windows().sum::<u32>(), 0);
}

#[test]
fn the_bound_is_the_tightest_of_three() {
    let bound = |inside_ns, outside_ns, pcpus, vcpus| {
        let load = LockLoad {
            busiest_ns: inside_ns,
            per_round: 1.0,
        };
        bound_per_s(load, inside_ns, outside_ns, pcpus, vcpus)
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
    close(bound(1_000.0, 2_000.0, 2, 16), 2e9 / 3_000.0);
    close(bound(20_000.0, 20_000.0, 8, 16), 5e4);
    close(bound(1_000.0, 9_000.0, 8, 3), 3e5);
}
