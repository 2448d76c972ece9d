//! What `linux/measure.sh` and `linux/work.sh` printed, as tables.

use std::fmt::Write as _;

/// What is possible counts only the two sections; turns of the load's loops are rounded.
const ROUNDED: f64 = 1.05;

/// Of one lock in one guest, or of one program under one lock: the columns that the scripts print, each with a
/// number for each turn.
struct Row {
    program: String,
    lock: String,
    columns: Vec<Vec<f64>>,
}

impl Row {
    /// All turns: the median, and from least to most.
    fn spread(&self, column: usize, scale: f64, digits: usize) -> String {
        let sorted = sorted(&self.columns[column]);
        let part = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN) * scale;
        match sorted.len() {
            0 | 1 => format!("{:.digits$}", part(0)),
            len => format!(
                "{:.digits$} ({:.digits$} to {:.digits$})",
                median(&sorted) * scale,
                part(0),
                part(len - 1)
            ),
        }
    }

    /// Each turn.
    fn each(&self, column: usize, scale: f64, digits: usize) -> String {
        let parts: Vec<_> = (self.columns[column].iter())
            .map(|value| format!("{:.digits$}", value * scale))
            .collect();
        parts.join(", ")
    }

    fn least(&self, column: usize) -> f64 {
        sorted(&self.columns[column])
            .first()
            .copied()
            .unwrap_or(f64::NAN)
    }

    fn sum(&self, column: usize) -> f64 {
        self.columns[column].iter().sum()
    }

    /// Takes the turns out in which it did more than `bound` a second. Returns how much that was, in thousands.
    fn without_turns_above(&mut self, bound: f64) -> Vec<String> {
        let above: Vec<bool> = (self.columns[0].iter()).map(|&did| did > bound).collect();
        let taken = (self.columns[0].iter().zip(&above))
            .filter(|&(_, &above)| above)
            .map(|(did, _)| format!("{:.1}", did * 1e-3))
            .collect();
        for column in &mut self.columns {
            let mut is_above = above.iter();
            column.retain(|_| !is_above.next().copied().unwrap_or(false));
        }
        taken
    }

    fn is_of_linux(&self) -> bool {
        self.lock == "stock" || self.lock == "test-and-set"
    }
}

/// The rows of one guest after another: of lines that begin with `kind` and have `columns` numbers.
fn guests(text: &str, kind: &str, columns: usize) -> Vec<Vec<Row>> {
    let mut guests = Vec::new();
    let mut rows = Vec::<Row>::new();
    for line in text.lines() {
        if line == "GUEST-END" && !rows.is_empty() {
            guests.push(std::mem::take(&mut rows));
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let (lock, program, numbers) = match words[..] {
            ["trial", _, lock, ref numbers @ ..] => (lock, "", numbers),
            ["work", _, lock, program, ref numbers @ ..] => (lock, program, numbers),
            _ => continue,
        };
        if words[0] != kind || numbers.len() != columns {
            continue;
        }
        let known = (rows.iter()).position(|row| row.program == program && row.lock == lock);
        let at = known.unwrap_or_else(|| {
            rows.push(Row {
                program: program.to_owned(),
                lock: lock.to_owned(),
                columns: vec![Vec::new(); columns],
            });
            rows.len() - 1
        });
        for (column, number) in rows[at].columns.iter_mut().zip(numbers) {
            column.push(number.parse().unwrap_or(f64::NAN));
        }
    }
    guests
}

/// A table for each guest, a row for each lock. More than `possible` acquisitions a second are a fault of the
/// load: a turn that has more is left out, and named below the table.
pub(crate) fn table(text: &str, vcpus: &[u32], possible: Option<f64>) -> String {
    let mut out = String::new();
    for (mut rows, vcpus) in guests(text, "trial", 11).into_iter().zip(vcpus) {
        let mut left_out = String::new();
        if let Some(possible) = possible {
            for row in &mut rows {
                let taken = row.without_turns_above(possible * ROUNDED);
                if !taken.is_empty() {
                    let _ = write!(
                        left_out,
                        "\nLeft out: a turn of {} with {}, where {:.1} is possible.\n",
                        row.lock,
                        taken.join(", one with "),
                        possible * 1e-3
                    );
                }
            }
        }
        let _ = write!(
            out,
            "\n{vcpus} vCPUs:\n\n| lock | thousand a second | over the better of Linux's two | 999 of 1,000 waits below, ms | longest wait of each turn, ms | the lock was taken meanwhile | longest in order, ms | with a name | yields | ran | a free lock, ns |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        let rival = better_of_linux(&rows);
        for row in &rows {
            let (named, nameless) = (row.sum(4), row.sum(5));
            let (ran, refused) = (row.sum(6), row.sum(7));
            let _ = writeln!(
                out,
                "| {} | {} | {:.2} | {} | {} | {} | {} | {} | {:.0} | {} | {:.1} |",
                row.lock,
                row.spread(0, 1e-3, 1),
                median(&row.columns[0]) / rival,
                row.each(2, 1e-6, 2),
                row.each(1, 1e-6, 1),
                row.each(8, 1.0, 0),
                row.each(9, 1e-6, 1),
                percent(named, named + nameless),
                ran + refused,
                percent(ran, ran + refused),
                row.least(10) * 1e-3,
            );
        }
        out.push_str(&left_out);
    }
    out
}

/// A table for each guest, a row for each program and lock.
pub(crate) fn work_table(text: &str, vcpus: &[u32]) -> String {
    let mut out = String::new();
    for (mut rows, vcpus) in guests(text, "work", 5).into_iter().zip(vcpus) {
        // By program; the locks stay in their order.
        rows.sort_by(|one, other| one.program.cmp(&other.program));
        let _ = write!(
            out,
            "\n{vcpus} vCPUs:\n\n| program | lock | work a second | over the better of Linux's two | waits | all, ms | longest of each turn, ms | run queue, µs |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for program in rows.chunk_by(|one, other| one.program == other.program) {
            let rival = better_of_linux(program);
            for row in program {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {:.2} | {:.0} | {:.1} | {} | {:.0} |",
                    row.program,
                    row.lock,
                    row.spread(0, 1.0, 1),
                    median(&row.columns[0]) / rival,
                    row.sum(1),
                    row.sum(2),
                    row.each(3, 1.0, 1),
                    median(&row.columns[4]),
                );
            }
        }
    }
    out
}

/// What the better one of Linux's two locks did.
fn better_of_linux(rows: &[Row]) -> f64 {
    (rows.iter().filter(|row| row.is_of_linux()))
        .map(|row| median(&row.columns[0]))
        .fold(f64::NAN, f64::max)
}

fn percent(part: f64, all: f64) -> String {
    match all > 0.0 {
        true => format!("{:.0} %", 100.0 * part / all),
        false => "-".to_owned(),
    }
}

fn sorted(of: &[f64]) -> Vec<f64> {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Of an even number the middle of the two in the middle.
fn median(of: &[f64]) -> f64 {
    let sorted = sorted(of);
    match sorted[..] {
        [] => f64::NAN,
        _ => f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of the last row.
    fn last(table: &str) -> Vec<&str> {
        let row = table.lines().last().unwrap();
        row.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn the_median_of_turns_stands_over_the_better_of_linuxs_two() {
        let mut text = String::new();
        for (turn, stock, ours) in [(1, 1000, 1500), (2, 4000, 9000), (3, 2000, 3000)] {
            writeln!(
                text,
                "trial {turn} stock {stock} 5000000 1 0 0 0 0 0 7 3 20000"
            )
            .unwrap();
            writeln!(
                text,
                "trial {turn} fifo {ours} 2000000 1 9 9 1 3 1 7 3000000 20500"
            )
            .unwrap();
        }
        text.push_str("GUEST-END\n");
        assert_eq!(
            last(&table(&text, &[8], None)),
            [
                "fifo",
                "3.0 (1.5 to 9.0)",
                "1.50",
                "0.00, 0.00, 0.00",
                "2.0, 2.0, 2.0",
                "7, 7, 7",
                "3.0, 3.0, 3.0",
                "90 %",
                "12",
                "75 %",
                "20.5"
            ]
        );
    }

    #[test]
    fn a_turn_above_what_is_possible_is_left_out_and_named() {
        let mut text = String::new();
        for (turn, did, longest) in [(1, 40_000, 1), (2, 90_000, 9), (3, 42_000, 3)] {
            writeln!(
                text,
                "trial {turn} fifo {did} {longest}000000 1 9 9 1 3 1 7 3000000 20500"
            )
            .unwrap();
        }
        text.push_str("GUEST-END\n");
        let table = table(&text, &[8], Some(45_000.0));
        assert!(
            table.contains("| fifo | 41.0 (40.0 to 42.0) |") && table.contains("| 1.0, 3.0 |"),
            "{table}"
        );
        assert!(
            table.ends_with("\nLeft out: a turn of fifo with 90.0, where 45.0 is possible.\n"),
            "{table}"
        );
    }

    #[test]
    fn programs_stand_together_with_their_locks() {
        let text = "work 1 stock b 10 1 2 3 4\nwork 1 stock a 5 1 2 3 4\nwork 1 fifo b 20 1 2 1 4\n\
                    work 2 fifo b 30 1 2 9 4\nGUEST-END\n";
        let table = work_table(text, &[8]);
        assert_eq!(
            last(&table),
            [
                "b",
                "fifo",
                "25.0 (20.0 to 30.0)",
                "2.50",
                "2",
                "4.0",
                "1.0, 9.0",
                "4"
            ]
        );
        assert_eq!(table.lines().count(), 8);
    }

    #[test]
    fn what_is_no_trial_is_no_row() {
        assert_eq!(table("trial 1 fifo 3\nGUEST-END\n", &[8], None), "");
        assert_eq!(
            work_table("trial 1 fifo 1 2 3 4 5 6 7 8 9\nGUEST-END\n", &[8]),
            ""
        );
    }
}
