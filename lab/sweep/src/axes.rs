//! What a grid varies: each key of a grid file that takes a list.

use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::Distribution;
use pvqspin_load::catalog::{self as workloads, Entry as Workload};
use pvqspin_rivals::tuned;
use pvqspin_simulator::SimConfig;

use crate::point::Lock;
use crate::profiles::{Named, profiles};
use crate::source::{Asked, FileError, Section};
use crate::words::{self, LockChoice};

/// What `[common]` may say; a `[[grid]]` has a `name` as well.
pub(crate) const AXES: [&str; 20] = [
    "locks",
    "workload",
    "sections",
    "overcommit",
    "vcpus",
    "pcpus",
    "vms",
    "distribution",
    "scheduling",
    "yields",
    "follow_chain",
    "ordered",
    "neighbour",
    "slice",
    "min_loan",
    "duration",
    "warmup",
    "seeds",
    "profile",
    "costs",
];

/// pCPUs, by default.
const PCPUS: usize = 2;

/// How many vCPUs.
#[derive(Clone, Copy)]
pub(crate) enum Vcpus {
    Overcommit(f64),
    Number(usize),
}

/// How many things a grid varies.
pub(crate) const AXIS_COUNT: usize = 15;

/// What a grid varies, outermost first.
pub(crate) struct Axes {
    pub(crate) workloads: Vec<Asked<&'static Workload>>,
    pub(crate) profiles: Vec<Asked<Named>>,
    pub(crate) distributions: Vec<Asked<Distribution>>,
    pub(crate) pcpus: Vec<Asked<usize>>,
    pub(crate) vms: Vec<Asked<usize>>,
    pub(crate) neighbours: Vec<Asked<usize>>,
    /// `None`: those of the workload.
    pub(crate) sections: Vec<Asked<Option<(u32, u32)>>>,
    pub(crate) vcpus: Vec<Asked<Vcpus>>,
    pub(crate) schedulings: Vec<Asked<Scheduling>>,
    pub(crate) yields: Vec<Asked<YieldMode>>,
    pub(crate) follow_chain: Vec<Asked<bool>>,
    pub(crate) ordered: Vec<Asked<bool>>,
    pub(crate) slices: Vec<Asked<u64>>,
    pub(crate) seeds: Vec<Asked<u64>>,
    pub(crate) locks: Vec<Lock>,
}

impl Axes {
    /// How many values each has.
    pub(crate) fn lengths(&self) -> [usize; AXIS_COUNT] {
        [
            self.workloads.len(),
            self.profiles.len(),
            self.distributions.len(),
            self.pcpus.len(),
            self.vms.len(),
            self.neighbours.len(),
            self.sections.len(),
            self.vcpus.len(),
            self.schedulings.len(),
            self.yields.len(),
            self.follow_chain.len(),
            self.ordered.len(),
            self.slices.len(),
            self.seeds.len(),
            self.locks.len(),
        ]
    }

    /// Reads the axes of a grid.
    pub(crate) fn of(section: &Section<'_>) -> Result<Self, FileError> {
        let default = SimConfig::default();
        let at = section.at();
        fn or<T>(given: Option<Vec<Asked<T>>>, at: usize, default: T) -> Vec<Asked<T>> {
            given.unwrap_or_else(|| vec![Asked { value: default, at }])
        }
        Ok(Self {
            workloads: or(
                section.list("workload", |text| {
                    let known = workloads::CATALOG.iter().map(|one| (one.name, one));
                    words::named("workload", text, known)
                })?,
                at,
                default.run.workload.id.entry(),
            ),
            profiles: profiles(section)?,
            distributions: or(
                section.list("distribution", |text| {
                    words::named("distribution", text, words::DISTRIBUTIONS)
                })?,
                at,
                Distribution::Uniform,
            ),
            pcpus: or(section.list("pcpus", words::at_least_one)?, at, PCPUS),
            vms: or(section.list("vms", words::at_least_one)?, at, 1),
            neighbours: or(section.list("neighbour", number)?, at, 0),
            sections: or(
                section.list("sections", |text| pair(text).map(Some))?,
                at,
                None,
            ),
            vcpus: vcpus(section, at)?,
            schedulings: or(
                section.list("scheduling", |text| {
                    let known = Scheduling::ALL.map(|one| (one.name(), one));
                    words::named("scheduling", text, known)
                })?,
                at,
                default.run.host.scheduling,
            ),
            yields: or(
                section.list("yields", |text| {
                    let known = YieldMode::ALL.map(|one| (one.name(), one));
                    words::named("kind of yield", text, known)
                })?,
                at,
                default.run.host.yields,
            ),
            follow_chain: or(section.list("follow_chain", yes_or_no)?, at, true),
            ordered: or(section.list("ordered", yes_or_no)?, at, true),
            slices: or(
                section.list("slice", words::time)?,
                at,
                default.run.host.slice_ns,
            ),
            seeds: or(section.list("seeds", number)?, at, 1),
            locks: locks(section)?,
        })
    }
}

fn vcpus(section: &Section<'_>, at: usize) -> Result<Vec<Asked<Vcpus>>, FileError> {
    let overcommit = section.list("overcommit", |text| {
        words::overcommit(text).map(Vcpus::Overcommit)
    })?;
    let vcpus = section.list("vcpus", |text| words::at_least_one(text).map(Vcpus::Number))?;
    match (overcommit, vcpus) {
        (Some(_), Some(vcpus)) => {
            let what = "overcommit says how many there are already; give one of the two";
            Err(section.error(vcpus[0].at, "vcpus", what))
        }
        (Some(list), None) | (None, Some(list)) => Ok(list),
        (None, None) => Ok([1.0, 2.0, 4.0, 8.0]
            .map(|value| Asked {
                value: Vcpus::Overcommit(value),
                at,
            })
            .to_vec()),
    }
}

fn locks(section: &Section<'_>) -> Result<Vec<Lock>, FileError> {
    let Some(asked) = section.list("locks", lock)? else {
        let what = "a grid needs some: names, or default, all, pvqspin, rivals";
        return Err(section.error(section.at(), "locks", what));
    };
    let choices: Vec<LockChoice> = asked.iter().filter_map(|one| one.value.ok()).collect();
    let mut locks = Vec::new();
    if !choices.is_empty() {
        locks.extend(words::chosen(&choices).into_iter().map(Lock::Known));
    }
    for tuned in asked.iter().filter_map(|one| one.value.err()) {
        if !locks.contains(&Lock::Tuned(tuned)) {
            locks.push(Lock::Tuned(tuned));
        }
    }
    Ok(locks)
}

fn number<T: core::str::FromStr>(text: &str) -> Result<T, String> {
    let what = || "it must be a whole number, 0 at least".to_owned();
    text.trim().parse().map_err(|_| what())
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    words::named("answer", text, [("true", true), ("false", false)])
}

/// A lock or a group of the catalogue, or else one at another constant.
fn lock(text: &str) -> Result<Result<LockChoice, &'static tuned::Tuned>, String> {
    if !text.contains('@') {
        return words::simulated_lock(text).map(Ok);
    }
    let known = tuned::TUNED.iter().map(|one| (one.name, one));
    words::named("tuned lock", text, known).map(Err)
}

/// A mean section length inside and outside the lock: `1us/2us`.
fn pair(text: &str) -> Result<(u32, u32), String> {
    let Some((inside, outside)) = text.split_once('/') else {
        return Err("it must be a time inside and a time outside the lock: \"1us/2us\"".to_owned());
    };
    Ok((words::section(inside)?, words::section_or_zero(outside)?))
}
