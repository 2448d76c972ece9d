//! How many random cases break the promise, for each policy and yield mode, and by how much.
//!
//! ```sh
//! cargo run --release -p pvqspin-greedy --example hunt -- 4000 1
//! ```
//!
//! The arguments are how many cases for each policy and mode, and the first seed.

use pvqspin_greedy::{Bundled, Case, judge};
use pvqspin_host::{Scheduling, YieldMode};

/// What a case needs to break the promise.
fn kind(case: &Case) -> usize {
    match case {
        Case { churn: Some(_), .. } => 2,
        Case {
            victim_starts: 0,
            setup,
            ..
        } => {
            let silent = case.clone().under(setup.scheduling, YieldMode::Hint);
            let by_loans = setup.yields == YieldMode::Contract && judge::<Bundled>(&silent).holds();
            if by_loans { 3 } else { 0 }
        }
        _ => 1,
    }
}

const KINDS: [&str; 4] = ["programs", "late victim", "churn", "loans"];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let cases = arguments.next().and_then(Result::ok).unwrap_or(1_000);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    for scheduling in Scheduling::ALL {
        for yields in YieldMode::ALL {
            let mut found = KINDS.map(|_| (0, 0.0, String::new()));
            for seed in first..first + cases {
                let case = Case::from_seed(seed).under(scheduling, yields);
                let verdict = judge::<Bundled>(&case);
                if verdict.holds() {
                    continue;
                }
                let (broken, worst, what) = &mut found[kind(&case)];
                *broken += 1;
                let lost = verdict.against_busy_ns.max(verdict.against_share_ns);
                let ratio = lost as f64 / verdict.allowed_ns as f64;
                if ratio > *worst {
                    (*worst, *what) = (ratio, format!("seed {seed}: {verdict:?}\n    {case:?}"));
                }
            }
            let broken: u64 = found.iter().map(|(broken, ..)| broken).sum();
            println!("{scheduling:12} {yields:8}: {broken} of {cases} break the promise");
            for (kind, (broken, worst, what)) in KINDS.iter().zip(found) {
                if broken > 0 {
                    println!(
                        "  {kind}: {broken}, the worst {worst:.1} times what is allowed, {what}"
                    );
                }
            }
        }
    }
}
