//! The deliberate mistakes, and which checks find each: the quickest first.

use core::fmt;

/// A mistake that the source can make.
pub(crate) struct Mutant {
    /// Its name in `mutate!`.
    pub(crate) name: &'static str,
    /// What it does wrong.
    pub(crate) mistake: &'static str,
    /// What finds it.
    pub(crate) checks: &'static [Check],
}

/// A test.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) suite: Suite,
    pub(crate) test: &'static str,
}

/// A test binary, and how it is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Suite {
    /// The lock's own unit tests.
    Word,
    /// The lock step by step, on one thread.
    Scripted,
    /// The lock under loom.
    Loom,
    /// The same, with one preemption more.
    LoomOneMore,
    /// The host's unit tests.
    HostUnits,
    /// The host, event by event, and at random.
    Host,
    /// Random schedules of the simulator.
    Torture,
    /// Schedules of the simulator whose figures are known.
    Exact,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suite = match self.suite {
            Suite::Word => "unit",
            Suite::Scripted => "scripted",
            Suite::Loom => "loom",
            Suite::LoomOneMore => "loom with one preemption more",
            Suite::HostUnits => "host unit",
            Suite::Host => "host",
            Suite::Torture => "torture",
            Suite::Exact => "exact",
        };
        write!(f, "{suite}: `{}`", self.test)
    }
}

const fn check(suite: Suite, test: &'static str) -> Check {
    Check { suite, test }
}

const fn mutant(name: &'static str, mistake: &'static str, checks: &'static [Check]) -> Mutant {
    Mutant {
        name,
        mistake,
        checks,
    }
}

use Suite::{Exact, Host, HostUnits, Loom, LoomOneMore, Scripted, Torture, Word};

/// Every mistake, those of the lock first.
pub(crate) const MUTANTS: &[Mutant] = &[
//TABLE
];
