use super::*;
use crate::aggregate::summarise;
use crate::samples;
use crate::schema::{Hypercalls, Record};

fn record(lock: &str, vcpus: usize, throughput: f64, longest_ns: u64) -> Record {
    let mut record = samples::record(lock, vcpus, throughput);
    record.wait_ns.max = longest_ns;
    if ["test-and-set", "native-queued"].contains(&lock) {
        record.hypercalls = Hypercalls::default();
    }
    record
}

/// Every record in three repeats that differ by a per cent.
fn repeated(records: &[Record]) -> Vec<AtPoint> {
    let all = [(0, 0.99), (1, 1.0), (2, 1.01)]
        .into_iter()
        .flat_map(|(repeat, factor)| {
            records.iter().map(move |record| Record {
                repeat,
                throughput_per_s: record.throughput_per_s * factor,
                ..record.clone()
            })
        });
    summarise(&all.collect::<Vec<_>>())
}

fn told(records: &[Record]) -> [String; 2] {
    sentences(&repeated(records), Evidence::Measured)
}

fn world(ours: f64, our_wait: u64) -> Vec<Record> {
    vec![
        record("test-and-set", 2, 600_000.0, 90_000),
        record("test-and-set", 8, 180_000.0, 132_000_000),
        record("native-queued", 2, 590_000.0, 9_000),
        record("native-queued", 8, 1_200.0, 9_000_000),
        record("unfair-hinted", 2, 600_000.0, 80_000),
        record("unfair-hinted", 8, 560_000.0, 30_000_000),
        record("fifo", 2, 600_000.0, 8_000),
        record("fifo", 8, ours, our_wait),
    ]
}

#[test]
fn a_win_is_told() {
    let [problem, answer] = told(&world(570_000.0, 22_000));
    assert_eq!(
        problem,
        "With 4 vCPUs to a CPU, the best locks that tell the host nothing reach 30 % (unfair: \
             test-and-set) and 0.2 % (in order: native-queued) of the best lock's throughput \
             without overcommit."
    );
    assert_eq!(
        answer,
        "fifo, which tells the host which vCPU to run, reached 102 % of the throughput of \
             unfair-hinted, the fastest of the others: as fast. Its longest wait was 22 µs, against \
             30 ms with unfair-hinted: 1 400 times shorter."
    );
}

#[test]
fn what_is_left_out_is_said() {
    let disturb = |name: &str, repeats: std::ops::Range<u32>| {
        let records = [(0, 0.99), (1, 1.0), (2, 1.01)].map(|(repeat, factor)| {
            world(570_000.0, 22_000)
                .into_iter()
                .map(move |record| Record {
                    repeat,
                    throughput_per_s: record.throughput_per_s * factor,
                    ..record
                })
        });
        let mut records: Vec<Record> = records.into_iter().flatten().collect();
        for record in &mut records {
            if record.lock == name && repeats.contains(&record.repeat) {
                record.interrupted_ns = Some(record.duration_ns);
                record.wait_ns.max *= 300;
            }
        }
        sentences(&summarise(&records), Evidence::Measured)
    };
    let [problem, _] = disturb("test-and-set", 0..3);
    assert!(
        problem.ends_with("without overcommit (unfair: nothing can be said)."),
        "{problem}"
    );
    let [_, answer] = disturb("fifo", 0..1);
    assert!(
        answer.contains("Its longest wait in undisturbed runs was 22 µs,"),
        "{answer}"
    );
}

#[test]
fn a_defeat_is_told_as_plainly() {
    let [_, answer] = told(&world(280_000.0, 60_000_000));
    assert!(
        answer.contains(
            "reached 50 % of the throughput of unfair-hinted, the fastest of the others: slower"
        ),
        "{answer}"
    );
    assert!(
        answer.contains("60 ms, against 30 ms with unfair-hinted: 2.0 times longer"),
        "{answer}"
    );
}

#[test]
fn a_mixed_result_is_not_made_a_win() {
    let mut records = world(570_000.0, 22_000);
    records.push(record("unfair-hinted", 16, 500_000.0, 1_000_000));
    records.push(record("fifo", 16, 100_000.0, 22_000));
    let [_, answer] = told(&records);
    assert!(
        answer.contains("as fast in 1, slower in 1 of 2 settings"),
        "{answer}"
    );
}

#[test]
fn what_did_not_run_is_not_talked_about() {
    let [problem, answer] = told(&[]);
    assert_eq!(problem, "Nothing was measured.");
    assert!(answer.contains("Ask for an overcommit above 1"));

    let alone = [record("fifo", 8, 500_000.0, 10_000)];
    let [problem, answer] = told(&alone);
    assert!(problem.contains("the locks reach from"), "{problem}");
    assert!(answer.contains("no other lock ran beside it"), "{answer}");

    let without_us = [record("test-and-set", 8, 500_000.0, 10_000)];
    let [_, answer] = told(&without_us);
    assert!(answer.contains("fifo, was not among the locks"), "{answer}");
}

#[test]
fn noise_is_no_verdict() {
    let noisy: Vec<Record> = [(0, 0.04), (1, 0.54), (2, 1.6)]
        .into_iter()
        .flat_map(|(repeat, factor)| {
            let numbered = move |mut record: Record| {
                if record.lock == "fifo" {
                    record.throughput_per_s *= factor;
                    record.wait_ns.max = (record.wait_ns.max as f64 / factor / factor) as u64;
                }
                Record { repeat, ..record }
            };
            world(570_000.0, 22_000_000).into_iter().map(numbered)
        })
        .collect();
    let [_, answer] = sentences(&summarise(&noisy), Evidence::Measured);
    assert!(
        answer.contains("others: nothing can be said. Its"),
        "{answer}"
    );
    assert!(
        answer.ends_with("nothing can be said of the difference."),
        "{answer}"
    );
}

#[test]
fn disturbed_repeats_and_single_ones_say_nothing() {
    let mut records = world(280_000.0, 60_000_000);
    let [problem, answer] = sentences(&summarise(&records), Evidence::Measured);
    assert!(
        problem.contains("Nothing can be said of 4 vCPUs to a CPU"),
        "{problem}"
    );
    assert!(answer.contains("three repeats at least"), "{answer}");
    let [_, answer] = sentences(&summarise(&records), Evidence::Simulated);
    assert!(answer.contains("slower"), "{answer}");
    for record in &mut records {
        record.interrupted_ns = Some(record.duration_ns);
    }
    let [problem, answer] = told(&records);
    assert!(problem.contains("disturbed 12 of 12 runs"), "{problem}");
    assert!(
        answer.contains("nothing can be said (other work disturbed 6 of 6 runs)"),
        "{answer}"
    );
}
