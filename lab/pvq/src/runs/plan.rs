//! Which runs, in which order, for how long. Pure: everything that can be refused is refused
//! here, before anything runs. The order is that of [`turns`](crate::runs::turns).

use std::time::Duration;

use anyhow::{Result, bail};
use pvqspin_driver_common::Run;
use pvqspin_load::WorkloadId;
use pvqspin_load::catalog::Entry as Workload;
use pvqspin_report::Point;
use pvqspin_report::schema::LockFacts;
use pvqspin_rivals::catalog::Entry;

use crate::options::compare::CompareArgs;
use crate::runs::settings::{Limits, Settings, vcpus};
use pvqspin_sweep::words::distribution_name;

use crate::options::parse;
use crate::runs::turns::{Section, asked_duration, turns, within_a_day};

/// What a run costs beside its measured time and warm-up: calibration, stacks, threads, timers.
const OVERHEAD: Duration = Duration::from_millis(8);

/// Shorter runs would measure the start.
const SHORTEST: Duration = Duration::from_millis(20);

/// What is asked for where no option says otherwise.
struct Preset {
    budget: Duration,
    longest_run: Duration,
    repeats: usize,
    overcommits: &'static [f64],
    sections: &'static [Section],
}

const QUICK: Preset = Preset {
    budget: Duration::from_secs(10),
    longest_run: Duration::from_millis(500),
    repeats: 3,
    overcommits: &[1.0, 4.0],
    sections: &[(1_000, 2_000)],
};

const NORMAL: Preset = Preset {
    budget: Duration::from_secs(60),
    longest_run: Duration::from_secs(1),
    repeats: 3,
    overcommits: &[1.0, 2.0, 4.0, 8.0],
    sections: &[(1_000, 2_000), (20_000, 20_000)],
};

const FULL: Preset = Preset {
    budget: Duration::from_secs(600),
    longest_run: Duration::from_secs(3),
    repeats: 5,
    overcommits: &[1.0, 1.5, 2.0, 3.0, 4.0, 8.0],
    sections: &[
        (1_000, 2_000),
        (20_000, 20_000),
        (200, 1_000),
        (5_000, 30_000),
        (50_000, 500_000),
    ],
};

/// One run of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlannedRun {
    /// The lock.
    pub(crate) lock: &'static str,
    /// Which of the plan's locks.
    pub(crate) lock_index: usize,
    /// Virtual CPUs.
    pub(crate) vcpus: usize,
    /// Section lengths.
    pub(crate) section: Section,
    /// Which repeat, from 0.
    pub(crate) repeat: u32,
    /// Which of the plan's variants.
    pub(crate) variant: usize,
}

/// Everything that will run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) locks: Vec<&'static Entry>,
    pub(crate) workload: &'static Workload,
    pub(crate) sections: Vec<Section>,
    pub(crate) vcpus: Vec<usize>,
    pub(crate) repeats: usize,
    /// Measured time of each run, without the warm-up.
    pub(crate) duration: Duration,
    pub(crate) settings: Settings,
    /// How many ways each run is done in, one after the other: 1 but for `pvq kvm`.
    pub(crate) variants: usize,
}

impl Plan {
    /// The plan that the options ask for.
    ///
    /// # Errors
    ///
    /// Says what cannot be done, and what could.
    pub(crate) fn new(args: &CompareArgs, limits: &Limits) -> Result<Self> {
        Self::with_variants(args, limits, 1)
    }

    /// The same, each run in so many variants.
    pub(crate) fn with_variants(
        args: &CompareArgs,
        limits: &Limits,
        variants: usize,
    ) -> Result<Self> {
        let preset = match (args.quick, args.full) {
            (true, _) => &QUICK,
            (_, true) => &FULL,
            _ => &NORMAL,
        };
        let settings = Settings::new(&args.setup, limits)?;
        let overcommits = match args.overcommit.as_slice() {
            [] => preset
                .overcommits
                .iter()
                .copied()
                // 1.5 on one CPU would be one and a half vCPUs.
                .filter(|overcommit| vcpus(*overcommit, settings.host.pcpus, limits).is_ok())
                .collect(),
            given => given.to_vec(),
        };
        let mut vcpus: Vec<usize> = overcommits
            .iter()
            .map(|overcommit| vcpus(*overcommit, settings.host.pcpus, limits))
            .collect::<Result<_>>()?;
        dedup_in_order(&mut vcpus);
        let workload = args.setup.work.workload;
        let own = [(workload.inside_ns, workload.outside_ns)];
        // The one whose section lengths are its parameter; the others have their own.
        let usual = if workload.id == WorkloadId::HotLock {
            preset.sections
        } else {
            own.as_slice()
        };
        let mut sections = sections(&args.run.inside, &args.run.outside, usual)?;
        dedup_in_order(&mut sections);
        let mut plan = Self {
            locks: parse::chosen(&args.lock),
            workload,
            sections,
            vcpus,
            repeats: args.run.repeats.unwrap_or(preset.repeats),
            duration: SHORTEST,
            settings,
            variants,
        };
        plan.duration = plan.duration_within(preset, args.run.duration)?;
        Ok(plan)
    }

    fn duration_within(&self, preset: &Preset, asked: Option<u64>) -> Result<Duration> {
        let duration = match asked {
            Some(ns) => asked_duration(ns)?,
            None => {
                let each = preset.budget / self.run_count_u32().max(1);
                each.saturating_sub(self.mean_warmup() + OVERHEAD)
                    .clamp(SHORTEST, preset.longest_run)
            }
        };
        let total = self.time_for(duration);
        within_a_day(total, self.run_count())?;
        Ok(duration)
    }

    /// How many runs there are.
    pub(crate) fn run_count(&self) -> usize {
        [
            self.locks.len(),
            self.vcpus.len(),
            self.sections.len(),
            self.repeats,
            self.variants,
        ]
        .into_iter()
        .fold(1, usize::saturating_mul)
    }

    fn run_count_u32(&self) -> u32 {
        u32::try_from(self.run_count()).unwrap_or(u32::MAX)
    }

    fn mean_warmup(&self) -> Duration {
        let sum: Duration = self
            .vcpus
            .iter()
            .map(|vcpus| self.settings.warmup(*vcpus))
            .sum();
        sum / u32::try_from(self.vcpus.len()).unwrap_or(1).max(1)
    }

    fn time_for(&self, duration: Duration) -> Duration {
        (duration + self.mean_warmup() + OVERHEAD).saturating_mul(self.run_count_u32())
    }

    /// How long it will take.
    pub(crate) fn total_time(&self) -> Duration {
        self.time_for(self.duration)
    }

    /// The runs in their order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = PlannedRun> + '_ {
        let turns = turns(self.locks.len(), &self.sections, &self.vcpus, self.repeats);
        turns.flat_map(move |turn| {
            (0..self.variants).map(move |variant| PlannedRun {
                lock: self.locks[turn.lock_index].name,
                lock_index: turn.lock_index,
                vcpus: turn.vcpus,
                section: turn.section,
                repeat: turn.repeat,
                variant,
            })
        })
    }

    /// A run of the plan, as a driver is asked for it. Each repeat has section lengths of its own,
    /// the same for every lock.
    pub(crate) fn asked(&self, run: &PlannedRun) -> Run {
        let settings = &self.settings;
        settings
            .run(self.workload.id, run.section, run.vcpus)
            .with(|asked| {
                asked.lock = self.locks[run.lock_index].id;
                asked.workload.seed = settings.seed.wrapping_add(u64::from(run.repeat));
                asked.duration_ns = ns(self.duration);
            })
    }

    /// Where a run of the plan takes place.
    pub(crate) fn point(&self, run: &PlannedRun) -> Point {
        point(self.workload.name, &self.settings, run.vcpus, run.section)
    }
}

pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Describes a point for the report.
pub(crate) fn point(workload: &str, settings: &Settings, vcpus: usize, section: Section) -> Point {
    let host = &settings.host;
    Point {
        workload: workload.to_owned(),
        host_policy: host.scheduling.name().to_owned(),
        yield_mode: host.yields.name().to_owned(),
        pcpus: host.pcpus,
        vcpus,
        inside_ns: section.0.into(),
        outside_ns: section.1.into(),
        distribution: distribution_name(settings.distribution).to_owned(),
        slice_ns: host.slice_ns,
    }
}

/// Describes a lock for the report.
pub(crate) fn facts(entry: &Entry) -> LockFacts {
    LockFacts {
        lock: entry.name.to_owned(),
        policy: entry.policy.map(str::to_owned),
        word: entry.word.map(str::to_owned),
        fair: entry.fair,
    }
}

/// Pairs up the two lists; a single value goes with every value of the other.
pub(crate) fn sections(
    inside: &[u32],
    outside: &[u32],
    default: &[Section],
) -> Result<Vec<Section>> {
    let (first_inside, first_outside) = default[0];
    let pair_with = |one: u32, many: &[u32]| many.iter().map(|other| (one, *other)).collect();
    Ok(match (inside, outside) {
        ([], []) => default.to_vec(),
        ([], many) => pair_with(first_inside, many),
        ([one], many) if !many.is_empty() => pair_with(*one, many),
        (many, []) => many.iter().map(|one| (*one, first_outside)).collect(),
        (many, [one]) => many.iter().map(|inside| (*inside, *one)).collect(),
        (a, b) if a.len() == b.len() => a.iter().copied().zip(b.iter().copied()).collect(),
        (a, b) => bail!(
            "--inside has {} values and --outside {}; they pair up, so give as many of both, or \
             one of either",
            a.len(),
            b.len()
        ),
    })
}

/// Repeated values would count as more repeats of the same point.
pub(crate) fn dedup_in_order<T: PartialEq + Copy>(values: &mut Vec<T>) {
    let mut seen = Vec::new();
    values.retain(|value| {
        let new = !seen.contains(value);
        seen.push(*value);
        new
    });
}

#[cfg(test)]
mod tests;
