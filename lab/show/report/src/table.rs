//! One table for each point: the locks, the highest throughput over bound first.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

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
thr/bound   critical sections per second over the most that any lock could do, min(1/C, P/(C+N), V/(C+N)); C, N: medians of all locks of the repeat
            (several locks: 1/C is that of the busiest one, and a round may hold several sections; see docs/workloads.md)
vs tas      throughput over that of test-and-set; vs best: over that of the fastest lock of the table
Jain        fairness over 100 ms windows: 1 is fair     wait: from joining the queue to holding; longest: of all repeats
LHP, LWP    preemptions while holding; hand-overs to a vCPU that was not running
calls/acq   hypercalls for each acquisition             wasted: pCPU time spent spinning while a runnable vCPU had to wait
neighbour   work of the lock-free VM over what its share of the pCPUs would give";

/// What the columns of [`render_threads`] mean.
pub const THREADS_LEGEND: &str = "\
Medians over the repeats, in brackets the lowest and the highest. * one of ours.
thr/bound   critical sections per second over the most that any lock could do, min(1/C, P/(C+N), V/(C+N)); C, N: medians of all locks of the repeat
vs std      throughput over that of std::sync::Mutex; vs best: over that of the fastest lock of the table
Jain        fairness over 100 ms windows: 1 is fair     wait: from the call to holding; longest: of all repeats";

/// The lock of ordinary threads that every other is put beside.
pub const THREADS_REFERENCE: &str = "std";

/// A column: its title, and what it says of a lock.
type Column = (String, fn(&AtPoint, &Summary) -> String);

/// The heading and the table of one point. Colours and width follow the terminal, if there is one.
#[must_use]
pub fn render(at: &AtPoint) -> String {
    let mut columns = common("vs tas", |at, lock| relative(lock, at.lock(REFERENCE)));
    let more: [Column; 5] = [
        ("longest".to_owned(), longest),
        ("LHP/s".to_owned(), |_, lock| count(lock.lhp_per_s.median)),
        ("LWP/s".to_owned(), |_, lock| count(lock.lwp_per_s.median)),
        ("calls/acq".to_owned(), |_, lock| {
            share(lock.hypercalls_per_acquisition.median)
        }),
        ("wasted".to_owned(), |_, lock| {
            percent(lock.wasted_share.median)
        }),
    ];
    columns.extend(more);
    if let Some(unit) = own_unit(at) {
        columns.push((format!("{unit}/s"), |_, lock| {
            count(lock.units_per_s.median)
        }));
    }
    if has_neighbour(at) {
        columns.push(("neighbour".to_owned(), |_, lock| {
            let neighbour = lock.neighbour.as_ref();
            neighbour.map_or_else(|| "-".to_owned(), |spread| share(spread.median))
        }));
    }
    framed(at, &heading(&at.point), &columns)
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
    let mut columns = common("vs std", |at, lock| {
        relative(lock, at.lock(THREADS_REFERENCE))
    });
    columns.push(("wait p99.99".to_owned(), |_, lock| {
        time(lock.wait_p9999_ns.median)
    }));
    columns.push(("longest".to_owned(), longest));
    framed(at, &heading, &columns)
}

/// The columns that every table begins with; `reference` puts a lock beside the usual one.
fn common(title: &str, reference: fn(&AtPoint, &Summary) -> String) -> Vec<Column> {
    let columns: [Column; 7] = [
        ("lock".to_owned(), |_, lock| match lock.is_ours() {
            true => format!("{} *", lock.lock),
            false => lock.lock.clone(),
        }),
        ("thr/bound".to_owned(), |_, lock| {
            with_ends(&lock.over_bound)
        }),
        ("per s".to_owned(), |_, lock| {
            count(lock.throughput_per_s.median)
        }),
        (title.to_owned(), reference),
        ("vs best".to_owned(), |at, lock| {
            relative(lock, at.fastest(|_| true))
        }),
        ("Jain".to_owned(), |_, lock| share(lock.jain.median)),
        ("wait p99".to_owned(), |_, lock| {
            time(lock.wait_p99_ns.median)
        }),
    ];
    columns.into()
}

fn longest(_at: &AtPoint, lock: &Summary) -> String {
    time(lock.wait_max_ns.max)
}

fn framed(at: &AtPoint, heading: &str, columns: &[Column]) -> String {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns.iter().map(|(title, _)| title));
    if !table.is_tty() {
        let extra = usize::from(own_unit(at).is_some()) + usize::from(has_neighbour(at));
        table.set_width(WIDTH_WITHOUT_TERMINAL + WIDTH_OF_A_COLUMN * extra as u16);
    }
    for lock in &at.locks {
        table.add_row(columns.iter().map(|(_, cell)| cell(at, lock)));
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
    // On a host of ours the head of the output says what it is; one command may compare several
    // ways to talk to a host that is not.
    let host = match point.host_policy.as_str() {
        NOT_OURS => format!(", {}", point.yield_mode),
        _ => String::new(),
    };
    format!(
        "{workload}overcommit {} ({} vCPUs on {} pCPUs), {}{host}",
        count(point.overcommit()),
        point.vcpus,
        point.pcpus,
        sections(point),
    )
}

/// The host policy of results whose vCPUs Linux schedules.
const NOT_OURS: &str = "linux";

fn sections(point: &PointKey) -> String {
    format!(
        "inside {}, outside {} ({})",
        exact_time(point.inside_ns),
        exact_time(point.outside_ns),
        point.distribution,
    )
}

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
