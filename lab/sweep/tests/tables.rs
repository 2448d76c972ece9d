//! Tables of a study: what is laid out where, and which points count as lost.

use pvqspin_sweep::plan::Plan;
use pvqspin_sweep::point::Row;
use pvqspin_sweep::source::Source;
use pvqspin_sweep::table::{Table, tables};

const GRID: &str = "
    [common]
    duration = '1ms'
    warmup = '1ms'
    slice = '200us'
    [[grid]]
    name = 'a'
    locks = ['fifo', 'ticket']
    overcommit = [1, 2]
    seeds = [1, 2]
    [[grid]]
    name = 'b'
    locks = ['fifo', 'ticket']
    overcommit = 4
    ordered = [true, false]
";

fn rows() -> Vec<Row> {
    let (name, text) = ("g.toml", GRID);
    let plan = Plan::read(Source { name, text }).expect("a good grid");
    let points = plan.points.iter().enumerate();
    points
        .map(|(number, point)| point.run(number).expect("it runs"))
        .collect()
}

fn read(table: &str) -> Result<Vec<Table>, String> {
    let text = format!("{GRID}\n[[table]]\n{table}");
    let source = Source {
        name: "g.toml",
        text: &text,
    };
    tables(source).map_err(|error| error.to_string())
}

fn markdown(table: &str, rows: &[Row]) -> String {
    read(table).expect("a good table")[0].markdown(rows)
}

#[test]
fn a_table_has_a_line_for_each_row_axis_and_a_column_for_each_value() {
    let table = "name = 't'\ngrids = ['a', 'b']\nrows = ['lock', 'ordered']\n\
                 columns = 'overcommit'\nfigures = 'over_bound'";
    let mut rows = rows();
    for row in &mut rows {
        // The lowest, the highest and the median of two seeds differ.
        row.record.throughput_over_bound = match row.facts.seed {
            1 => 0.25,
            _ => 0.75,
        };
    }
    let text = markdown(table, &rows);
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(lines[0], "| lock | ordered | 1 | 2 | 4 |");
    assert_eq!(lines[2], "| `fifo` | on | 0.50 | 0.50 | 0.25 |");
    assert_eq!(
        lines[4], "| `fifo` | off |  |  | 0.25 |",
        "grid a has no such point"
    );
    assert_eq!(lines.len(), 2 + 4);
}

#[test]
fn the_longest_wait_is_that_of_all_seeds() {
    let table = "name = 't'\ngrids = 'a'\nrows = 'lock'\ncolumns = 'overcommit'\n\
                 figures = ['longest_wait', 'jain']";
    let mut rows = rows();
    for row in &mut rows {
        row.record.wait_ns.max = 1_000_000 * row.facts.seed;
        row.record.jain = 1.0;
    }
    let text = markdown(table, &rows);
    assert!(
        text.contains("| `ticket` | 2.0 ms, 1.00 | 2.0 ms, 1.00 |"),
        "{text}"
    );
}

#[test]
fn a_table_that_makes_no_sense_is_refused_with_its_line() {
    let good = "name = 't'\ngrids = 'a'\nrows = 'lock'\ncolumns = 'overcommit'\nfigures = 'jain'";
    assert!(read(good).is_ok());
    for (was, becomes, reason) in [
        ("'lock'", "'lokc'", "did you mean 'lock'?"),
        (
            "'overcommit'",
            "['overcommit', 'lock']",
            "one value, not a list",
        ),
        ("'jain'", "'jane'", "did you mean 'jain'?"),
        (
            "grids = 'a'",
            "grids = 'c'",
            "no grid of this file has that name; there are: a, b",
        ),
        ("name = 't'", "nmae = 't'", "did you mean 'name'?"),
        ("rows = 'lock'\n", "", "rows: a table needs it"),
    ] {
        let error = read(&good.replacen(was, becomes, 1)).expect_err(becomes);
        assert!(error.contains(reason), "{becomes}: {error}");
        assert!(error.starts_with("g.toml, line "), "{error}");
    }
}

/// Rows in which every lock does the same, but for one point.
fn level_but(change: impl Fn(&mut Row)) -> Vec<Row> {
    let mut rows = rows();
    for row in &mut rows {
        row.record.throughput_per_s = 1_000.0;
        row.record.wait_ns.max = 10_000;
        change(row);
    }
    rows
}

#[test]
fn a_point_is_lost_where_a_peer_is_faster_or_waits_much_less() {
    let table = "name = 'losses'\nlosses = 2";
    let is_peer_at = |row: &Row, vcpus| row.record.lock == "ticket" && row.record.vcpus == vcpus;
    let none = markdown(table, &level_but(|_| ()));
    assert!(none.starts_with("0 of 3 points"), "{none}");

    let faster = level_but(|row| {
        if is_peer_at(row, 4) {
            row.record.throughput_per_s = 1_030.0;
        }
    });
    let text = markdown(table, &faster);
    assert!(text.starts_with("1 of 3 points"), "{text}");
    assert!(
        text.contains("| `fifo` | 1.03 (`ticket`) | 10 µs | not shorter |"),
        "{text}"
    );

    let sooner = level_but(|row| {
        if is_peer_at(row, 2) {
            row.record.wait_ns.max = 4_000;
        }
    });
    let text = markdown(table, &sooner);
    assert!(
        text.contains("| not more | 10 µs | 4.0 µs (`ticket`) |"),
        "{text}"
    );
}

#[test]
fn a_trifle_and_a_host_without_ordering_are_no_losses() {
    let rows = level_but(|row| {
        if row.record.lock == "ticket" {
            row.record.wait_ns.max = 6_000;
            row.record.throughput_per_s = if row.facts.ordered { 1_010.0 } else { 9_000.0 };
        }
    });
    let text = markdown("name = 'losses'\nlosses = 2", &rows);
    assert!(text.starts_with("0 of 3 points"), "{text}");
}
