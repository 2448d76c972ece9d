//! One case by its seed, and how to run it again if it fails.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pvqspin_host::{Scheduling, YieldMode};

use crate::case::Case;
use crate::subject::Subject;
use crate::verdict::{Verdict, judge};

/// How a case failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The victim lost more than is allowed.
    Broken(Verdict),
    /// The host, or one of its debug assertions, panicked with this message.
    Panicked(String),
}

/// A case that failed. Displayed, it says which, and the command that runs it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The seed of the case.
    pub seed: u64,
    /// The case.
    pub case: Case,
    /// What became of it.
    pub failure: Failure,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            case,
            failure,
        } = self;
        let (policy, mode) = (case.setup.scheduling, case.setup.yields);
        writeln!(f, "seed {seed} under {policy}, {mode}: {failure:?}")?;
        writeln!(f, "    {case:?}")?;
        write!(
            f,
            "    again: cargo run -p pvqspin-greedy --example hunt -- 1 {seed} {policy} {mode}"
        )
    }
}

/// Runs the case of a seed: under this policy and mode, or under those that the seed means.
///
/// A panic of the host is caught, so that no seed is lost by it.
///
/// # Errors
///
/// The case that failed, if it did.
pub fn check<S: Subject>(
    seed: u64,
    under: Option<(Scheduling, YieldMode)>,
) -> Result<Verdict, Box<Found>> {
    let mut case = Case::from_seed(seed);
    if let Some((scheduling, yields)) = under {
        case = case.under(scheduling, yields);
    }
    let failure = match catch_unwind(AssertUnwindSafe(|| judge::<S>(&case))) {
        Ok(verdict) if verdict.holds() => return Ok(verdict),
        Ok(verdict) => Failure::Broken(verdict),
        Err(panic) => Failure::Panicked(message_of(&*panic)),
    };
    Err(Box::new(Found {
        seed,
        case,
        failure,
    }))
}

fn message_of(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
        .to_owned()
}
