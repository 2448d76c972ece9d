//! One point of a grid: a simulation, and what a row of results says about it beside what it
//! measured.

use pvqspin_report::Point as Place;
use pvqspin_report::Record;
use pvqspin_report::schema::LockFacts;
use pvqspin_rivals::catalog::Entry;
use pvqspin_rivals::tuned::Tuned;
use pvqspin_simulator::{GoesOn, SimConfig, SimError, run_while};
use serde::{Deserialize, Serialize};

use crate::words::distribution_name;
use pvqspin_report::figures::{counted, exact_time};

/// A lock that a grid can name.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Lock {
    /// One of the catalogue.
    Known(&'static Entry),
    /// One of ours at another constant.
    Tuned(&'static Tuned),
}

impl Lock {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Known(entry) => entry.name,
            Self::Tuned(tuned) => tuned.name,
        }
    }

    fn facts(self) -> LockFacts {
        let (policy, word, fair) = match self {
            Self::Known(entry) => (entry.policy, entry.word, entry.fair),
            Self::Tuned(tuned) => (Some(tuned.policy), Some("idx3"), tuned.fair),
        };
        LockFacts {
            lock: self.name().to_owned(),
            policy: policy.map(str::to_owned),
            word: word.map(str::to_owned),
            fair,
        }
    }
}

/// What a row says about its point beside what every record says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// The grid's name.
    pub grid: String,
    /// The point's number in the whole file, from 0: the order of the rows.
    pub point: usize,
    /// The seed of the section lengths, and of everything else that is drawn.
    pub seed: u64,
    /// What things cost: the profile's name, and what the grid changed in it.
    pub profile: String,
    /// Whether the host followed chains.
    pub follow_chain: bool,
    /// Whether the host chose the order around a hand-over.
    pub ordered: bool,
    /// VMs that share the vCPUs evenly, each with a lock of its own.
    pub vms: usize,
    /// vCPUs of a lock-free VM beside it.
    pub neighbour_vcpus: usize,
    /// The shortest loan, in ns.
    pub min_loan_ns: u64,
    /// Chains that the host followed.
    pub chains: u64,
    /// Their hops.
    pub chain_hops: u64,
    /// The longest of them, in hops.
    pub longest_chain: u64,
    /// Events that were simulated.
    pub sim_events: u64,
}

/// One row of results.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which point.
    #[serde(flatten)]
    pub facts: Facts,
    /// What was measured.
    #[serde(flatten)]
    pub record: Record,
}

/// One simulation of a grid.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// The grid's name.
    pub grid: String,
    /// The lock.
    pub lock: Lock,
    /// Which of the grid's seeds, from 0.
    pub repeat: u32,
    /// What things cost: the profile's name, and what the grid changed in it.
    pub profile: String,
    /// Everything that the simulator must know.
    pub config: SimConfig,
}

impl Point {
    /// Simulates it.
    ///
    /// # Errors
    ///
    /// What the simulator says.
    pub fn run(&self, index: usize) -> Result<Row, SimError> {
        self.run_while(index, &mut |_| true)
    }

    /// The same, for as long as `goes_on` says so.
    ///
    /// # Errors
    ///
    /// What the simulator says.
    pub fn run_while(&self, index: usize, goes_on: &mut GoesOn<'_>) -> Result<Row, SimError> {
        let result = run_while(&self.config, goes_on)?;
        let mut record = Record::new(
            &self.lock.facts(),
            &self.place(),
            self.repeat,
            &result.outcome,
        );
        if let Some(over_bound) = self.config.over_bound(record.throughput_per_s) {
            record.throughput_over_bound = over_bound;
        }
        let event = |name: &str| record.events.get(name).copied().unwrap_or(0);
        let facts = Facts {
            grid: self.grid.clone(),
            point: index,
            seed: self.config.run.workload.seed,
            profile: self.profile.clone(),
            follow_chain: self.config.run.host.follow_chain,
            ordered: self.config.run.host.ordered,
            vms: self.config.vms,
            neighbour_vcpus: self.config.run.neighbour_vcpus(),
            min_loan_ns: self.config.run.host.min_loan_ns,
            chains: event("chains"),
            chain_hops: event("chain_hops"),
            longest_chain: event("longest_chain"),
            sim_events: result.events,
        };
        Ok(Row { facts, record })
    }

    fn place(&self) -> Place {
        let (config, run) = (&self.config, &self.config.run);
        Place {
            workload: run.workload.id.entry().name.to_owned(),
            host_policy: run.host.scheduling.name().to_owned(),
            yield_mode: run.host.yields.name().to_owned(),
            pcpus: run.host.pcpus,
            vcpus: config.vms * run.vcpus,
            inside_ns: run.workload.inside.mean_ns.into(),
            outside_ns: run.workload.outside.mean_ns.into(),
            distribution: distribution_name(run.workload.inside.distribution).to_owned(),
            slice_ns: run.host.slice_ns,
        }
    }

    /// One line for a list of points.
    #[must_use]
    pub fn line(&self) -> String {
        let (config, place) = (&self.config, self.place());
        let run = &config.run;
        let switch = |on: bool, name: &str| {
            if on {
                String::new()
            } else {
                format!(", {name} off")
            }
        };
        let vms = match config.vms {
            1 => String::new(),
            vms => format!(" in {vms} VMs"),
        };
        let neighbour = run.neighbour.map_or_else(String::new, |neighbour| {
            format!(", {}", counted(neighbour.vcpus, "neighbour"))
        });
        format!(
            "{}: {} under {} on {}, {}{vms}, {}/{} {}, {} {}{}{}{neighbour}, costs {}, seed {}",
            self.grid,
            self.lock.name(),
            place.workload,
            counted(run.host.pcpus, "pCPU"),
            counted(place.vcpus, "vCPU"),
            exact_time(place.inside_ns),
            exact_time(place.outside_ns),
            place.distribution,
            place.host_policy,
            place.yield_mode,
            switch(run.host.follow_chain, "chain"),
            switch(run.host.ordered, "order"),
            self.profile,
            run.workload.seed,
        )
    }

    /// Critical sections that it may simulate at most, warm-up and all: what its time goes with.
    #[must_use]
    pub fn work(&self) -> f64 {
        let config = &self.config;
        config.bound_per_s() * (config.run.duration_ns + config.warmup_ns()) as f64 / 1e9
    }
}
