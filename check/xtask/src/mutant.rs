//! What a deliberate mistake is: where it stands, and which checks find it.

use core::fmt;

/// A mistake that can be made in a copy of the sources.
pub(crate) struct Mutant {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does wrong.
    pub(crate) mistake: &'static str,
    /// Where, and how.
    pub(crate) places: &'static [Place],
    /// What finds it.
    pub(crate) checks: &'static [Check],
}

/// A place in a source, and what can be wrong there.
pub(crate) struct Place {
    /// The file, from the root of the repository.
    pub(crate) file: &'static str,
    /// A text that occurs exactly once in it, blanks aside, with « and » around what is right.
    pub(crate) text: &'static str,
    /// What the mistake is instead.
    pub(crate) wrong: &'static str,
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
    /// The unit tests of what guest and host share.
    AbiUnits,
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
            Suite::AbiUnits => "abi unit",
            Suite::Host => "host",
            Suite::Torture => "torture",
            Suite::Exact => "exact",
        };
        write!(f, "{suite}: `{}`", self.test)
    }
}

pub(crate) const fn check(suite: Suite, test: &'static str) -> Check {
    Check { suite, test }
}

pub(crate) const fn place(file: &'static str, text: &'static str, wrong: &'static str) -> Place {
    Place { file, text, wrong }
}

pub(crate) const fn mutant(
    name: &'static str,
    mistake: &'static str,
    places: &'static [Place],
    checks: &'static [Check],
) -> Mutant {
    Mutant {
        name,
        mistake,
        places,
        checks,
    }
}
