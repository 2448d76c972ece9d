//! One table for each point: the locks, the highest throughput over bound first.

mod legend;

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::aggregate::{AtPoint, Summary};
use crate::figures::{count, counted, exact_time, percent, share, time, times};
use crate::point::Point;
use crate::spread::Spread;

pub use legend::{legend, threads_legend};

/// The lock that every other is put beside.
pub const REFERENCE: &str = "test-and-set";

/// How wide a table may get where there is no terminal to ask, if it is not one of the common
/// widths.
const WIDTH_WITHOUT_TERMINAL: usize = 132;

/// One line under the heading: rows need no rules between them, and a narrow screen no frame.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// The lock of ordinary threads that every other is put beside.
pub const THREADS_REFERENCE: &str = "std";

/// A column: its title, what it says of a lock, and how soon it is left out where there is no room: the
/// highest number first, 0 never.
struct Column {
    title: String,
    cell: fn(&AtPoint, &Summary) -> String,
    spare: u8,
}

fn column(title: &str, spare: u8, cell: fn(&AtPoint, &Summary) -> String) -> Column {
    Column {
        title: title.to_owned(),
        cell,
        spare,
    }
}

/// The heading and the table of one point. Colours and width follow the terminal, if there is one.
#[must_use]
pub fn render(at: &AtPoint) -> String {
    render_in(at, terminal_width())
}

fn render_in(at: &AtPoint, width: usize) -> String {
    framed(at, &heading(&at.point), columns(at), width)
}

fn columns(at: &AtPoint) -> Vec<Column> {
    let reference = column("vs tas", 6, |at, lock| relative(lock, at.lock(REFERENCE)));
    let mut columns = common(at.lock(REFERENCE).map(|_| reference));
    columns.extend([
        column("longest", 0, longest),
        column("LHP/s", 8, |_, lock| count(lock.lhp_per_s.median)),
        column("LWP/s", 8, |_, lock| count(lock.lwp_per_s.median)),
        column("calls/acq", 7, |_, lock| {
            share(lock.hypercalls_per_acquisition.median)
        }),
        column("wasted", 5, |_, lock| percent(lock.wasted_share.median)),
    ]);
    if let Some(unit) = own_unit(at) {
        columns.push(column(&format!("{unit}/s"), 3, |_, lock| {
            count(lock.units_per_s.median)
        }));
    }
    if has_neighbour(at) {
        columns.push(column("neighbour", 3, |_, lock| {
            let neighbour = lock.neighbour.as_ref();
            neighbour.map_or_else(|| "-".to_owned(), |spread| share(spread.median))
        }));
    }
    columns
}

/// The same for ordinary threads: without what only a host could know.
#[must_use]
pub fn render_threads(at: &AtPoint) -> String {
    let heading = threads_heading(&at.point);
    framed(at, &heading, threads_columns(at), terminal_width())
}

fn threads_heading(point: &Point) -> String {
    format!(
        "{} on {} ({} for each), {}",
        counted(point.vcpus, "thread"),
        counted(point.pcpus, "CPU"),
        count(point.overcommit()),
        sections(point),
    )
}

fn threads_columns(at: &AtPoint) -> Vec<Column> {
    let reference = column("vs std", 3, |at, lock| {
        relative(lock, at.lock(THREADS_REFERENCE))
    });
    let mut columns = common(at.lock(THREADS_REFERENCE).map(|_| reference));
    columns.extend([
        column("wait p99.99", 5, |_, lock| time(lock.wait_p9999_ns.median)),
        column("longest", 0, longest),
    ]);
    columns
}

/// The table of one point as Markdown: every column, whatever there is room for.
#[must_use]
pub fn markdown(at: &AtPoint, of_threads: bool) -> String {
    let (heading, columns) = match of_threads {
        true => (threads_heading(&at.point), threads_columns(at)),
        false => (heading(&at.point), columns(at)),
    };
    let row = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = format!("**{heading}**\n\n");
    text += &row(&mut columns.iter().map(|column| column.title.clone()));
    let lines = (0..columns.len()).map(|i| if i == 0 { "---" } else { "---:" });
    text += &row(&mut lines.map(str::to_owned));
    for lock in &at.locks {
        text += &row(&mut columns.iter().map(|column| (column.cell)(at, lock)));
    }
    let warnings = warnings(at);
    if !warnings.is_empty() {
        text += &format!("\n{warnings}");
    }
    text
}

/// The columns that every table begins with; `reference` puts each lock beside one of the table.
fn common(reference: Option<Column>) -> Vec<Column> {
    let mut columns = vec![
        column("lock", 0, |_, lock| match lock.is_ours() {
            true => format!("{} *", lock.lock),
            false => lock.lock.clone(),
        }),
        column("thr/bound", 0, |_, lock| with_ends(&lock.over_bound)),
        column("per s", 4, |_, lock| count(lock.throughput_per_s.median)),
    ];
    columns.extend(reference);
    columns.extend([
        column("vs best", 1, |at, lock| {
            relative(lock, at.fastest(|_| true))
        }),
        column("Jain", 3, |_, lock| share(lock.jain.median)),
        column("wait p99", 2, |_, lock| time(lock.wait_p99_ns.median)),
    ]);
    columns
}

fn longest(_at: &AtPoint, lock: &Summary) -> String {
    time(lock.wait_max_ns.max)
}

/// How wide the terminal is, or what is taken for its width.
fn terminal_width() -> usize {
    let table = Table::new();
    match table.is_tty() {
        true => table.width().map_or(WIDTH_WITHOUT_TERMINAL, usize::from),
        false => WIDTH_WITHOUT_TERMINAL,
    }
}

fn framed(at: &AtPoint, heading: &str, columns: Vec<Column>, width: usize) -> String {
    let mut table = Table::new();
    let (columns, left_out) = fitting(at, columns, width);
    table
        .load_style(STYLE)
        // What fits needs no breaking, and a broken number is none.
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| &column.title));
    for lock in &at.locks {
        table.add_row(columns.iter().map(|column| (column.cell)(at, lock)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let note = match left_out.as_slice() {
        [] => String::new(),
        names => format!("not shown, for want of room: {}\n", names.join(", ")),
    };
    format!("{heading}\n{}\n{note}{}", table.trim_fmt(), warnings(at))
}

/// The columns for which there is room, and the titles of the others.
fn fitting(at: &AtPoint, mut columns: Vec<Column>, width: usize) -> (Vec<Column>, Vec<String>) {
    let wide = |column: &Column| {
        let cells = at.locks.iter().map(|lock| (column.cell)(at, lock));
        let widest = cells.map(|cell| cell.chars().count()).max();
        // A space on each side, and one between columns.
        widest.unwrap_or(0).max(column.title.chars().count()) + 3
    };
    let mut left_out = Vec::new();
    loop {
        let needed = columns.iter().map(wide).sum::<usize>().saturating_sub(1);
        let most = columns.iter().map(|column| column.spare).max().unwrap_or(0);
        if needed <= width || most == 0 {
            return (columns, left_out);
        }
        let spared = columns.iter().position(|column| column.spare == most);
        if let Some(spared) = spared {
            left_out.push(columns.remove(spared).title);
        }
    }
}

/// The point in words.
#[must_use]
pub fn heading(point: &Point) -> String {
    let workload = match point.workload.as_str() {
        PLAIN => String::new(),
        other => format!("{other}, "),
    };
    // On pvqspin's own host the head of the output says what it is; one command may compare several
    // ways to talk to a host that is not.
    let host = match point.host_policy.as_str() {
        NOT_OURS => format!(", {}", point.yield_mode),
        _ => String::new(),
    };
    format!(
        "{workload}overcommit {} ({} on {}), {}{host}",
        count(point.overcommit()),
        counted(point.vcpus, "vCPU"),
        counted(point.pcpus, "pCPU"),
        sections(point),
    )
}

/// The host policy of results whose vCPUs Linux schedules.
const NOT_OURS: &str = "linux";

fn sections(point: &Point) -> String {
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
            let seen = counted(lock.exclusion_violations, "time");
            let _ = writeln!(text, "BUG: {name} let two in at once, {seen}");
        }
        if lock.halt_timeouts > 0 {
            let seen = counted(lock.halt_timeouts, "wake-up");
            let _ = writeln!(text, "BUG: {name} lost {seen} (a timeout ended the halt)");
        }
        if lock.doubtful_timeouts > 0 {
            let seen = counted(lock.doubtful_timeouts, "halt");
            let _ = writeln!(
                text,
                "not judged: {name}, {seen} that a timeout ended while other work had the CPUs"
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
mod tests;
