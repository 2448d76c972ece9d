//! One table for each point: the locks, the highest throughput over bound first.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Row, Table, TableStyle};

use crate::aggregate::{AtPoint, PointKey, Spread, Summary};
use crate::figures::{count, exact_time, percent, share, time, times};

/// The lock that every other is put beside.
pub const REFERENCE: &str = "test-and-set";

/// How wide a table may get where there is no terminal to ask.
const WIDTH_WITHOUT_TERMINAL: u16 = 132;

/// How much wider it gets by a column that not every table has.
const WIDTH_OF_A_COLUMN: u16 = 16;

/// One line under the heading: rows need no rules between them, and a narrow screen no frame.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// What the columns mean, for under the last table.
pub const LEGEND: &str = "\
Medians over the repeats, in brackets the lowest and the highest. * one of ours.
thr/bound   critical sections per second over the most that any lock could do, min(1/C, P/(C+N), V/(C+N)); C, N: median of all runs in the table
            (several locks: 1/C is that of the busiest one, and a round may hold several sections; see docs/workloads.md)
vs tas      throughput over that of test-and-set; vs best: over that of the fastest lock of the table
Jain        fairness over 100 ms windows: 1 is fair     wait: from joining the queue to holding; longest: of all repeats
LHP, LWP    preemptions while holding; hand-overs to a vCPU that was not running
calls/acq   hypercalls for each acquisition             wasted: pCPU time spent spinning while a runnable vCPU had to wait
neighbour   work of the lock-free VM over what its share of the pCPUs would give";

/// What the columns of [`render_threads`] mean.
pub const THREADS_LEGEND: &str = "\
Medians over the repeats, in brackets the lowest and the highest. * one of ours.
thr/bound   critical sections per second over the most that any lock could do, min(1/C, P/(C+N), V/(C+N)); C, N: median of all runs in the table
vs std      throughput over that of std::sync::Mutex; vs best: over that of the fastest lock of the table
Jain        fairness over 100 ms windows: 1 is fair     wait: from the call to holding; longest: of all repeats";

/// The lock of ordinary threads that every other is put beside.
pub const THREADS_REFERENCE: &str = "std";

/// The heading and the table of one point. Colours and width follow the terminal, if there is one.
#[must_use]
pub fn render(at: &AtPoint) -> String {
    framed(at, &heading(&at.point), header(at), row)
}

/// The same for ordinary threads: without what only a host could know.
#[must_use]
pub fn render_threads(at: &AtPoint) -> String {
    let point = &at.point;
    let heading = format!(
        "{} threads on {} CPUs ({} for each), {}",
        point.vcpus,
        point.pcpus,
        count(point.overcommit()),
        sections(point),
    );
    framed(at, &heading, threads_header(), threads_row)
}

fn framed(at: &AtPoint, heading: &str, header: Row, row: fn(&AtPoint, &Summary) -> Row) -> String {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if !table.is_tty() {
        let extra = usize::from(own_unit(at).is_some()) + usize::from(has_neighbour(at));
        table.set_width(WIDTH_WITHOUT_TERMINAL + WIDTH_OF_A_COLUMN * extra as u16);
    }
    for lock in &at.locks {
        table.add_row(row(at, lock));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{heading}\n{}\n{}", table.trim_fmt(), warnings(at))
}

/// The point in words.
#[must_use]
pub fn heading(point: &PointKey) -> String {
    let workload = match point.workload.as_str() {
        PLAIN => String::new(),
        other => format!("{other}, "),
    };
    format!(
        "{workload}overcommit {} ({} vCPUs on {} pCPUs), {}",
        count(point.overcommit()),
        point.vcpus,
        point.pcpus,
        sections(point),
    )
}

fn sections(point: &PointKey) -> String {
    format!(
        "inside {}, outside {} ({})",
        exact_time(point.inside_ns),
        exact_time(point.outside_ns),
        point.distribution,
    )
}

/// What every table has.
const COLUMNS: [&str; 12] = [
    "lock",
    "thr/bound",
    "per s",
    "vs tas",
    "vs best",
    "Jain",
    "wait p99",
    "longest",
    "LHP/s",
    "LWP/s",
    "calls/acq",
    "wasted",
];

/// The workload whose unit is the critical section, which every table has anyway.
pub(crate) const PLAIN: &str = "hot-lock";

/// What the workload is counted in, where that is something of its own.
fn own_unit(at: &AtPoint) -> Option<&str> {
    let unit = at.locks.first().map(|lock| lock.unit.as_str())?;
    (at.point.workload != PLAIN && !unit.is_empty()).then_some(unit)
}

fn has_neighbour(at: &AtPoint) -> bool {
    at.locks.iter().any(|lock| lock.neighbour.is_some())
}

fn header(at: &AtPoint) -> Row {
    let unit = own_unit(at).map(|unit| format!("{unit}/s"));
    let neighbour = has_neighbour(at).then(|| "neighbour".to_owned());
    let columns = COLUMNS.map(str::to_owned).into_iter();
    Row::from(columns.chain(unit).chain(neighbour).collect::<Vec<_>>())
}

fn threads_header() -> Row {
    Row::from([
        "lock",
        "thr/bound",
        "per s",
        "vs std",
        "vs best",
        "Jain",
        "wait p99",
        "wait p99.99",
        "longest",
    ])
}

fn name(lock: &Summary) -> String {
    match lock.is_ours() {
        true => format!("{} *", lock.lock),
        false => lock.lock.clone(),
    }
}

fn threads_row(at: &AtPoint, lock: &Summary) -> Row {
    Row::from([
        name(lock),
        with_ends(&lock.over_bound),
        count(lock.throughput_per_s.median),
        relative(lock, at.lock(THREADS_REFERENCE)),
        relative(lock, at.fastest(|_| true)),
        share(lock.jain.median),
        time(lock.wait_p99_ns.median),
        time(lock.wait_p9999_ns.median),
        time(lock.wait_max_ns.max),
    ])
}

fn row(at: &AtPoint, lock: &Summary) -> Row {
    let mut cells = vec![
        name(lock),
        with_ends(&lock.over_bound),
        count(lock.throughput_per_s.median),
        relative(lock, at.lock(REFERENCE)),
        relative(lock, at.fastest(|_| true)),
        share(lock.jain.median),
        time(lock.wait_p99_ns.median),
        time(lock.wait_max_ns.max),
        count(lock.lhp_per_s.median),
        count(lock.lwp_per_s.median),
        share(lock.hypercalls_per_acquisition.median),
        percent(lock.wasted_share.median),
    ];
    if own_unit(at).is_some() {
        cells.push(count(lock.units_per_s.median));
    }
    if has_neighbour(at) {
        let neighbour = lock.neighbour.as_ref();
        cells.push(neighbour.map_or_else(|| "-".to_owned(), |spread| share(spread.median)));
    }
    Row::from(cells)
}

fn with_ends(spread: &Spread) -> String {
    let middle = share(spread.median);
    let (low, high) = (share(spread.min), share(spread.max));
    if low == high {
        middle
    } else {
        format!("{middle} ({low}-{high})")
    }
}

fn relative(lock: &Summary, to: Option<&Summary>) -> String {
    match to {
        Some(to) if to.throughput_per_s.median > 0.0 => {
            times(lock.throughput_per_s.median / to.throughput_per_s.median)
        }
        _ => "-".to_owned(),
    }
}

/// What must not be overlooked: figures that are bugs, in a lock or in the measurement.
pub(crate) fn warnings(at: &AtPoint) -> String {
    let mut text = String::new();
    for lock in &at.locks {
        let name = &lock.lock;
        if lock.exclusion_violations > 0 {
            let seen = lock.exclusion_violations;
            let _ = writeln!(text, "BUG: {name} let two in at once, {seen} times");
        }
        if lock.halt_timeouts > 0 {
            let seen = lock.halt_timeouts;
            let _ = writeln!(
                text,
                "BUG: {name} lost {seen} wake-ups (a timeout ended the halt)"
            );
        }
        if lock.over_bound.median > 1.05 {
            let over = share(lock.over_bound.median);
            let _ = writeln!(
                text,
                "doubtful: {name} is at {over} of a bound that no lock can pass: measured C or N is off"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
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
    fn without_the_reference_there_is_no_ratio_to_it() {
        let text = rendered(&[samples::record("fifo", 8, 400_000.0)]);
        let row = text
            .lines()
            .find(|line| line.contains("fifo *"))
            .expect("its row");
        assert!(row.split_whitespace().any(|cell| cell == "-"), "{row}");
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
        assert!(text.contains("lost 1 wake-ups"));
        assert!(text.contains("doubtful: fifo is at 1.40"));
    }
}
