//! What is counted of a turn, and of many.

use pvqspin_load::Outcome;
use pvqspin_simulator::Explored;
use serde::{Deserialize, Serialize};

/// Sums over runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Runs: of the simulator random schedules, of the host programs of guests.
    pub(crate) schedules: u64,
    /// Critical sections. Of the simulator all, of the others those in the measured time.
    pub(crate) acquisitions: u64,
    /// How often a vCPU lost its pCPU inside of one.
    pub(crate) preempted_inside: u64,
    /// How often a vCPU lost its pCPU at a chosen point of the slow path.
    pub(crate) preempted_at_points: u64,
    /// Halts.
    pub(crate) halts: u64,
    /// Kicks.
    pub(crate) kicks: u64,
    /// Directed yields.
    pub(crate) yields: u64,
}

impl Figures {
    /// Those of one run.
    pub(crate) fn of_run(outcome: &Outcome, faults_fired: u64) -> Self {
        Self {
            schedules: 1,
            acquisitions: outcome.acquisitions,
            preempted_inside: outcome.lhp,
            preempted_at_points: faults_fired,
            halts: outcome.hypercalls.halt,
            kicks: outcome.hypercalls.kick,
            yields: outcome.hypercalls.yield_to,
        }
    }

    /// Those of many schedules of the simulator.
    pub(crate) fn of_schedules(explored: &Explored) -> Self {
        Self {
            schedules: explored.schedules,
            acquisitions: explored.acquisitions,
            preempted_inside: explored.lhp,
            preempted_at_points: explored.faults,
            halts: explored.hypercalls.halt,
            kicks: explored.hypercalls.kick,
            yields: explored.hypercalls.yield_to,
        }
    }

    /// Adds others.
    pub(crate) fn add(&mut self, others: &Self) {
        self.schedules += others.schedules;
        self.acquisitions += others.acquisitions;
        self.preempted_inside += others.preempted_inside;
        self.preempted_at_points += others.preempted_at_points;
        self.halts += others.halts;
        self.kicks += others.kicks;
        self.yields += others.yields;
    }

    /// All of them, with their names, in the order of the table.
    pub(crate) fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("schedules", self.schedules),
            ("acquisitions", self.acquisitions),
            ("preempted inside", self.preempted_inside),
            ("preempted at points", self.preempted_at_points),
            ("halts", self.halts),
            ("kicks", self.kicks),
            ("yields", self.yields),
        ]
    }
}
