//! What this machine costs, measured with the embedded hypervisor, as a profile for the simulator.
//!
//! | the simulator's cost | what is measured here |
//! | --- | --- |
//! | `atomic_ns` | half of a compare-and-swap and a swap on a line of one's own |
//! | `line.*` | half of a round trip of a line between two pinned threads, for each distance that two CPUs here have |
//! | `topology` | nothing: the system says how the allowed CPUs lie |
//! | `switch_ns` | entering a vCPU and leaving it |
//! | `hypercall_ns` | a hypercall that the host refuses, and the extra cost that `compare` adds |
//! | `poke_ns` | from a poke until the other pCPU's guest is interrupted |
//! | `poke_send_ns` | until the sender of that poke goes on: a signal takes it through the kernel |
//! | `interrupt_ns` | what a poked guest loses if it goes on |
//!
//! The embedded hypervisor's pCPUs poll while they idle, and its slices have a timer, so a wake-up
//! costs nothing more and there are no ticks.

mod layout;
mod lines;

use std::fmt::Write as _;
use std::time::SystemTime;

use pvqspin_driver_common::MeasuredCosts;
use pvqspin_hypervisor::Probe;
use pvqspin_report::figures::counted;
use pvqspin_report::{Spread, files};
use pvqspin_simulator::{Costs, LineCosts, Profile};

use crate::calibrate::layout::{Apart, Layout, Pair};
use crate::options::validate::CalibrateArgs;
use crate::output::failure::{Done, Failure, print};
use crate::output::progress::Progress;
use crate::runs::driver;
use crate::runs::interrupt;

/// How often everything is measured by default.
const REPEATS: usize = 5;

/// Said of what takes two CPUs.
const ONE_CPU: &str = "with one CPU it cannot be measured: the simulator's default";

/// Said where `/sys` is not as it usually is.
const UNTOLD: &str = "the system does not tell how the CPUs lie";

/// What was measured, in ns.
pub(crate) struct Calibration {
    atomic: Spread,
    /// How the CPUs lie, if the system says.
    layout: Option<Layout>,
    line: Apart<Option<Line>>,
    switch: Spread,
    hypercall: Spread,
    poke: Option<Spread>,
    poke_send: Option<Spread>,
    poke_lost: Option<Spread>,
    about: String,
}

/// What a cache line costs between two CPUs, in ns.
#[derive(Clone, Debug)]
struct Line {
    cpus: Pair,
    ns: Spread,
}

/// Runs `pvq calibrate`.
pub(crate) fn run(args: &CalibrateArgs) -> Done {
    if let Some(out) = &args.out {
        files::check_writable(out).map_err(Failure::BadInput)?;
    }
    // Without this Ctrl-C ends the program at once, which is no reason not to measure.
    let _ = interrupt::listen();
    let machine = Probe::run().map_err(driver::unsupported)?;
    let calibration = Calibration::repeated(&machine, args.repeats)?;
    let text = calibration.file(args.hypercall_cost);
    match &args.out {
        None => print(&text),
        Some(out) => {
            files::write_atomically(out, |to| to.write_all(text.as_bytes()))
                .map_err(Failure::Failed)?;
            print(&format!("written: {}\n", out.display()))
        }
    }
}

impl Calibration {
    /// Measures everything a few times; some tenths of a second.
    pub(crate) fn measure(machine: &Probe) -> Result<Self, Failure> {
        Self::repeated(machine, REPEATS)
    }

    fn repeated(machine: &Probe, repeats: usize) -> Result<Self, Failure> {
        let mut progress = Progress::called("rounds", repeats);
        let mut probes = vec![machine.costs];
        while probes.len() < repeats {
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
            progress.begin("what entering, calls and pokes cost");
            probes.push(Probe::run().map_err(driver::unsupported)?.costs);
            progress.end();
        }
        drop(progress);
        let spread = |of: fn(&MeasuredCosts) -> f64| Spread::of(probes.iter().map(of));
        let optional = |of: fn(&MeasuredCosts) -> Option<f64>| {
            let all: Vec<f64> = probes.iter().filter_map(of).collect();
            (!all.is_empty()).then(|| Spread::of(all))
        };
        let each = |measure: &dyn Fn() -> Option<f64>| {
            let all: Vec<f64> = (0..repeats).filter_map(|_| measure()).collect();
            (!all.is_empty()).then(|| Spread::of(all))
        };
        let between = |cpus: Pair| {
            let ns = each(&|| lines::transfer_ns(cpus.0, cpus.1))?;
            Some(Line { cpus, ns })
        };
        let layout = Layout::of_machine(&machine.cpus);
        let pairs = match (&layout, machine.cpus.as_slice()) {
            (Some(layout), _) => layout.pairs(),
            // However far apart they are.
            (None, [first, second, ..]) => Apart {
                same_socket: Some((*first, *second)),
                ..Apart::default()
            },
            (None, _) => Apart::default(),
        };
        let line = pairs.map(|pair| pair.and_then(between));
        let described = driver::describe(machine);
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Ok(Self {
            atomic: each(&|| Some(lines::atomic_ns())).unwrap_or_default(),
            layout,
            line,
            switch: spread(|probe| probe.switch_ns),
            hypercall: spread(|probe| probe.hypercall_ns),
            poke: optional(|probe| probe.poke_ns),
            poke_send: optional(|probe| probe.poke_send_ns),
            poke_lost: optional(|probe| probe.poke_lost_ns),
            about: format!(
                "{}, {}, embedded hypervisor, measured on {}",
                described.cpu,
                counted(described.cpus_allowed, "CPU"),
                date.split('T').next().unwrap_or_default()
            ),
        })
    }

    /// The profile of a machine whose pCPUs are the allowed CPUs in the order of their numbers, as those of the
    /// embedded hypervisor are: a topology only if it numbers them so, else what is between the first two.
    pub(crate) fn profile_in_cpu_order(&self, extra_hypercall_ns: u64) -> Profile {
        let mut profile = self.profile(extra_hypercall_ns);
        if self.layout.as_ref().is_some_and(Layout::is_in_order) {
            return profile;
        }
        profile.topology = None;
        // The pair of each distance is its first, so the lowest of them are the first two CPUs.
        let Apart {
            same_core,
            same_socket,
            other_socket,
        } = &self.line;
        let lines = [same_core, same_socket, other_socket].into_iter().flatten();
        if let Some(first_two) = lines.min_by_key(|line| line.cpus) {
            profile.costs.line.same_socket_ns = first_two.ns.median.round() as u32;
        }
        profile
    }

    /// The profile: medians, and for what could not be measured a distance that could, or the simulator's own
    /// figures.
    pub(crate) fn profile(&self, extra_hypercall_ns: u64) -> Profile {
        let default = Costs::default();
        let ns = |spread: &Spread| spread.median.round() as u32;
        let line = (self.line.as_ref()).map(|line| line.as_ref().map(|line| ns(&line.ns)));
        let between_cores = (line.same_socket.or(line.same_core).or(line.other_socket))
            .unwrap_or(default.line.same_socket_ns);
        let extra_ns = u32::try_from(extra_hypercall_ns).unwrap_or(u32::MAX);
        Profile {
            about: self.about.clone(),
            costs: Costs {
                atomic_ns: ns(&self.atomic),
                switch_ns: ns(&self.switch),
                hypercall_ns: ns(&self.hypercall).saturating_add(extra_ns),
                poke_ns: self.poke.as_ref().map_or(default.poke_ns, ns),
                poke_send_ns: self.poke_send.as_ref().map_or(default.poke_send_ns, ns),
                interrupt_ns: self.poke_lost.as_ref().map_or(default.interrupt_ns, ns),
                wake_ns: 0,
                tick_ns: 0,
                line: LineCosts {
                    same_core_ns: line.same_core.unwrap_or(between_cores),
                    same_socket_ns: between_cores,
                    other_socket_ns: line.other_socket.unwrap_or(between_cores),
                    word_travels: true,
                    ..LineCosts::flat(between_cores)
                },
            },
            topology: (self.layout.as_ref()).and_then(|layout| layout.topology().ok()),
        }
    }

    /// The profile's file, with where each figure comes from.
    fn file(&self, extra_hypercall_ns: u64) -> String {
        let of = |spread: &Option<Spread>, what: &str| match spread {
            Some(spread) => measured(spread, what),
            None => ONE_CPU.to_owned(),
        };
        let hypercall = measured(&self.hypercall, "refused at once");
        let lines = self.line_comments();
        let comments = [
            (
                "atomic_ns",
                measured(&self.atomic, "half of a compare-and-swap and a swap"),
            ),
            (
                "switch_ns",
                measured(&self.switch, "entering a vCPU and leaving it"),
            ),
            (
                "hypercall_ns",
                format!("{extra_hypercall_ns} ns are added; {hypercall}"),
            ),
            (
                "poke_ns",
                of(&self.poke, "until the other guest is interrupted"),
            ),
            (
                "poke_send_ns",
                of(&self.poke_send, "until its sender goes on"),
            ),
            (
                "interrupt_ns",
                of(&self.poke_lost, "what the poked guest loses"),
            ),
            ("wake_ns", "idle pCPUs poll".to_owned()),
            ("tick_ns", "slices have a timer".to_owned()),
            ("same_core_ns", lines.same_core),
            ("same_socket_ns", lines.same_socket),
            ("other_socket_ns", lines.other_socket),
            (
                "each_poller_ns",
                "not measured: it takes many CPUs".to_owned(),
            ),
            ("word_travels", "as every line does".to_owned()),
            (
                "[topology]",
                "the allowed CPUs; pCPUs are numbered thread by thread, core by core".to_owned(),
            ),
        ];
        let mut text = String::new();
        for line in self.profile(extra_hypercall_ns).to_toml().lines() {
            let key = line.split(" = ").next().unwrap_or_default();
            let comment = comments.iter().find(|(name, _)| *name == key);
            let _ = match comment {
                Some((_, comment)) => writeln!(text, "{line:<24} # {comment}"),
                None => writeln!(text, "{line}"),
            };
        }
        let irregular = match &self.layout {
            Some(layout) => layout.topology().err(),
            None => Some(UNTOLD.to_owned()),
        };
        if let Some(why) = irregular {
            let _ = writeln!(text, "\n# No [topology]: {why}.");
        }
        text
    }

    /// For each distance which CPUs were taken, or why it was not measured.
    fn line_comments(&self) -> Apart<String> {
        let measured_of = |line: &Line, what: &str| {
            let (first, second) = line.cpus;
            let what = format!("CPUs {first} and {second}{what}, half of a round trip");
            measured(&line.ns, &what)
        };
        if self.layout.is_none() {
            let not = |key: &str| format!("not measured, {UNTOLD}: as {key}");
            return Apart {
                same_core: not("same_socket_ns"),
                same_socket: match &self.line.same_socket {
                    Some(line) => measured_of(line, &format!(" ({UNTOLD})")),
                    None => ONE_CPU.to_owned(),
                },
                other_socket: not("same_socket_ns"),
            };
        }
        let of = |line: &Option<Line>, what: &str, instead: &str| match line {
            Some(line) => measured_of(line, &format!(", {what}")),
            None => format!("not measured, no two of the allowed CPUs are {what}: {instead}"),
        };
        let cores_instead = match &self.line {
            Apart {
                same_core: Some(_), ..
            } => "as same_core_ns",
            Apart {
                other_socket: Some(_),
                ..
            } => "as other_socket_ns",
            _ => "the simulator's default",
        };
        Apart {
            same_core: of(
                &self.line.same_core,
                "threads of a core",
                "as same_socket_ns",
            ),
            same_socket: of(&self.line.same_socket, "cores of a socket", cores_instead),
            other_socket: of(
                &self.line.other_socket,
                "on two sockets",
                "as same_socket_ns",
            ),
        }
    }
}

fn measured(spread: &Spread, what: &str) -> String {
    // Interrupts make single measurements longer, not most of them.
    let doubt = if spread.max > 3.0 * spread.median {
        ": DISTURBED, repeat it on an idle machine"
    } else {
        ""
    };
    format!(
        "{what}: median; {:.0} to {:.0} ns{doubt}",
        spread.min, spread.max
    )
}

#[cfg(test)]
mod tests;
