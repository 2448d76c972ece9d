//! What the protocol model is run on: configurations that must hold, and mistakes that must not.

/// A run of the model, and what must come of it.
pub(crate) struct Case {
    /// What the first column says: the configuration, or the mutant.
    pub(crate) name: &'static str,
    /// Macros of `check/model/pvqspin.pml`.
    pub(crate) defines: &'static str,
    pub(crate) property: Property,
    pub(crate) expected: Expected,
    /// Whether it needs minutes.
    pub(crate) long: bool,
    /// How deep to search; 0: as deep as it gets.
    pub(crate) depth: u32,
}

impl Case {
    /// Whether it makes this mistake.
    pub(crate) fn makes(&self, mutant: &str) -> bool {
        self.mutant() == Some(mutant)
    }

    /// The mistake that it makes. A name in brackets is that of a run that shows a limit.
    pub(crate) fn mutant(&self) -> Option<&'static str> {
        (self.expected != Holds && !self.name.starts_with('(')).then_some(self.name)
    }
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property {
    /// No assertion fails, and no vCPU is left waiting when all others have stopped.
    Safety,
    /// Every waiter acquires, if every vCPU that could run takes a step again, some time.
    Liveness,
    /// The same, of the vCPU that takes its lock with interrupts off.
    OtherLiveness,
}

/// What must come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Holds,
    /// An assertion fails whose text has this in it.
    Violates(&'static str),
    /// A vCPU sleeps, and no other vCPU is left to wake it.
    LeavesBehind,
    /// A vCPU waits for ever although every vCPU runs again and again.
    Starves,
}

use Expected::{Holds, LeavesBehind, Starves, Violates};
use Property::{Liveness, OtherLiveness, Safety};

const fn holds(name: &'static str, property: Property, defines: &'static str) -> Case {
    Case {
        name,
        defines,
        property,
        expected: Holds,
        long: false,
        depth: 0,
    }
}

const fn long(name: &'static str, property: Property, defines: &'static str) -> Case {
    Case {
        long: true,
        ..holds(name, property, defines)
    }
}

const fn mutant(name: &'static str, defines: &'static str, expected: Expected) -> Case {
    Case {
        expected,
        ..holds(name, Safety, defines)
    }
}

// Texts of assertions, as Spin prints them.
const HINT_HELPS: &str = "stage[end_]";
const HINT_IS_FRESH: &str = "!(ran_since[me])";
const HINT_IS_TAKEN: &str = "(hinted[me]==0)";
const HEAD_FIRST: &str = "for_head[me]";
const RUNNING_FIRST: &str = "(state[x_]!=1)";
const ONE_KICK: &str = "wishes[next]>0";
const FREE_NAMES_HEAD: &str = "(next!=0)||(queued";
const NO_STRANGER: &str = "owner[0]==";
const PASSED_WHEN_OLD: &str = "late[";

/// Every run, the short ones first.
pub(crate) const CASES: &[Case] = &[
    holds("fifo-halt, 3 vCPUs", Safety, "-DPOLICY=FIFO_HALT -DV=3"),
    holds("fifo-halt, 3 vCPUs", Liveness, "-DPOLICY=FIFO_HALT -DV=3"),
    holds("fifo, 2 vCPUs", Liveness, "-DPOLICY=FIFO -DV=2"),
    holds(
        "bounded, 2 vCPUs",
        Liveness,
        "-DPOLICY=BOUNDED -DV=2 -DOBEYS",
    ),
    holds("fifo-holder, 3 vCPUs", Safety, "-DPOLICY=FIFO_HOLDER -DV=3"),
    holds("fifo, 3 vCPUs", Safety, "-DPOLICY=FIFO -DV=3"),
    holds("bounded, 3 vCPUs", Safety, "-DPOLICY=BOUNDED -DV=3 -DOBEYS"),
    holds("fifo-halt, 4 vCPUs", Safety, "-DPOLICY=FIFO_HALT -DV=4"),
    holds(
        "fifo, 2 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=FIFO -DV=2 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    holds(
        "fifo-holder, 2 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=FIFO_HOLDER -DV=2 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    holds(
        "bounded, 2 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=BOUNDED -DV=2 -DP=1 -DHINTS=1 -DHINTS_HELP -DOBEYS",
    ),
    holds(
        "bounded, 2 on 1, hints, host refuses",
        Safety,
        "-DPOLICY=BOUNDED -DV=2 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    holds(
        "fifo-halt, 3 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=FIFO_HALT -DV=3 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    holds(
        "bounded, 3 vCPUs, host refuses",
        Safety,
        "-DPOLICY=BOUNDED -DV=3",
    ),
    mutant("drop_recheck", "-DPOLICY=FIFO_HALT -DV=3", LeavesBehind),
    mutant(
        "drop_recheck_at_head",
        "-DPOLICY=FIFO_HALT -DV=3",
        LeavesBehind,
    ),
    mutant("forget_sleeper", "-DPOLICY=FIFO_HALT -DV=3", LeavesBehind),
    mutant("forget_wish", "-DPOLICY=FIFO_HALT -DV=3", LeavesBehind),
    mutant(
        "kick_before_release",
        "-DPOLICY=FIFO_HALT -DV=3",
        LeavesBehind,
    ),
    mutant(
        "host_forgets_kick",
        "-DPOLICY=FIFO_HALT -DV=3",
        LeavesBehind,
    ),
    mutant(
        "sole_holder_is_a_tail",
        "-DPOLICY=FIFO_HALT -DV=3",
        Violates(FREE_NAMES_HEAD),
    ),
    mutant(
        "drop_idx",
        "-DPOLICY=FIFO_HALT -DV=3 -DNESTED=1",
        LeavesBehind,
    ),
    mutant(
        "halt_in_inner_wait",
        "-DPOLICY=FIFO_HALT -DV=3 -DNESTED=1",
        LeavesBehind,
    ),
    mutant(
        "unnamed_head",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(FREE_NAMES_HEAD),
    ),
    mutant(
        "lose_passed_head",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(FREE_NAMES_HEAD),
    ),
    mutant(
        "lose_skipped_waiter",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(NO_STRANGER),
    ),
    mutant(
        "keep_stale_link",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(NO_STRANGER),
    ),
    mutant(
        "name_stranger",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(NO_STRANGER),
    ),
    mutant(
        "ignore_age",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(PASSED_WHEN_OLD),
    ),
    mutant(
        "host_ignores_generation",
        "-DPOLICY=FIFO_HALT -DV=3 -DHINTS=1",
        Violates(HINT_IS_FRESH),
    ),
    mutant(
        "forget_edge",
        "-DPOLICY=FIFO_HALT -DV=3 -DHINTS=1 -DHINTS_HELP",
        Violates(HINT_HELPS),
    ),
    mutant(
        "keep_edge",
        "-DPOLICY=FIFO_HALT -DV=3 -DHINTS=1 -DHINTS_HELP",
        Violates(HINT_HELPS),
    ),
    mutant("wake_twice", "-DPOLICY=FIFO -DV=3", Violates(ONE_KICK)),
    mutant(
        "keep_stale_pred",
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
        Violates(NO_STRANGER),
    ),
    mutant(
        "forget_generation",
        "-DPOLICY=FIFO -DV=2 -DP=1 -DHINTS=1",
        Violates(HINT_IS_TAKEN),
    ),
    mutant(
        "host_keeps_generation",
        "-DPOLICY=FIFO -DV=2 -DP=1 -DHINTS=1",
        Violates(HINT_IS_FRESH),
    ),
    mutant(
        "keep_edge_of_head",
        "-DPOLICY=FIFO -DV=3 -DHINTS=1 -DHINTS_HELP",
        Violates(HEAD_FIRST),
    ),
    Case {
        depth: 3_000,
        ..mutant(
            "overtake_the_running",
            "-DPOLICY=BOUNDED -DV=3 -DHINTS=1 -DOBEYS",
            Violates(RUNNING_FIRST),
        )
    },
    mutant(
        "(the holder's name outlives the hold)",
        "-DPOLICY=FIFO_HOLDER -DV=3 -DHINTS=1 -DHINTS_HELP -DNAME_OUTLIVES_HOLD",
        Violates(HINT_HELPS),
    ),
    Case {
        property: Liveness,
        ..mutant("(a host that refuses)", "-DPOLICY=BOUNDED -DV=3", Starves)
    },
    long("fifo, 3 vCPUs", Liveness, "-DPOLICY=FIFO -DV=3"),
    long(
        "fifo-holder, 3 vCPUs",
        Liveness,
        "-DPOLICY=FIFO_HOLDER -DV=3",
    ),
    long(
        "bounded, 3 vCPUs",
        Liveness,
        "-DPOLICY=BOUNDED -DV=3 -DOBEYS",
    ),
    long(
        "fifo-holder, 3 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=FIFO_HOLDER -DV=3 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    long(
        "fifo-holder, 3 vCPUs on 2 pCPUs, hints",
        Safety,
        "-DPOLICY=FIFO_HOLDER -DV=3 -DHINTS=1 -DHINTS_HELP",
    ),
    long(
        "fifo, 3 vCPUs on 2 pCPUs, hints",
        Safety,
        "-DPOLICY=FIFO -DV=3 -DHINTS=1 -DHINTS_HELP",
    ),
    long(
        "fifo, 3 vCPUs on 1 pCPU, hints",
        Safety,
        "-DPOLICY=FIFO -DV=3 -DP=1 -DHINTS=1 -DHINTS_HELP",
    ),
    long(
        "fifo-halt, 3 vCPUs on 2 pCPUs, hints",
        Safety,
        "-DPOLICY=FIFO_HALT -DV=3 -DHINTS=1 -DHINTS_HELP",
    ),
    long(
        "fifo-halt, 3 vCPUs, no node left",
        Safety,
        "-DPOLICY=FIFO_HALT -DV=3 -DNESTED=1 -DCLAIMABLE=1",
    ),
    long("fifo-halt, 4 vCPUs", Liveness, "-DPOLICY=FIFO_HALT -DV=4"),
    long("fifo, 4 vCPUs", Safety, "-DPOLICY=FIFO -DV=4"),
    long("fifo-holder, 4 vCPUs", Safety, "-DPOLICY=FIFO_HOLDER -DV=4"),
    long(
        "fifo-halt, 3 vCPUs, interrupts",
        Safety,
        "-DPOLICY=FIFO_HALT -DV=3 -DNESTED=1",
    ),
    long(
        "fifo-halt, 2 vCPUs, interrupts",
        Liveness,
        "-DPOLICY=FIFO_HALT -DV=2 -DNESTED=1",
    ),
    long(
        "fifo-halt, 2 vCPUs, interrupts",
        OtherLiveness,
        "-DPOLICY=FIFO_HALT -DV=2 -DNESTED=1",
    ),
];
