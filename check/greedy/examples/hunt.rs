//! How many random cases break the promise, for each policy and yield mode, and by how much.
//!
//! ```sh
//! cargo run --release -p pvqspin-greedy --example hunt -- 4000 1
//! cargo run --release -p pvqspin-greedy --example hunt -- 4000 1 co-scheduled contract
//! ```
//!
//! The arguments are how many cases for each policy and mode, the first seed (by default one from the
//! clock), and the one policy and mode to search under. Each failure is printed when it is found, with the
//! command that runs that case again; so is each thousandth seed, in case that the process is killed. The
//! exit code is 1 if a case failed, and 2 if the arguments make no sense.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use pvqspin_greedy::{Bundled, Case, Failure, check, judge};
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

const KINDS: [&str; 5] = ["programs", "late victim", "churn", "loans", "panics"];

/// Returns how many cases failed.
fn hunt(scheduling: Scheduling, yields: YieldMode, first: u64, cases: u64) -> u64 {
    let mut found = KINDS.map(|_| (0, 0.0));
    for at in 0..cases {
        let seed = first.wrapping_add(at);
        if at > 0 && at.is_multiple_of(1_000) {
            eprintln!("{scheduling}, {yields}: from seed {seed} on");
        }
        let Err(one) = check::<Bundled>(seed, Some((scheduling, yields))) else {
            continue;
        };
        println!("{one}");
        let (kind, ratio) = match one.failure {
            Failure::Panicked(_) => (4, 0.0),
            Failure::Broken(verdict) => {
                let lost = verdict.against_busy_ns.max(verdict.against_share_ns);
                (kind(&one.case), lost as f64 / verdict.allowed_ns as f64)
            }
        };
        let (count, worst) = &mut found[kind];
        *count += 1;
        *worst = ratio.max(*worst);
    }
    let broken: u64 = found.iter().map(|(count, _)| count).sum();
    println!(
        "{scheduling:12} {yields:8}: {broken} of {cases} break the promise, seeds from {first} on"
    );
    for (kind, (count, worst)) in KINDS.iter().zip(found) {
        if count > 0 {
            println!("  {kind}: {count}, the worst {worst:.1} times what is allowed");
        }
    }
    broken
}

/// The next argument, if there is one.
fn argument<T: FromStr<Err: Display>>(of: &mut impl Iterator<Item = String>) -> Option<T> {
    let text = of.next()?;
    let parsed = text.parse();
    Some(parsed.unwrap_or_else(|error| {
        eprintln!("'{text}': {error}; the arguments are CASES SEED POLICY MODE");
        std::process::exit(2)
    }))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let cases = argument(&mut arguments).unwrap_or(1_000);
    let first = argument(&mut arguments).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    let policy: Option<Scheduling> = argument(&mut arguments);
    let mode: Option<YieldMode> = argument(&mut arguments);
    println!("{cases} cases for each policy and mode, seeds from {first} on");
    let mut broken = 0;
    for scheduling in Scheduling::ALL {
        for yields in YieldMode::ALL {
            if policy.is_none_or(|one| one == scheduling) && mode.is_none_or(|one| one == yields) {
                broken += hunt(scheduling, yields, first, cases);
            }
        }
    }
    if broken > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
