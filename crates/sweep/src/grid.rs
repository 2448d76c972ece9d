//! From a grid file to the points that it means.
//!
//! ```text
//!   [common]                what every grid says, unless it says otherwise
//!   [[grid]]  name, axes    each key is an axis: one value, or a list
//!   [[grid]]  name, axes
//!        |
//!        v
//!   the product of its axes, locks innermost, one point each
//! ```
//!
//! Everything that cannot be run is refused here, with its line and key, before anything runs.

use pvqspin_host::{HeapPages, Host, Scheduling, YieldMode};
use pvqspin_peers::tuned;
use pvqspin_simulator::{Neighbour, SimConfig};
use pvqspin_workload::catalog::{self as workloads, Entry as Workload, WorkloadConfig};
use pvqspin_workload::{Distribution, Section as Length};
use toml::de::DeTable;

use crate::point::{Lock, Point};
use crate::profiles::{Named, profiles};
use crate::source::{Asked, FileError, Section, Source, check_keys};
use crate::words::{self, LockChoice};

/// The most points of one file. More are a typing error, or a matter of several files.
pub const MAX_POINTS: usize = 100_000;

/// pCPUs, if nobody says otherwise.
const PCPUS: usize = 2;

/// What a file may say.
const FILE_KEYS: [&str; 3] = ["common", "grid", "table"];

/// What `[common]` may say; a `[[grid]]` has a `name` as well.
const AXES: [&str; 20] = [
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

/// The grids of a file.
///
/// ```
/// use pvqspin_sweep::grid::points;
/// use pvqspin_sweep::source::Source;
///
/// let text = "
///     [[grid]]
///     name = 'small'
///     locks = ['fifo', 'peers']
///     overcommit = [1, 4]
///     sections = '1us/2us'
/// ";
/// let points = points(Source { name: "small.toml", text })?;
/// assert_eq!(points[0].lock.name(), "fifo");
/// # Ok::<(), pvqspin_sweep::source::FileError>(())
/// ```
///
/// # Errors
///
/// The first thing that cannot be run, with its line.
pub fn points(source: Source<'_>) -> Result<Vec<Point>, FileError> {
    let file = source.parse()?;
    check_keys(source, "the file", &file, &FILE_KEYS)?;
    let whole = Section::new(source, "the file".to_owned(), &file, None);
    let common = whole.table("common")?;
    if let Some(common) = common {
        check_keys(source, "common", common, &AXES)?;
    }
    let grids = tables(source, &file, "grid")?;
    if grids.is_empty() {
        return Err(source.error_of_all("there is no [[grid]], so there is nothing to run"));
    }
    let mut names: Vec<String> = Vec::new();
    let mut points = Vec::new();
    for table in grids {
        let grid = named(source, table, common)?;
        if names.contains(&grid.name) {
            let what = "another grid has this name, and rows could not be told apart";
            return Err(grid.section.error(grid.section.at(), "name", what));
        }
        names.push(grid.name.clone());
        points.append(&mut grid.points(MAX_POINTS - points.len())?);
    }
    Ok(points)
}

/// The tables of an array of tables.
pub(crate) fn tables<'t>(
    source: Source<'t>,
    file: &'t DeTable<'t>,
    key: &str,
) -> Result<Vec<&'t DeTable<'t>>, FileError> {
    let Some(value) = file.get(key) else {
        return Ok(Vec::new());
    };
    let wrong = || {
        let what = format!("{key} must be written [[{key}]], so that there can be several");
        source.error(value.span().start, what)
    };
    let items = value.get_ref().as_array().ok_or_else(wrong)?;
    let table = |item: &'t toml::Spanned<_>| toml::de::DeValue::as_table(item.get_ref());
    items
        .iter()
        .map(|item| table(item).ok_or_else(wrong))
        .collect()
}

/// A `[[grid]]`.
struct Grid<'t> {
    name: String,
    section: Section<'t>,
}

fn named<'t>(
    source: Source<'t>,
    table: &'t DeTable<'t>,
    common: Option<&'t DeTable<'t>>,
) -> Result<Grid<'t>, FileError> {
    let unnamed = Section::new(source, "a grid".to_owned(), table, None);
    let name = unnamed.one("name", |text| match text.trim() {
        "" => Err("it is empty".to_owned()),
        name => Ok(name.to_owned()),
    })?;
    let Some(Asked { value: name, .. }) = name else {
        let what = "a grid needs one, to tell its rows from those of others";
        return Err(unnamed.error(unnamed.at(), "name", what));
    };
    let section = Section::new(source, format!("grid \"{name}\""), table, common);
    let known: Vec<&str> = core::iter::once("name").chain(AXES).collect();
    section.check_keys(&known)?;
    Ok(Grid { name, section })
}

/// How many vCPUs.
#[derive(Clone, Copy)]
enum Vcpus {
    Overcommit(f64),
    Number(usize),
}

/// How many things a grid varies.
const AXIS_COUNT: usize = 15;

/// What a grid varies, outermost first.
struct Axes {
    workloads: Vec<Asked<&'static Workload>>,
    profiles: Vec<Asked<Named>>,
    distributions: Vec<Asked<Distribution>>,
    pcpus: Vec<Asked<usize>>,
    vms: Vec<Asked<usize>>,
    neighbours: Vec<Asked<usize>>,
    /// `None`: those of the workload.
    sections: Vec<Asked<Option<(u32, u32)>>>,
    vcpus: Vec<Asked<Vcpus>>,
    schedulings: Vec<Asked<Scheduling>>,
    yields: Vec<Asked<YieldMode>>,
    follow_chain: Vec<Asked<bool>>,
    ordered: Vec<Asked<bool>>,
    slices: Vec<Asked<u64>>,
    seeds: Vec<Asked<u64>>,
    locks: Vec<Lock>,
}

impl Axes {
    fn lengths(&self) -> [usize; AXIS_COUNT] {
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
}

impl Grid<'_> {
    fn axes(&self) -> Result<Axes, FileError> {
        let default = SimConfig::default();
        let at = self.section.at();
        fn or<T>(given: Option<Vec<Asked<T>>>, at: usize, default: T) -> Vec<Asked<T>> {
            given.unwrap_or_else(|| vec![Asked { value: default, at }])
        }
        let section = &self.section;
        Ok(Axes {
            workloads: or(
                section.list("workload", |text| {
                    let known = workloads::CATALOG.iter().map(|one| (one.name, one));
                    words::named("workload", text, known)
                })?,
                at,
                default.workload.id.entry(),
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
            vcpus: self.vcpus(at)?,
            schedulings: or(
                section.list("scheduling", |text| {
                    let known = Scheduling::ALL.map(|one| (one.name(), one));
                    words::named("scheduling", text, known)
                })?,
                at,
                default.scheduling,
            ),
            yields: or(
                section.list("yields", |text| {
                    let known = YieldMode::ALL.map(|one| (one.name(), one));
                    words::named("kind of yield", text, known)
                })?,
                at,
                default.yields,
            ),
            follow_chain: or(section.list("follow_chain", yes_or_no)?, at, true),
            ordered: or(section.list("ordered", yes_or_no)?, at, true),
            slices: or(section.list("slice", words::time)?, at, default.slice_ns),
            seeds: or(section.list("seeds", number)?, at, 1),
            locks: self.locks()?,
        })
    }

    fn vcpus(&self, at: usize) -> Result<Vec<Asked<Vcpus>>, FileError> {
        let overcommit = self.section.list("overcommit", |text| {
            words::overcommit(text).map(Vcpus::Overcommit)
        })?;
        let vcpus = self
            .section
            .list("vcpus", |text| words::at_least_one(text).map(Vcpus::Number))?;
        match (overcommit, vcpus) {
            (Some(_), Some(vcpus)) => {
                let what = "overcommit says how many there are already; give one of the two";
                Err(self.section.error(vcpus[0].at, "vcpus", what))
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

    fn locks(&self) -> Result<Vec<Lock>, FileError> {
        let Some(asked) = self.section.list("locks", lock)? else {
            let what = "a grid needs some: names, or all, ours, peers";
            return Err(self.section.error(self.section.at(), "locks", what));
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

    /// Every point of the grid, `most` at most.
    fn points(&self, most: usize) -> Result<Vec<Point>, FileError> {
        let axes = self.axes()?;
        let lengths = axes.lengths();
        let count = lengths.into_iter().fold(1, usize::saturating_mul);
        if count > most {
            let what = format!(
                "its axes mean {count} points, which makes more than {MAX_POINTS} in the file; take \
                 values out, or make several files"
            );
            return Err(self.section.error(self.section.at(), "name", what));
        }
        let rest = Rest::of(&self.section)?;
        (0..count)
            .map(|number| self.point(&axes, digits(number, lengths), &rest))
            .collect()
    }

    fn point(&self, axes: &Axes, at: [usize; AXIS_COUNT], rest: &Rest) -> Result<Point, FileError> {
        let [w, c, d, p, m, n, s, v, h, y, f, o, l, seed_index, k] = at;
        let (pcpus, workload) = (axes.pcpus[p], axes.workloads[w].value);
        let section = axes.sections[s].value;
        let section = section.unwrap_or((workload.inside_ns, workload.outside_ns));
        let vcpus = match axes.vcpus[v].value {
            Vcpus::Number(number) => number,
            Vcpus::Overcommit(overcommit) => {
                words::vcpus(overcommit, pcpus.value, pvqspin::MAX_CPUS)
                    .map_err(|what| self.section.error(axes.vcpus[v].at, "overcommit", what))?
            }
        };
        let vms = axes.vms[m];
        if !vcpus.is_multiple_of(vms.value) {
            let what = format!(
                "{vcpus} vCPUs cannot be shared evenly by {} VMs; each has a lock of its own",
                vms.value
            );
            return Err(self.section.error(vms.at, "vms", what));
        }
        let length = |mean_ns| Length {
            mean_ns,
            distribution: axes.distributions[d].value,
        };
        let (slice, seed) = (axes.slices[l], axes.seeds[seed_index].value);
        let mut default = SimConfig::default();
        let profile = &axes.profiles[c].value;
        profile.profile.apply(&mut default);
        let lock = axes.locks[k];
        let config = SimConfig {
            lock: match lock {
                Lock::Known(entry) => entry.id,
                Lock::Tuned(_) => default.lock,
            },
            tuned: match lock {
                Lock::Known(_) => None,
                Lock::Tuned(tuned) => Some(tuned.id),
            },
            workload: WorkloadConfig {
                id: workload.id,
                inside: length(section.0),
                outside: length(section.1),
                seed,
            },
            pcpus: pcpus.value,
            vms: vms.value,
            vcpus: vcpus / vms.value,
            scheduling: axes.schedulings[h].value,
            yields: axes.yields[y].value,
            follow_chain: axes.follow_chain[f].value,
            ordered: axes.ordered[o].value,
            slice_ns: slice.value,
            min_loan_ns: rest
                .min_loan_ns
                .unwrap_or(default.min_loan_ns.min(slice.value)),
            duration_ns: rest.duration_ns.unwrap_or(default.duration_ns),
            warmup_ns: rest.warmup_ns,
            seed,
            neighbour: match axes.neighbours[n].value {
                0 => None,
                vcpus => Some(Neighbour {
                    vcpus,
                    weight: default.weight,
                }),
            },
            ..default
        };
        let refused = |what: &dyn core::fmt::Display| {
            self.section
                .error(self.section.at(), "the grid as a whole", what)
        };
        config.validate().map_err(|error| refused(&error))?;
        // Only the host itself knows what it refuses.
        Host::<&HeapPages>::new(config.host()).map_err(|error| refused(&error))?;
        Ok(Point {
            grid: self.name.clone(),
            lock,
            repeat: seed_index as u32,
            profile: profile.name.clone(),
            config,
        })
    }
}

/// What has one value for the whole grid.
struct Rest {
    min_loan_ns: Option<u64>,
    duration_ns: Option<u64>,
    warmup_ns: Option<u64>,
}

impl Rest {
    fn of(section: &Section<'_>) -> Result<Self, FileError> {
        let value = |asked: Option<Asked<u64>>| asked.map(|asked| asked.value);
        Ok(Self {
            min_loan_ns: value(section.one("min_loan", words::time)?),
            duration_ns: value(section.one("duration", words::time)?),
            warmup_ns: value(section.one("warmup", words::time_or_zero)?),
        })
    }
}

/// A number in the mixed base of the axes, the last digit counting up first.
fn digits(mut number: usize, lengths: [usize; AXIS_COUNT]) -> [usize; AXIS_COUNT] {
    let mut digits = [0; AXIS_COUNT];
    for (digit, length) in digits.iter_mut().zip(lengths).rev() {
        *digit = number % length;
        number /= length;
    }
    digits
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
        return words::lock(text).map(Ok);
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
