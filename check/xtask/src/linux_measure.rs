//! What `linux/measure.sh` printed, as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Of one policy in one guest.
#[derive(Default)]
struct Trials {
    /// Acquisitions in a second, one for each turn.
    per_second: Vec<f64>,
    longest_ns: f64,
    slow_paths: f64,
    named: f64,
    nameless: f64,
    ran: f64,
    refused: f64,
}

/// A table for each guest: the median of the turns, over that of the kernel's own lock.
pub(crate) fn table(text: &str) -> String {
    let mut out = String::new();
    let mut trials = BTreeMap::<usize, (String, Trials)>::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["trial", _, lock, ref numbers @ ..] if numbers.len() == 8 => {
                let number = |at: usize| numbers[at].parse::<f64>().unwrap_or(f64::NAN);
                let next = trials.len();
                let at = (trials.iter())
                    .find(|(_, (name, _))| name == lock)
                    .map_or(next, |(&at, _)| at);
                let (_, of) = trials
                    .entry(at)
                    .or_insert_with(|| (lock.to_owned(), Trials::default()));
                of.per_second.push(number(0));
                of.longest_ns = of.longest_ns.max(number(1));
                of.slow_paths += number(3);
                of.named += number(4);
                of.nameless += number(5);
                of.ran += number(6);
                of.refused += number(7);
            }
            ["GUEST-END"] => {
                out.push_str(&guest(std::mem::take(&mut trials).into_values().collect()));
            }
            _ => (),
        }
    }
    out
}

fn guest(trials: Vec<(String, Trials)>) -> String {
    let mut out = format!(
        "\n{:<18} {:>10} {:>7} {:>7} {:>11} {:>8} {:>9} {:>9}\n",
        "lock", "a second", "/stock", "/rival", "longest ms", "named", "yields", "ran"
    );
    let Some(stock) = trials.first().map(|(_, of)| median(&of.per_second)) else {
        return String::new();
    };
    // The better one of Linux's two.
    let rival = (trials.iter())
        .filter(|(name, _)| name == "stock" || name == "test-and-set")
        .map(|(_, of)| median(&of.per_second))
        .fold(f64::NAN, f64::max);
    for (name, of) in &trials {
        let percent = |part: f64, all: f64| match all > 0.0 {
            true => format!("{:.0} %", 100.0 * part / all),
            false => "-".to_owned(),
        };
        let yields = of.ran + of.refused;
        let _ = writeln!(
            out,
            "{name:<18} {:>10.0} {:>7.2} {:>7.2} {:>11.1} {:>8} {yields:>9.0} {:>9}",
            median(&of.per_second),
            median(&of.per_second) / stock,
            median(&of.per_second) / rival,
            of.longest_ns / 1e6,
            percent(of.named, of.named + of.nameless),
            percent(of.ran, yields),
        );
    }
    out
}

/// Of one program under one lock.
#[derive(Default)]
struct Work {
    per_second: Vec<f64>,
    waits: f64,
    total_ms: f64,
    longest_ms: f64,
    queued_us: Vec<f64>,
}

/// What `linux/work.sh` printed: a table for each guest, a row for each program and lock.
pub(crate) fn work_table(text: &str) -> String {
    let mut out = String::new();
    let mut rows = Vec::<(String, String, Work)>::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["work", _, lock, program, ref numbers @ ..] if numbers.len() == 5 => {
                let number = |at: usize| numbers[at].parse::<f64>().unwrap_or(f64::NAN);
                let known = (rows.iter()).position(|row| row.0 == program && row.1 == lock);
                let at = known.unwrap_or_else(|| {
                    rows.push((program.to_owned(), lock.to_owned(), Work::default()));
                    rows.len() - 1
                });
                let of = &mut rows[at].2;
                of.per_second.push(number(0));
                of.waits += number(1);
                of.total_ms += number(2);
                of.longest_ms = of.longest_ms.max(number(3));
                of.queued_us.push(number(4));
            }
            ["GUEST-END"] => out.push_str(&programs(std::mem::take(&mut rows))),
            _ => (),
        }
    }
    out
}

fn programs(mut rows: Vec<(String, String, Work)>) -> String {
    // By program; the locks stay in their order.
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    let mut out = format!(
        "\n{:<18} {:<13} {:>10} {:>7} {:>9} {:>10} {:>11} {:>12}\n",
        "program", "lock", "a second", "/stock", "waits", "total ms", "longest ms", "run queue us"
    );
    let mut stock = f64::NAN;
    for (program, lock, of) in &rows {
        if lock == "stock" {
            stock = median(&of.per_second);
        }
        let _ = writeln!(
            out,
            "{program:<18} {lock:<13} {:>10.1} {:>7.2} {:>9.0} {:>10.1} {:>11.2} {:>12.0}",
            median(&of.per_second),
            median(&of.per_second) / stock,
            of.waits,
            of.total_ms,
            of.longest_ms,
            median(&of.queued_us),
        );
    }
    out
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_turns_stands_over_that_of_the_kernels_own() {
        let mut text = String::new();
        for (turn, stock, ours) in [(1, 100, 150), (2, 400, 900), (3, 200, 300)] {
            writeln!(text, "trial {turn} stock {stock} 5000000 1 0 0 0 0 0").unwrap();
            writeln!(text, "trial {turn} fifo {ours} 2000000 1 9 9 1 3 1").unwrap();
        }
        text.push_str("GUEST-END\n");
        let table = table(&text);
        let row: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(
            row,
            [
                "fifo", "300", "1.50", "1.50", "2.0", "90", "%", "12", "75", "%"
            ]
        );
    }

    #[test]
    fn programs_stand_together_with_their_locks() {
        let text = "work 1 stock b 10 1 2 3 4\nwork 1 stock a 5 1 2 3 4\nwork 1 fifo b 20 1 2 1 4\n\
                    work 2 fifo b 30 1 2 9 4\nGUEST-END\n";
        let table = work_table(text);
        let last: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["b", "fifo", "30.0", "3.00", "2", "4.0", "9.00", "4"]);
        assert_eq!(table.lines().count(), 5);
    }

    #[test]
    fn what_is_no_trial_is_no_row() {
        assert_eq!(table("trial 1 fifo 3\nGUEST-END\n"), "");
    }
}
