//! One run of one lock, recorded: a file for trace viewers, and what happened around its longest wait.

mod picture;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pvqspin_driver_common::{Run, Trace, TraceEvent};
use pvqspin_hypervisor::{HvConfig, Probe};
use pvqspin_load::Outcome;
use pvqspin_report::figures::{count, exact_time, share, time};
use pvqspin_report::{Record, files, table};
use pvqspin_simulator::SimConfig;
use pvqspin_timeline::{Scene, perfetto};

use crate::options::trace::{Driver, TraceArgs, Which};
use crate::output::failure::{Done, Failure, print};
use crate::output::progress::Progress;
use crate::output::{begun, results, terminal};
use crate::runs::as_simulated::simulated;
use crate::runs::driver;
use crate::runs::plan;
use crate::runs::settings::{self, Limits, Settings};
use crate::runs::virtual_time;

/// What is shown before and after the longest wait.
const MARGIN_NS: u64 = 50_000;

/// A wait of many slices has thousands of events; more than this is for a file.
const MOST_LINES: usize = 200;

/// Runs `pvq trace`.
pub(crate) fn run(args: &TraceArgs) -> Done {
    if let Some(path) = &args.picture {
        return picture::write(path);
    }
    let out = checked_out(args).map_err(Failure::BadInput)?;
    let recorded = record(args)?;
    print(&recorded.head)?;
    let scene = recorded.scene();
    match args.ascii {
        Some(which) => print(&strip(args, which, &scene))?,
        None => print(&events(args.all, &recorded.trace, &scene))?,
    }
    if let Some(path) = out {
        let about = recorded.about(args);
        files::write_atomically(&path, |to| perfetto::write(&scene, &about, to))
            .map_err(Failure::Failed)?;
        if args.out.is_none() {
            results::link_latest(&path, "trace").map_err(Failure::Failed)?;
        }
        print(&written(&path, &scene))?;
    }
    Ok(())
}

/// Where the file goes, checked before anything runs.
fn checked_out(args: &TraceArgs) -> anyhow::Result<Option<PathBuf>> {
    let path = match &args.out {
        Some(path) => path.clone(),
        None if args.no_files || args.all || args.ascii.is_some() => return Ok(None),
        None => {
            fs::create_dir_all(results::FOLDER).with_context(|| {
                format!(
                    "cannot make the folder {} for the trace; say --out FILE or --no-files",
                    results::FOLDER
                )
            })?;
            results::named_by_time("trace", "pftrace")?
        }
    };
    files::check_writable(&path)?;
    Ok(Some(path))
}

fn written(path: &Path, scene: &Scene) -> String {
    let mut text = format!(
        "\nwritten: {}; open it at https://ui.perfetto.dev (it stays in your browser); its first \
         event is at {:.3} us\n",
        path.display(),
        scene.from_ns as f64 / 1e3
    );
    if scene.dropped > 0 {
        let _ = writeln!(
            text,
            "Dropped events: {}; what is left is complete for the last {}. --keep N keeps more.",
            count(scene.dropped as f64),
            time((scene.to_ns - scene.from_ns) as f64)
        );
    }
    text
}

// --- recording -------------------------------------------------------------------------------

/// A run that was recorded.
struct Recorded {
    head: String,
    trace: Trace,
    pcpus: usize,
    vms: Vec<usize>,
}

fn record(args: &TraceArgs) -> Result<Recorded, Failure> {
    let limits = match args.driver {
        Driver::Hypervisor => Limits::here(),
        // Nothing takes a CPU of this machine.
        Driver::Simulator => Limits {
            cpus: usize::MAX,
            vcpus_in_word: pvqspin::MAX_CPUS,
        },
    };
    let mut settings = Settings::new(&args.setup, &limits).map_err(Failure::BadInput)?;
    if args.driver == Driver::Simulator && args.setup.pcpus.is_none() {
        settings.host.pcpus = crate::simulate::PCPUS;
    }
    let vcpus = settings::vcpus(args.overcommit, settings.host.pcpus, &limits)
        .map_err(Failure::BadInput)?;
    let section = args.setup.section(args.inside, args.outside);
    let run = settings
        .run(args.setup.work.workload.id, section, vcpus)
        .with(|run| {
            run.lock = args.lock.id;
            run.duration_ns = args.duration;
            run.trace = true;
        });
    let neighbours = run.neighbour.map(|neighbour| neighbour.vcpus);
    let (outcome, trace) = match args.driver {
        Driver::Hypervisor => on_this_machine(args, run, settings.hypercall_ns)?,
        Driver::Simulator => in_virtual_time(args, run, settings.hypercall_ns)?,
    };
    let point = plan::point(args.setup.work.workload.name, &settings, vcpus, section);
    let record = Record::new(&plan::facts(args.lock), &point, 0, &outcome);
    Ok(Recorded {
        head: head(&record),
        trace,
        pcpus: settings.host.pcpus,
        vms: [Some(vcpus), neighbours].into_iter().flatten().collect(),
    })
}

fn on_this_machine(
    args: &TraceArgs,
    run: Run,
    hypercall_ns: u64,
) -> Result<(Outcome, Trace), Failure> {
    let probe = Probe::run().map_err(|error| {
        Failure::bad_input(format!(
            "the embedded hypervisor cannot run here: {error}; --driver simulator can"
        ))
    })?;
    let default = HvConfig::from(run);
    let config = HvConfig {
        hypercall_ns,
        trace_marks: args.keep.unwrap_or(default.trace_marks),
        ..default
    };
    config
        .validate(probe.cpus.len())
        .map_err(Failure::bad_input)?;
    let result = driver::run(&probe, &config, args.lock.name)?;
    Ok((result.outcome, result.trace))
}

fn in_virtual_time(
    args: &TraceArgs,
    run: Run,
    hypercall_ns: u64,
) -> Result<(Outcome, Trace), Failure> {
    let mut base = SimConfig::default();
    base.costs.hypercall_ns = u32::try_from(hypercall_ns).unwrap_or(u32::MAX);
    base.trace_events = args.keep.unwrap_or(base.trace_events);
    let config = simulated(run, base);
    config.validate().map_err(Failure::bad_input)?;
    let mut progress = Progress::new(1);
    progress.begin(args.lock.name);
    let result = virtual_time::simulate(&config, &mut progress)?;
    Ok((result.outcome, result.trace))
}

impl Recorded {
    fn scene(&self) -> Scene {
        Scene::replay(&self.trace, self.pcpus, &self.vms)
    }

    /// What the file says about itself.
    fn about(&self, args: &TraceArgs) -> perfetto::About {
        let driver = match args.driver {
            Driver::Hypervisor => driver::NAME,
            Driver::Simulator => "simulator",
        };
        [
            ("command", begun::command()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("driver", driver.to_owned()),
            ("lock", args.lock.name.to_owned()),
            ("run", self.head.trim_end().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
    }
}

// --- what is printed -------------------------------------------------------------------------

fn head(record: &Record) -> String {
    let points = pvqspin_report::summarise(std::slice::from_ref(record));
    let place = points
        .first()
        .map_or_else(String::new, |at| table::heading(&at.point));
    let wait = &record.wait_ns;
    let calls = &record.hypercalls;
    format!(
        "{} at {place}; host: {}, yields: {}\n\
         {} acquisitions in {}, {} of what is possible\n\
         wait p50 {}, p99 {}, p99.99 {}, longest {}; {} longer than a slice of {}\n\
         hypercalls: halts {}, kicks {}, yields {}; LHP {}, LWP {}\n\n",
        record.lock,
        record.host_policy,
        record.yield_mode,
        count(record.acquisitions as f64),
        time(record.duration_ns as f64),
        share(record.throughput_over_bound),
        time(wait.p50 as f64),
        time(wait.p99 as f64),
        time(wait.p9999 as f64),
        time(wait.max as f64),
        record.waits_over_slice,
        exact_time(record.slice_ns),
        calls.halt,
        calls.kick,
        calls.yield_to,
        record.lhp,
        record.lwp,
    )
}

fn strip(args: &TraceArgs, which: Which, scene: &Scene) -> String {
    let episodes = scene.episodes();
    let episode = match which {
        Which::Last => episodes.last(),
        // The first of equals.
        Which::Longest => (episodes.iter().rev()).max_by_key(|episode| episode.cost_ns()),
    };
    match episode {
        None => {
            "No holder was preempted while others waited, and no free lock waited for a sleeper. \
                 Try a longer --duration, or more --overcommit.\n"
                .to_owned()
        }
        Some(episode) => {
            let charset = terminal::charset(args.characters);
            let width = args.width.map_or_else(terminal::width, usize::from);
            let number = count(episodes.len() as f64);
            let name = match which {
                Which::Last => "last",
                Which::Longest => "longest",
            };
            format!(
                "The {name} of {number} such events:\n\n{}",
                pvqspin_timeline::strip::render(scene, episode, width, charset)
            )
        }
    }
}

fn events(all: bool, trace: &Trace, scene: &Scene) -> String {
    let line = |event: &TraceEvent| event.line(|vcpu| scene.name(vcpu));
    if all {
        let lines = trace.events.iter().map(line);
        return lines.map(|line| line + "\n").collect();
    }
    let longest = trace.longest_wait();
    let Some((end, waited, vcpu)) = longest.and_then(|(end, ns)| Some((end, ns, end.vcpu?))) else {
        return "No wait was long enough to leave a mark; --all shows every event.\n".to_owned();
    };
    let from = end.at_ns.saturating_sub(waited + MARGIN_NS);
    let around = trace.between(from, end.at_ns + MARGIN_NS);
    let lines: Vec<String> = around
        // Every step of every vCPU would bury what the host did; its own steps do not.
        .filter(|event| !event.what.is_mark() || event.vcpu == Some(vcpu))
        .map(line)
        .collect();
    format!(
        "The longest wait in the trace: {}, {}; the calls, the host's events and its own steps \
         from {} before it to {} after it:\n\n{}",
        scene.name(vcpu),
        time(waited as f64),
        exact_time(MARGIN_NS),
        exact_time(MARGIN_NS),
        shortened(&lines)
    )
}

/// The beginning and the end: how it came about, and what ended it.
fn shortened(lines: &[String]) -> String {
    if lines.len() <= MOST_LINES {
        return lines.iter().map(|line| format!("{line}\n")).collect();
    }
    let mut text = String::new();
    let half = MOST_LINES / 2;
    for line in &lines[..half] {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(
        text,
        "... {} more events; --all shows them ...",
        lines.len() - 2 * half
    );
    for line in &lines[lines.len() - half..] {
        let _ = writeln!(text, "{line}");
    }
    text
}
