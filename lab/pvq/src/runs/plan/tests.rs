use super::*;
use crate::cli::Cli;
use clap::Parser;

const LIMITS: Limits = Limits {
    cpus: 2,
    vcpus_in_word: 16_382,
};

fn plan(options: &str) -> Result<Plan> {
    let words = ["pvq"].into_iter().chain(options.split_whitespace());
    let cli = Cli::try_parse_from(words).expect("well formed");
    Plan::new(&cli.compare.compare, &LIMITS)
}

fn refused(options: &str) -> String {
    plan(options).expect_err(options).to_string()
}

#[test]
fn the_default_takes_about_a_minute_and_quick_ten_seconds() {
    for (options, seconds) in [("", 60.0), ("--quick", 10.0), ("--full", 600.0)] {
        let total = plan(options)
            .expect("the defaults")
            .total_time()
            .as_secs_f64();
        assert!((total / seconds - 1.0).abs() < 0.15, "{options}: {total} s");
    }
    let one = plan("--lock fifo --overcommit 2 --repeats 1").expect("fine");
    assert!(
        one.total_time() < Duration::from_secs(3),
        "few runs do not fill the minute"
    );
}

#[test]
fn everything_runs_once_in_each_repeat_and_starts_move() {
    let plan = plan("--repeats 4").expect("fine");
    let runs: Vec<PlannedRun> = plan.runs().collect();
    assert_eq!(runs.len(), plan.run_count());
    for run in &runs {
        assert_eq!(
            runs.iter().filter(|other| *other == run).count(),
            1,
            "{run:?}"
        );
    }
    let per_point = plan.locks.len();
    let per_repeat = runs.len() / 4;
    for (at, run) in runs.iter().enumerate() {
        assert_eq!(
            run.repeat as usize,
            at / per_repeat,
            "repeats are the outermost loop"
        );
        let first = &runs[at - at % per_point];
        assert_eq!((run.vcpus, run.section), (first.vcpus, first.section));
    }
    let starts: Vec<&str> = (0..4)
        .map(|repeat| runs[repeat * per_repeat].lock)
        .collect();
    let mut different = starts.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 4, "{starts:?}");
}

#[test]
fn sections_pair_up() {
    let sections = |options: &str| plan(options).expect(options).sections;
    assert_eq!(sections(""), NORMAL.sections);
    assert_eq!(sections("--inside 5us"), [(5_000, 2_000)]);
    assert_eq!(sections("--outside 0,7us"), [(1_000, 0), (1_000, 7_000)]);
    assert_eq!(
        sections("--inside 1us,2us --outside 3us,4us"),
        [(1_000, 3_000), (2_000, 4_000)]
    );
    assert_eq!(
        sections("--inside 1us,2us --outside 3us"),
        [(1_000, 3_000), (2_000, 3_000)]
    );
    assert!(refused("--inside 1us,2us,3us --outside 1us,2us").contains("pair up"));
}

#[test]
fn impossible_numbers_of_cpus_are_refused() {
    assert!(refused("--pcpus 3").contains("may use 2 CPUs"));
    assert!(refused("--overcommit 10000").contains("a lock word names 16382 at most"));
    assert!(refused("--overcommit 1.3").contains("they come whole"));
    assert!(refused("--overcommit 0.0001").contains("they come whole"));
    assert_eq!(plan("--overcommit 1.5").expect("three vCPUs").vcpus, [3]);
    assert_eq!(plan("--overcommit 2,2").expect("once").vcpus, [4]);
}

#[test]
fn endless_and_empty_plans_are_refused() {
    assert!(refused("--duration 20").contains("too short"));
    assert!(refused("--duration 5m").contains("at most 100 s"));
    assert!(refused("--repeats 1000000").contains(" h "));
    assert!(refused("--repeats 18446744073709551615").contains(" h "));
}

#[test]
fn full_leaves_out_what_one_cpu_cannot_do() {
    let plan = plan("--full --pcpus 1").expect("fine");
    assert_eq!(plan.vcpus, [1, 2, 3, 4, 8]);
}
