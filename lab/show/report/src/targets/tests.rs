use super::*;
use crate::aggregate::summarise;
use crate::samples;
use crate::schema::{Hypercalls, Record};

fn quiet(mut record: Record) -> Record {
    record.hypercalls = Hypercalls::default();
    record.hypercalls_per_acquisition = 0.0;
    record
}

fn slow_waits(mut record: Record) -> Record {
    record.wait_ns.p9999 = 9_000_000;
    record.wait_ns.max = 30_000_000;
    record
}

fn good() -> Vec<Record> {
    vec![
        quiet(samples::record("fifo", 2, 600_000.0)),
        samples::record("fifo", 8, 590_000.0),
        samples::record("test-and-set", 8, 200_000.0),
        samples::record("native-queued", 8, 700.0),
        slow_waits(samples::record("unfair-hinted", 8, 600_000.0)),
    ]
}

/// Every record in so many repeats, the same in each.
fn repeated(records: &[Record], repeats: u32) -> Vec<AtPoint> {
    let all = (0..repeats).flat_map(|repeat| {
        let numbered = move |record: &Record| Record {
            repeat,
            ..record.clone()
        };
        records.iter().map(numbered)
    });
    summarise(&all.collect::<Vec<_>>())
}

fn checked(points: &[AtPoint], bounded_ns: Option<u64>) -> Vec<Check> {
    check(points, bounded_ns, Evidence::Measured)
}

fn missed(records: &[Record], bounded_ns: Option<u64>) -> Vec<String> {
    checked(&repeated(records, 3), bounded_ns)
        .into_iter()
        .filter(|check| check.verdict == Verdict::Missed)
        .map(|check| check.wanted)
        .collect()
}

#[test]
fn a_good_run_reaches_every_target() {
    let checks = checked(&repeated(&good(), 3), None);
    assert_eq!(checks.len(), 10);
    assert!(
        checks.iter().all(|c| c.verdict == Verdict::Reached),
        "{checks:#?}"
    );
    assert!(render(&checks).ends_with("targets: 10 reached, 0 missed, 0 not judged\n"));
}

#[test]
fn each_target_can_be_missed() {
    type Spoil = fn(&mut Vec<Record>);
    let spoil: [(&str, Spoil); 9] = [
        ("no hypercall at all", |r| {
            r[0].hypercalls_per_acquisition = 1e-6
        }),
        ("at least 0.95 of the best", |r| {
            r[0].throughput_per_s *= 1.2
        }),
        ("at least 2.5 times test-and-set", |r| {
            r[2].throughput_per_s *= 1.5
        }),
        ("at least 20 times native-queued", |r| {
            r[3].throughput_per_s *= 100.0
        }),
        ("at least 0.95 times unfair-hinted", |r| {
            r[4].throughput_per_s *= 1.1
        }),
        ("p99.99 wait at least 20", |r| r[4].wait_ns.p9999 = 300_000),
        ("longest wait at least 5", |r| r[4].wait_ns.max = 100_000),
        ("no wait over one slice", |r| r[1].waits_over_slice = 1),
        ("Jain index", |r| r[1].jain = 0.9),
    ];
    for (wanted, spoil) in spoil {
        let mut records = good();
        spoil(&mut records);
        let missed = missed(&records, None);
        assert_eq!(missed.len(), 1, "{wanted}: {missed:?}");
        assert!(missed[0].starts_with(wanted), "{wanted}: {missed:?}");
    }
}

#[test]
fn the_bounded_policy_is_judged_on_hint_only_hosts() {
    let mut records = vec![
        samples::record("bounded", 8, 500_000.0),
        samples::record("unfair-hinted", 8, 520_000.0),
    ];
    for record in &mut records {
        record.yield_mode = "hint".into();
    }
    assert!(missed(&records, Some(1_000_000)).is_empty());
    records[0].wait_ns.max = 2_100_000;
    assert_eq!(missed(&records, Some(1_000_000)).len(), 1);
    records[0].throughput_per_s = 100.0;
    assert_eq!(missed(&records, Some(1_000_000)).len(), 2);
}

#[test]
fn without_our_lock_there_is_nothing_to_check() {
    let checks = checked(&summarise(&[samples::record("test-and-set", 8, 1.0)]), None);
    assert!(render(&checks).contains("none can be checked"));
}

#[test]
fn without_three_undisturbed_repeats_nothing_is_judged() {
    let few = checked(&repeated(&good(), 2), None);
    let mut disturbed = good();
    for record in &mut disturbed {
        record.interrupted_ns = Some(record.duration_ns);
    }
    let noisy = checked(&repeated(&disturbed, 3), None);
    for (checks, why) in [(few, "ran 2 times"), (noisy, "3 of 3 repeats of")] {
        assert_eq!(checks.len(), 10);
        for check in &checks {
            assert_eq!(check.verdict, Verdict::NotJudged, "{check}");
            assert!(check.reached.contains(why), "{check}");
        }
        let last = "targets: 0 reached, 0 missed, 10 not judged\n";
        assert!(render(&checks).ends_with(last));
    }
}

#[test]
fn a_figure_on_both_sides_of_its_target_is_not_judged() {
    let mut records = Vec::new();
    for (repeat, factor) in [(0, 0.6), (1, 1.0), (2, 1.4)] {
        records.extend(good().into_iter().map(|mut record| {
            if record.lock == "fifo" && record.vcpus == 8 {
                record.throughput_per_s *= factor;
            }
            Record { repeat, ..record }
        }));
    }
    let checks = checked(&summarise(&records), None);
    let of = |words: &str| {
        let check = checks.iter().find(|check| check.wanted.contains(words));
        check.expect("there").verdict
    };
    assert_eq!(of("0.95 times unfair-hinted"), Verdict::NotJudged);
    assert_eq!(of("20 times native-queued"), Verdict::Reached);
}

#[test]
fn one_simulated_run_is_exact() {
    let checks = check(&summarise(&good()), None, Evidence::Simulated);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Reached));
}
