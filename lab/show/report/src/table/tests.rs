use super::*;
use crate::aggregate::summarise;
use crate::estimate::Evidence;
use crate::samples;

fn rendered(records: &[crate::Record]) -> String {
    render(&summarise(records)[0])
}

#[test]
fn rows_are_sorted_and_ratios_belong_to_their_lock() {
    let text = rendered(&[
        samples::record("test-and-set", 8, 100_000.0),
        samples::record("fifo", 8, 400_000.0),
        samples::record("native-queued", 8, 700.0),
    ]);
    let line = |name: &str| {
        let at = text
            .lines()
            .position(|line| line.trim_start().starts_with(name));
        at.unwrap_or_else(|| panic!("no row for {name} in\n{text}"))
    };
    assert!(line("fifo *") < line("test-and-set"));
    assert!(line("test-and-set") < line("native-queued"));
    let ours = text.lines().nth(line("fifo *")).expect("found above");
    assert!(ours.contains("4.00x") && ours.contains("1.00x"), "{ours}");
    assert!(text.starts_with("overcommit 4 (8 vCPUs on 2 pCPUs), inside 1 µs, outside 2 µs"));
    assert!(text.lines().next().is_some_and(|line| line.ends_with(')')));
}

#[test]
fn ways_to_talk_to_a_host_that_is_not_ours_are_told_apart() {
    let silent = crate::Record {
        host_policy: "linux".into(),
        yield_mode: "stock-silent".into(),
        ..samples::record("fifo", 8, 400_000.0)
    };
    let text = rendered(&[silent]);
    let heading = text.lines().next().expect("a heading");
    assert!(heading.ends_with("(uniform), stock-silent"), "{heading}");
}

#[test]
fn threads_have_no_columns_that_only_a_host_could_fill() {
    let text = render_threads(
        &summarise(&[
            samples::record("std", 8, 400_000.0),
            samples::record("bounded", 8, 300_000.0),
        ])[0],
    );
    assert!(text.starts_with("8 threads on 2 CPUs (4 for each), inside 1 µs, outside 2 µs"));
    let ours = text.lines().find(|line| line.contains("bounded *"));
    assert!(ours.expect("its row").contains("0.75x"), "{text}");
    assert!(!text.contains("LHP") && !text.contains("calls"), "{text}");
}

#[test]
fn without_the_reference_there_is_no_column_for_it() {
    let alone = [samples::record("fifo", 8, 400_000.0)];
    assert!(!rendered(&alone).contains("vs tas"));
    let both = [
        samples::record("fifo", 8, 400_000.0),
        samples::record(REFERENCE, 8, 100_000.0),
    ];
    assert!(rendered(&both).contains("vs tas"));
}

#[test]
fn the_legend_explains_what_is_shown_and_no_more() {
    let fifo = samples::record("fifo", 8, 400_000.0);
    let of = |record: &crate::Record| {
        legend(&summarise(std::slice::from_ref(record)), Evidence::Measured)
    };
    let plain = of(&fifo);
    for absent in ["neighbour", "vs tas", "several locks"] {
        assert!(!plain.contains(absent), "{plain}");
    }
    assert!(
        plain.contains("thr/bound") && plain.contains("LHP, LWP"),
        "{plain}"
    );
    let all = of(&crate::Record {
        lock: REFERENCE.to_owned(),
        workload: "leveldb".into(),
        neighbour: Some(0.97),
        ..fifo.clone()
    });
    for present in ["neighbour", "vs tas", "several locks"] {
        assert!(all.contains(present), "{all}");
    }
    let simulated = legend(&summarise(std::slice::from_ref(&fifo)), Evidence::Simulated);
    assert!(simulated.contains("C, N: as asked"), "{simulated}");
    assert!(plain.contains("C, N: medians of all runs"), "{plain}");
    let threads = threads_legend(&summarise(&[fifo]));
    assert!(
        !threads.contains("LHP") && threads.contains("from the call"),
        "{threads}"
    );
    for legend in [plain, all, simulated, threads] {
        assert!(
            legend.lines().all(|line| line.chars().count() <= 80),
            "{legend}"
        );
    }
}

#[test]
fn a_unit_of_its_own_and_a_neighbour_have_columns() {
    let plain = samples::record("fifo", 8, 400_000.0);
    let text = rendered(std::slice::from_ref(&plain));
    assert!(!text.contains("sections/s") && !text.contains("neighbour"));
    let gets = crate::Record {
        workload: "leveldb".into(),
        unit: "gets".into(),
        units_per_s: 123_000.0,
        neighbour: Some(0.97),
        ..plain
    };
    let text = rendered(&[gets]);
    assert!(text.starts_with("leveldb, overcommit 4"), "{text}");
    for part in ["gets/s", "neighbour", "123", "0.97"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn bugs_are_shouted() {
    let mut record = samples::record("fifo", 8, 400_000.0);
    assert!(!rendered(std::slice::from_ref(&record)).contains("BUG"));
    record.exclusion_violations = 2;
    record.halt_timeouts = 1;
    record.throughput_over_bound = 1.4;
    let text = rendered(&[record]);
    assert!(text.contains("let two in at once, 2 times"));
    assert!(text.contains("lost 1 wake-up "));
    assert!(text.contains("doubtful: fifo is at 1.40"));
}

#[test]
fn a_table_has_the_columns_that_fit_and_breaks_no_number() {
    let at = &summarise(&[
        samples::record("unfair-hinted", 8, 612_345.0),
        samples::record("fifo", 8, 400_000.0),
    ])[0];
    let mut before = usize::MAX;
    for width in [200, 132, 100, 90, 80, 60, 46] {
        let (kept, left_out) = fitting(at, columns(at), width);
        assert!(
            kept.len() <= before,
            "fewer columns where there is less room"
        );
        assert_eq!(kept.len() + left_out.len(), columns(at).len());
        before = kept.len();
        let text = render_in(at, width);
        // What is printed beside the rows is broken between words by the command.
        let rows = text.lines().filter(|line| line.starts_with([' ', '-']));
        let widest = rows.map(|line| line.chars().count()).max();
        assert!(widest <= Some(width), "{width}:\n{text}");
    }
    let titles = |width| -> Vec<String> {
        let (kept, _) = fitting(at, columns(at), width);
        kept.into_iter().map(|column| column.title).collect()
    };
    for needed in ["lock", "thr/bound", "vs best", "wait p99", "longest"] {
        assert!(titles(80).iter().any(|title| title == needed), "{needed}");
    }
}

#[test]
fn markdown_has_every_column() {
    let at = &summarise(&[samples::record("fifo", 8, 400_000.0)])[0];
    let text = markdown(at, false);
    let pipes = |line: &str| line.matches('|').count();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(
        rows.iter().all(|row| pipes(row) == columns(at).len() + 1),
        "{text}"
    );
    assert!(text.starts_with("**overcommit 4"), "{text}");
}
