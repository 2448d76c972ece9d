//! What this KVM can do, and which way is best.
//!
//! A `/dev/kvm` may be there and still not behave: on some nested hosts guest code at CPL 0 is
//! emulated, a microsecond or so for each instruction, and a hypercall instruction never comes back,
//! while code at CPL 3 runs at the processor's own speed. Nothing says so but trying. Each trial is
//! a VM of one vCPU that does one thing, under a watchdog.

use std::fmt;
use std::time::Duration;

use pvqspin_kvm_boot::Transport;
use pvqspin_kvm_boot::boot::{COMPUTE_TURNS, RINGS, Trial};

use crate::error::RunError;
use crate::guest::Guest;
use crate::image::Image;
use crate::setup::Cpl;
use crate::trial::trial;
use crate::vm::KvmHost;

/// A trial that has not come back by then will not.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much slower than this process code may be and still count as running natively.
const NATIVE_WITHIN: f64 = 3.0;

/// What became of a trial.
#[derive(Clone, PartialEq, Debug)]
pub enum Tried {
    /// It worked, and took so long: for each turn, or each call.
    Works {
        /// Nanoseconds.
        ns: f64,
    },
    /// It did not, for this reason.
    Fails(String),
}

impl Tried {
    fn of(result: Result<u64, RunError>, count: u64) -> Self {
        match result {
            Ok(ns) => Self::Works {
                ns: ns as f64 / count as f64,
            },
            Err(RunError::Stuck(_)) => Self::Fails("it does not come back".to_owned()),
            // One line: the rest are registers.
            Err(other) => Self::Fails(
                other
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            ),
        }
    }

    /// Whether it works, and takes at most so many nanoseconds.
    fn within(&self, limit_ns: f64) -> bool {
        matches!(self, Self::Works { ns } if *ns <= limit_ns)
    }
}

/// What this KVM can do.
#[derive(Clone, PartialEq, Debug)]
pub struct Probe {
    /// A turn of the loop that stands for work, in this process, in nanoseconds.
    pub turn_here_ns: f64,
    /// The same in a guest at CPL 0.
    pub turn_at_cpl_0: Tried,
    /// The same in a guest at CPL 3.
    pub turn_at_cpl_3: Tried,
    /// A port write there and back, at the level that [`choice`](Self::choice) takes.
    pub ring: Tried,
    /// One of KVM's own hypercalls, at CPL 0.
    pub hypercall: Tried,
}

/// How guests shall run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// How they reach their hypervisor.
    pub transport: Transport,
    /// At which privilege level they run.
    pub cpl: Cpl,
    /// Why.
    pub why: &'static str,
}

impl Probe {
    /// Finds out, in about a tenth of a second, or in two seconds where something does not work.
    pub fn run(host: &KvmHost, image: &Image) -> Self {
        let try_at = |cpl, what| {
            let guest = Guest {
                image: image.clone(),
                transport: Transport::Doorbell,
                cpl,
            };
            trial(host, &guest, what, PATIENCE)
        };
        let turn_at = |cpl| Tried::of(try_at(cpl, Trial::Compute), COMPUTE_TURNS);
        let calibrated = pvqspin_real_time::clock::calibrate();
        let mut probe = Self {
            turn_here_ns: pvqspin_real_time::compute::calibrate(calibrated).turn_ns,
            turn_at_cpl_0: turn_at(Cpl::Zero),
            turn_at_cpl_3: turn_at(Cpl::Three),
            ring: Tried::Fails("it was not tried".to_owned()),
            hypercall: Tried::of(try_at(Cpl::Zero, Trial::Hypercall), 1),
        };
        let cpl = probe.cpl();
        probe.ring = Tried::of(try_at(cpl, Trial::Rings), RINGS);
        probe
    }

    /// The level at which code runs natively: 0 if it does there.
    fn cpl(&self) -> Cpl {
        match self.turn_at_cpl_0.within(self.turn_here_ns * NATIVE_WITHIN) {
            true => Cpl::Zero,
            false => Cpl::Three,
        }
    }

    /// How guests shall run here.
    #[must_use]
    pub fn choice(&self) -> Choice {
        let cpl = self.cpl();
        Choice {
            transport: Transport::Doorbell,
            cpl,
            why: match cpl {
                Cpl::Zero => "code at CPL 0 runs natively",
                Cpl::Three => "code at CPL 0 does not run natively, code at CPL 3 does",
            },
        }
    }

    /// Whether guests run at all, natively or not.
    #[must_use]
    pub fn works(&self) -> bool {
        matches!(self.ring, Tried::Works { .. })
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = |tried: &Tried| match tried {
            Tried::Works { ns } if *ns <= self.turn_here_ns * NATIVE_WITHIN => "native".to_owned(),
            Tried::Works { ns } => format!("{:.0} times slower than here", ns / self.turn_here_ns),
            Tried::Fails(why) => format!("fails ({why})"),
        };
        let call = |tried: &Tried| match tried {
            Tried::Works { ns } => format!("{:.1} us", ns / 1e3),
            Tried::Fails(why) => format!("fails ({why})"),
        };
        write!(
            f,
            "code at CPL 0: {}; at CPL 3: {}; port exit {}; KVM's hypercalls: {}",
            speed(&self.turn_at_cpl_0),
            speed(&self.turn_at_cpl_3),
            call(&self.ring),
            call(&self.hypercall),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(at_cpl_0: Tried) -> Probe {
        Probe {
            turn_here_ns: 2.0,
            turn_at_cpl_0: at_cpl_0,
            turn_at_cpl_3: Tried::Works { ns: 2.1 },
            ring: Tried::Works { ns: 1_500.0 },
            hypercall: Tried::Fails("it does not come back".to_owned()),
        }
    }

    #[test]
    fn kernels_run_at_cpl_0_where_that_is_native() {
        let cpl = |tried| probe(tried).choice().cpl;
        assert_eq!(cpl(Tried::Works { ns: 2.2 }), Cpl::Zero);
        assert_eq!(cpl(Tried::Works { ns: 1_700.0 }), Cpl::Three);
        assert_eq!(cpl(Tried::Fails("no".to_owned())), Cpl::Three);
    }

    #[test]
    fn what_was_found_is_told() {
        let text = probe(Tried::Works { ns: 1_700.0 }).to_string();
        for part in [
            "850 times slower",
            "CPL 3: native",
            "1.5 us",
            "does not come back",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
