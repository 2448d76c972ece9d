//! What this machine costs, measured with the embedded hypervisor, as a profile for the simulator.
//!
//! | the simulator's cost | what is measured here |
//! | --- | --- |
//! | `atomic_ns` | half of a compare-and-swap and a swap on a line of one's own |
//! | `line.*` | half of a round trip of a line between two pinned threads |
//! | `switch_ns` | entering a vCPU and leaving it |
//! | `hypercall_ns` | a hypercall that the host refuses, and the extra cost that `compare` adds |
//! | `poke_ns` | from a poke until the other pCPU's guest is interrupted |
//! | `poke_send_ns` | until the sender of that poke goes on: a signal takes it through the kernel |
//! | `interrupt_ns` | what a poked guest loses if it goes on |
//!
//! The embedded hypervisor's pCPUs poll while they idle, and its slices have a timer, so a wake-up
//! costs nothing more and there are no ticks.

use std::fmt::Write as _;
use std::time::SystemTime;

use pvqspin_hypervisor::Machine;
use pvqspin_report::{Spread, files};
use pvqspin_simulator::{Costs, LineCosts, Profile};

use crate::calibrate_lines;
use crate::driver;
use crate::failure::{Done, Failure, print};
use crate::validate_args::CalibrateArgs;

/// How often everything is measured if nobody says.
const REPEATS: usize = 5;

/// What was measured, in ns.
pub(crate) struct Calibration {
    atomic: Spread,
    line: Option<Spread>,
    switch: Spread,
    hypercall: Spread,
    poke: Option<Spread>,
    poke_send: Option<Spread>,
    poke_lost: Option<Spread>,
    about: String,
}

/// Runs `pvq calibrate`.
pub(crate) fn run(args: &CalibrateArgs) -> Done {
    if let Some(out) = &args.out {
        files::check_writable(out).map_err(Failure::BadInput)?;
    }
    let machine = Machine::probe().map_err(driver::unsupported)?;
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
    pub(crate) fn measure(machine: &Machine) -> Result<Self, Failure> {
        Self::repeated(machine, REPEATS)
    }

    fn repeated(machine: &Machine, repeats: usize) -> Result<Self, Failure> {
        let mut probes = vec![machine.clone()];
        while probes.len() < repeats {
            probes.push(Machine::probe().map_err(driver::unsupported)?);
        }
        let spread = |of: fn(&Machine) -> f64| Spread::of(probes.iter().map(of));
        let optional = |of: fn(&Machine) -> Option<f64>| {
            let all: Vec<f64> = probes.iter().filter_map(of).collect();
            (!all.is_empty()).then(|| Spread::of(all))
        };
        let each = |measure: &dyn Fn() -> Option<f64>| {
            let all: Vec<f64> = (0..repeats).filter_map(|_| measure()).collect();
            (!all.is_empty()).then(|| Spread::of(all))
        };
        let line = match machine.cpus.as_slice() {
            [first, second, ..] => each(&|| calibrate_lines::transfer_ns(*first, *second)),
            _ => None,
        };
        let described = driver::describe(machine);
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Ok(Self {
            atomic: each(&|| Some(calibrate_lines::atomic_ns())).unwrap_or_default(),
            line,
            switch: spread(|probe| probe.switch_ns),
            hypercall: spread(|probe| probe.hypercall_ns),
            poke: optional(|probe| probe.poke_ns),
            poke_send: optional(|probe| probe.poke_send_ns),
            poke_lost: optional(|probe| probe.poke_lost_ns),
            about: format!(
                "{}, {} CPUs, embedded hypervisor, measured on {}",
                described.cpu,
                described.cpus_allowed,
                date.split('T').next().unwrap_or_default()
            ),
        })
    }

    /// The profile: medians, and the simulator's own figures for what one CPU cannot measure.
    pub(crate) fn profile(&self, extra_hypercall_ns: u64) -> Profile {
        let default = Costs::default();
        let ns = |spread: &Spread| spread.median.round() as u32;
        let line_ns = self.line.as_ref().map_or(default.line.same_socket_ns, ns);
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
                    word_travels: true,
                    ..LineCosts::flat(line_ns)
                },
            },
            topology: None,
        }
    }

    /// The profile's file, with where each figure comes from.
    fn file(&self, extra_hypercall_ns: u64) -> String {
        let of = |spread: &Option<Spread>, what: &str| match spread {
            Some(spread) => measured(spread, what),
            None => "with one CPU it cannot be measured: the simulator's default".to_owned(),
        };
        let hypercall = measured(&self.hypercall, "refused at once");
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
            ("same_core_ns", "not measured: as between cores".to_owned()),
            ("same_socket_ns", of(&self.line, "half of a round trip")),
            (
                "other_socket_ns",
                "not measured: as between cores".to_owned(),
            ),
            (
                "each_poller_ns",
                "not measured: it takes many CPUs".to_owned(),
            ),
            ("word_travels", "as every line does".to_owned()),
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
        text
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
mod tests {
    use super::*;

    fn spread(median: f64) -> Spread {
        Spread::of([median - 1.0, median, median + 2.0])
    }

    fn calibration() -> Calibration {
        Calibration {
            atomic: spread(7.0),
            line: Some(spread(80.0)),
            switch: spread(40.4),
            hypercall: spread(120.0),
            poke: Some(spread(1_900.0)),
            poke_send: Some(spread(900.0)),
            poke_lost: Some(spread(1_200.0)),
            about: "a machine of two CPUs".to_owned(),
        }
    }

    #[test]
    fn the_file_is_a_profile_with_the_medians_and_their_spread() {
        let calibration = calibration();
        let text = calibration.file(1_000);
        let profile = Profile::parse(&text).expect("the simulator reads it");
        assert_eq!(profile, calibration.profile(1_000));
        let costs = profile.costs;
        assert_eq!(
            (costs.atomic_ns, costs.switch_ns, costs.hypercall_ns),
            (7, 40, 1_120)
        );
        assert_eq!(costs.line.same_socket_ns, 80);
        assert_eq!((costs.poke_send_ns, costs.interrupt_ns), (900, 1_200));
        assert!(text.contains("79 to 82 ns"), "{text}");
        let costs_without_comment = text
            .lines()
            .filter(|line| line.contains("_ns = ") && !line.contains('#'));
        assert_eq!(costs_without_comment.count(), 0, "{text}");
    }

    #[test]
    fn a_measurement_that_other_work_stretched_says_so() {
        let poke = Some(Spread::of([2_000.0, 2_100.0, 8_000_000.0]));
        let calibration = Calibration {
            poke,
            ..calibration()
        };
        assert_eq!(calibration.file(0).matches("DISTURBED").count(), 1);
    }

    #[test]
    fn with_one_cpu_the_rest_is_the_default() {
        let calibration = Calibration {
            line: None,
            poke: None,
            poke_send: None,
            poke_lost: None,
            ..calibration()
        };
        let (profile, default) = (calibration.profile(0), Costs::default());
        assert_eq!(
            profile.costs.line.same_socket_ns,
            default.line.same_socket_ns
        );
        assert_eq!(profile.costs.poke_ns, default.poke_ns);
        assert_eq!(profile.costs.interrupt_ns, default.interrupt_ns);
        assert!(Profile::parse(&calibration.file(0)).is_ok());
    }
}
