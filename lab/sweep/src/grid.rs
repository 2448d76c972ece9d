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

use pvqspin_host::{Config, HeapPages, Host};
use pvqspin_load::NeighbourKind;
use pvqspin_load::NeighbourVm;
use pvqspin_load::Section as Length;
use pvqspin_load::WorkloadConfig;
use pvqspin_simulator::{Run, SimConfig};
use toml::de::DeTable;

use crate::axes::{AXES, AXIS_COUNT, Axes, Vcpus};
use crate::point::{Lock, Point};
use crate::source::{Asked, FileError, Section, Source, check_keys};
use crate::words;

/// The most points of one file. More are a typing error, or a matter of several files.
pub const MAX_POINTS: usize = 100_000;

/// What a file may say.
const FILE_KEYS: [&str; 4] = ["common", "grid", "table", "picture"];

/// The grids of a file.
///
/// ```
/// use pvqspin_sweep::grid::points;
/// use pvqspin_sweep::source::Source;
///
/// let text = "
///     [[grid]]
///     name = 'small'
///     locks = ['fifo', 'rivals']
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

impl Grid<'_> {
    /// Every point of the grid, `most` at most.
    fn points(&self, most: usize) -> Result<Vec<Point>, FileError> {
        let axes = Axes::of(&self.section)?;
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
        let run = Run {
            lock: match lock {
                Lock::Known(entry) => entry.id,
                Lock::Tuned(_) => default.run.lock,
            },
            workload: WorkloadConfig {
                id: workload.id,
                inside: length(section.0),
                outside: length(section.1),
                seed,
            },
            host: Config {
                pcpus: pcpus.value,
                scheduling: axes.schedulings[h].value,
                yields: axes.yields[y].value,
                slice_ns: slice.value,
                min_loan_ns: rest
                    .min_loan_ns
                    .unwrap_or(default.run.host.min_loan_ns.min(slice.value)),
                follow_chain: axes.follow_chain[f].value,
                ordered: axes.ordered[o].value,
            },
            vcpus: vcpus / vms.value,
            neighbour: match axes.neighbours[n].value {
                0 => None,
                vcpus => Some(NeighbourVm {
                    kind: NeighbourKind::Busy,
                    vcpus,
                    weight: default.run.weight,
                }),
            },
            duration_ns: rest.duration_ns.unwrap_or(default.run.duration_ns),
            warmup_ns: rest.warmup_ns,
            ..default.run
        };
        let config = SimConfig {
            run,
            tuned: match lock {
                Lock::Known(_) => None,
                Lock::Tuned(tuned) => Some(tuned.id),
            },
            vms: vms.value,
            seed,
            ..default
        };
        let refused = |what: &dyn core::fmt::Display| {
            self.section
                .error(self.section.at(), "the grid as a whole", what)
        };
        config.validate().map_err(|error| refused(&error))?;
        // Only the host itself knows what it refuses.
        Host::<&HeapPages>::new(config.run.host).map_err(|error| refused(&error))?;
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
