//! What a greedy VM does, as text: a name, or the programs of its vCPUs.
//!
//! ```text
//!   programs   program / program ...   vCPU 0 runs the first, vCPU 1 the second, and so on in a circle
//!   program    step; step; ...         over and over
//!   step       TIME [action]           computes, then acts
//!   action     yield TARGET, kick TARGET, halt [TIME], spin TIME, until TIME of TIME
//!   target     preempted, halted, next, or a vCPU's number
//! ```

use pvqspin_kvm_boot::greedy::{Action, Programs, Step, Target};
use pvqspin_sweep::words::{time_or_zero, unknown};

/// What the vCPUs of a greedy VM do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Strategy {
    /// As it was given.
    pub(crate) text: String,
    /// The programs.
    pub(crate) programs: Programs,
}

impl Strategy {
    /// Every vCPU computes: what the others are compared with.
    pub(crate) fn busy() -> Self {
        Self {
            text: BUSY.to_owned(),
            programs: Programs::BUSY,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.programs == Programs::BUSY
    }
}

const BUSY: &str = "busy";

/// A strategy that has a name.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) about: &'static str,
}

/// The strategies that have names. Where slices are told of they are those of Linux at 250 Hz, 4 ms.
pub(crate) const NAMED: [Named; 14] = [
    Named {
        name: BUSY,
        text: "0",
        about: "computes, and nothing else: what the others are compared with",
    },
    Named {
        name: "dodge-ticks",
        text: "0 until 0us of 4ms; 0 halt 300us / 0 until 1ms of 4ms; 0 halt 300us / \
               0 until 2ms of 4ms; 0 halt 300us / 0 until 3ms of 4ms; 0 halt 300us",
        about: "sleeps for a moment at the same place in each 4 ms, every vCPU at another one, as a guest that is \
                not there when a tick looks",
    },
    Named {
        name: "circle",
        text: "40us yield preempted",
        about: "lends in a circle among its vCPUs, also at the end of each slice, which a loan then outlasts",
    },
    Named {
        name: "yield-at-once",
        text: "10us yield preempted; 3ms yield preempted",
        about: "lends at the start of each slice, and again near its end",
    },
    Named {
        name: "late-loans",
        text: "3950us yield preempted / 3980us yield preempted / 1960us yield preempted / 0",
        about: "lends when little of a slice is left, to vCPUs that only compute",
    },
    Named {
        name: "storm",
        text: "100us kick halted / 50us halt",
        about: "half of the vCPUs wake the other half all the time, which halt at once: to preempt by waking",
    },
    Named {
        name: "wake-then-work",
        text: "50us kick halted; 50us halt 200us / 2ms halt",
        about: "half of the vCPUs wake the other half, which work for half a slice whenever they are woken",
    },
    Named {
        name: "lend-to-sleepers",
        text: "50us yield preempted / 5us halt 50us",
        about: "half of the vCPUs lend to vCPUs that halt at once, so that the rest of the loan comes back",
    },
    Named {
        name: "donors",
        text: "1us yield preempted; 0 halt 1us; 1us yield preempted; 0 halt 1us; 1us yield preempted; 0 halt 1us; \
               1us yield preempted; 0 halt 1us; 1us yield preempted; 0 halt 4ms; 1us halt 4ms; 1us halt 4ms / 0",
        about: "half of the vCPUs only lend what they have to the other half, and are woken at once to lend again",
    },
    Named {
        name: "borrowers",
        text: "10us yield 0; 10us yield 0; 10us yield 0; 10us yield 0; 12ms halt 1us",
        about: "all name one vCPU, and go on for several slices",
    },
    Named {
        name: "spinners",
        text: "10us spin 1ms; 0 yield next / 0",
        about: "half of the vCPUs wait in loops of PAUSE, which KVM takes for a reason to yield",
    },
    Named {
        name: "in-step",
        text: "2ms halt 2ms",
        about: "all compute for half a slice and sleep for half a slice",
    },
    Named {
        name: "short-naps",
        text: "20us halt 20us",
        about: "sleeps so often that every turn begins with a wake-up",
    },
    Named {
        name: "long-naps",
        text: "12ms halt 40ms",
        about: "sleeps for ten slices, then wants what it missed",
    },
];

/// Reads a strategy.
///
/// # Errors
///
/// Says which names there are, or what a program looks like.
pub(crate) fn strategy(text: &str) -> Result<Strategy, String> {
    let text = text.trim();
    let named = NAMED.iter().find(|named| named.name == text);
    // A name has no space, and a program that does anything has; `0` alone computes.
    if named.is_none() && !text.contains(' ') && !text.starts_with(|c: char| c.is_ascii_digit()) {
        let names = NAMED.iter().map(|named| named.name);
        let names = unknown("strategy", text, names);
        return Err(format!(
            "{names}; or programs, as in '50us yield preempted / 1ms halt 2ms' (`pvq list`)"
        ));
    }
    Ok(Strategy {
        text: text.to_owned(),
        programs: programs(named.map_or(text, |named| named.text))?,
    })
}

fn programs(text: &str) -> Result<Programs, String> {
    let mut programs = Vec::new();
    for program in text.split('/') {
        let steps: Result<Vec<Step>, String> = program.split(';').map(step).collect();
        let steps = steps?;
        // To compute for no time, over and over, is to compute.
        let idle = steps
            .iter()
            .all(|step| step.compute_ns == 0 && step.action == Action::Go);
        programs.push(if idle { Vec::new() } else { steps });
    }
    let each = programs.iter().map(Vec::as_slice);
    Ok(Programs::new(each)?)
}

fn step(text: &str) -> Result<Step, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let wrong = || {
        format!(
            "'{}' is no step: a time to compute, then perhaps yield, kick (and preempted, halted, next or a vCPU's \
             number), halt (and perhaps a time), spin (and a time) or until (as in 'until 1ms of 4ms')",
            text.trim()
        )
    };
    let ns = |word: &str| -> Result<u32, String> {
        let ns = time_or_zero(word).map_err(|why| format!("'{word}': {why}"))?;
        Ok(u32::try_from(ns).unwrap_or(u32::MAX))
    };
    let [compute, rest @ ..] = &words[..] else {
        return Err(wrong());
    };
    let action = match *rest {
        [] => Action::Go,
        ["yield", to] => Action::Yield(target(to).ok_or_else(wrong)?),
        ["kick", to] => Action::Kick(target(to).ok_or_else(wrong)?),
        ["halt"] => Action::Halt(None),
        ["halt", time] => Action::Halt(Some(ns(time)?)),
        ["spin", time] => Action::Spin(ns(time)?),
        ["until", phase, "of", period] => Action::Until {
            phase_ns: ns(phase)?,
            period_ns: ns(period)?,
        },
        _ => return Err(wrong()),
    };
    Ok(Step {
        compute_ns: ns(compute)?,
        action,
    })
}

fn target(word: &str) -> Option<Target> {
    match word {
        "preempted" => Some(Target::Preempted),
        "halted" => Some(Target::Halted),
        "next" => Some(Target::Next),
        number => number.parse().ok().map(Target::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_program_of_its_own() {
        let mut seen = Vec::new();
        for named in NAMED {
            let read = strategy(named.name).unwrap_or_else(|why| panic!("{}: {why}", named.name));
            assert_eq!(read.is_busy(), named.name == "busy");
            assert!(!seen.contains(&read.programs), "{}", named.name);
            seen.push(read.programs);
            assert_eq!(
                strategy(named.text).map(|read| read.programs).ok(),
                seen.last().copied()
            );
        }
        assert_eq!(Strategy::busy(), strategy("busy").expect("known"));
    }

    #[test]
    fn steps_are_read_as_they_are_written() {
        let read =
            strategy("1us yield 3; 0 halt / 2ms until 1ms of 4ms;5us spin 7us").expect("programs");
        let steps = |vcpu| read.programs.of_vcpu(vcpu).to_vec();
        let step = |compute_ns, action| Step { compute_ns, action };
        assert_eq!(
            steps(0),
            [
                step(1_000, Action::Yield(Target::Number(3))),
                step(0, Action::Halt(None))
            ]
        );
        assert_eq!(steps(0), steps(2));
        assert_eq!(
            steps(1),
            [
                step(
                    2_000_000,
                    Action::Until {
                        phase_ns: 1_000_000,
                        period_ns: 4_000_000
                    }
                ),
                step(5_000, Action::Spin(7_000))
            ]
        );
    }

    #[test]
    fn what_is_none_says_what_one_would_be() {
        for (text, said) in [
            (
                "circel",
                "did you mean 'circle'? There are: busy, dodge-ticks",
            ),
            ("1us yield", "'1us yield' is no step"),
            ("1us yield 256", "is no step"),
            ("1us kick someone; 0 halt", "'1us kick someone' is no step"),
            ("1us; ", "'' is no step"),
            ("one halt", "'one': a time is a number and a unit"),
            ("1us halt 2s", "a time is 1 s at most"),
            ("1us halt 0", "a halt lasts"),
            ("0 until 4ms of 4ms", "within its period"),
            ("0 / 0 / 0 / 0 / 0", "1 to 4 programs"),
        ] {
            let error = strategy(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
        let many = vec!["1us"; 65].join(";");
        assert!(strategy(&many).expect_err("too long").contains("64 steps"));
    }
}
