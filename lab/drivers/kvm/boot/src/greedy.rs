//! What the vCPUs of a greedy VM do: short programs of computing, yields, kicks and halts.
//!
//! ```text
//!   Programs   one to four circles of steps; vCPU n runs the n-th, the (n + count)-th the same
//!     Step     compute for so long, then act
//! ```
//!
//! The words of a boot block hold them, each step in two of its words. What is not within the bounds below is no
//! program: the guest refuses it, and the VMM never writes it.

/// How many programs there can be.
pub const MOST_PROGRAMS: usize = 4;

/// How many steps they can have, all together.
pub const MOST_STEPS: usize = 64;

/// The longest time in a step, in nanoseconds: a vCPU that is to end must come by now and then.
pub const LONGEST_NS: u32 = 1_000_000_000;

/// How many words they take.
pub const WORDS: usize = MOST_PROGRAMS + 2 * MOST_STEPS;

/// Another vCPU of the same VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The next one after it, in a circle, that could run and does not.
    Preempted,
    /// The next one that has halted.
    Halted,
    /// The next one, whatever it does.
    Next,
    /// The one with this number, counted modulo the number of vCPUs.
    Number(u8),
}

/// What a vCPU does at the end of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Goes on.
    Go,
    /// A directed yield, if there is such a vCPU.
    Yield(Target),
    /// A kick, likewise. KVM also yields to a vCPU that is kicked.
    Kick(Target),
    /// A halt until a kick, or until its timer ends it after so many nanoseconds.
    Halt(Option<u32>),
    /// A loop of `PAUSE` for so many nanoseconds: what a pause-loop exit takes for a spinning vCPU.
    Spin(u32),
    /// Computes until the clock has come so far in a period, both in nanoseconds: the same instant for all vCPUs.
    Until {
        /// How far.
        phase_ns: u32,
        /// How long the period is.
        period_ns: u32,
    },
}

/// Compute, then act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// How long it computes, in nanoseconds.
    pub compute_ns: u32,
    /// What it does then.
    pub action: Action,
}

impl Step {
    const NOTHING: Self = Self {
        compute_ns: 0,
        action: Action::Go,
    };

    /// What it does, what with, and two times: its words.
    fn to_words(self) -> [u64; 2] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let target = |target| match target {
            Target::Preempted => 0,
            Target::Halted => 1,
            Target::Next => 2,
            Target::Number(number) => 3 | u32::from(number) << 8,
        };
        let (kind, with, times) = match self.action {
            Action::Go => (0, 0, 0),
            Action::Yield(to) => (1, target(to), 0),
            Action::Kick(to) => (2, target(to), 0),
            Action::Halt(None) => (3, 0, 0),
            Action::Halt(Some(ns)) => (4, 0, ns.into()),
            Action::Spin(ns) => (5, 0, ns.into()),
            Action::Until {
                phase_ns,
                period_ns,
            } => (6, 0, pair(phase_ns, period_ns)),
        };
        [pair(self.compute_ns, kind | with << 8), times]
    }

    fn from_words([first, times]: [u64; 2]) -> Option<Self> {
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        let [compute_ns, what] = halves(first);
        let [low, high] = halves(times);
        let [kind, with, number, rest] = what.to_le_bytes();
        let target = || match (with, number) {
            (0, 0) => Some(Target::Preempted),
            (1, 0) => Some(Target::Halted),
            (2, 0) => Some(Target::Next),
            (3, number) => Some(Target::Number(number)),
            _ => None,
        };
        let action = match kind {
            0 => Action::Go,
            1 => Action::Yield(target()?),
            2 => Action::Kick(target()?),
            3 => Action::Halt(None),
            4 => Action::Halt(Some(low)),
            5 => Action::Spin(low),
            6 => Action::Until {
                phase_ns: low,
                period_ns: high,
            },
            _ => return None,
        };
        let step = Self { compute_ns, action };
        // Nothing stands where nothing belongs.
        (rest == 0 && step.is_possible() && step.to_words() == [first, times]).then_some(step)
    }

    /// Whether its times are within their bounds.
    fn is_possible(&self) -> bool {
        let longest = match self.action {
            Action::Halt(Some(ns)) | Action::Spin(ns) => ns,
            Action::Until {
                phase_ns,
                period_ns,
            } => match phase_ns < period_ns {
                true => period_ns,
                false => return false,
            },
            Action::Go | Action::Yield(_) | Action::Kick(_) | Action::Halt(None) => 0,
        };
        self.compute_ns.max(longest) <= LONGEST_NS && self.action != Action::Halt(Some(0))
    }
}

/// The programs of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Programs {
    count: usize,
    /// The steps of each lie one after the other.
    lengths: [usize; MOST_PROGRAMS],
    steps: [Step; MOST_STEPS],
}

impl Programs {
    /// Every vCPU computes, and nothing else.
    pub const BUSY: Self = Self {
        count: 1,
        lengths: [0; MOST_PROGRAMS],
        steps: [Step::NOTHING; MOST_STEPS],
    };

    /// These, each the steps of one.
    ///
    /// # Errors
    ///
    /// Says what they would have to be.
    pub fn new<'a>(programs: impl IntoIterator<Item = &'a [Step]>) -> Result<Self, &'static str> {
        const COUNT: &str = "there are 1 to 4 programs, separated by '/'";
        let mut made = Self {
            count: 0,
            ..Self::BUSY
        };
        let mut used = 0;
        for program in programs {
            let length = (made.lengths.get_mut(made.count)).ok_or(COUNT)?;
            *length = program.len();
            made.count += 1;
            let places = made.steps.get_mut(used..used + program.len());
            places
                .ok_or("all programs together have 64 steps at most")?
                .copy_from_slice(program);
            used += program.len();
        }
        match made.count {
            0 => Err(COUNT),
            _ if !made.steps.iter().all(Step::is_possible) => {
                Err("a time is 1 s at most, a halt lasts, and a phase lies within its period")
            }
            _ => Ok(made),
        }
    }

    /// What a vCPU does, over and over. Without a step it computes.
    #[must_use]
    pub fn of_vcpu(&self, number: usize) -> &[Step] {
        let which = number % self.count.max(1);
        let begin: usize = self.lengths[..which].iter().sum();
        &self.steps[begin..][..self.lengths[which]]
    }

    /// As they lie in a boot block: the lengths, each one more than it is, and the steps.
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let (lengths, steps) = words.split_at_mut(MOST_PROGRAMS);
        for (word, length) in lengths.iter_mut().zip(&self.lengths[..self.count]) {
            *word = *length as u64 + 1;
        }
        for (pair, step) in steps.chunks_exact_mut(2).zip(self.steps) {
            pair.copy_from_slice(&step.to_words());
        }
        words
    }

    /// The programs in these words; `None` if they are none.
    pub(crate) fn from_words(words: &[u64]) -> Option<Self> {
        let (lengths, steps) = words.split_at_checked(MOST_PROGRAMS)?;
        let mut made = Self {
            count: lengths.iter().take_while(|&&length| length != 0).count(),
            ..Self::BUSY
        };
        for (place, word) in made.lengths.iter_mut().zip(&lengths[..made.count]) {
            *place = usize::try_from(word - 1)
                .ok()
                .filter(|&length| length <= MOST_STEPS)?;
        }
        for (place, pair) in made.steps.iter_mut().zip(steps.chunks_exact(2)) {
            *place = Step::from_words([pair[0], pair[1]])?;
        }
        let steps: usize = made.lengths.iter().sum();
        (made.count > 0 && steps <= MOST_STEPS && made.to_words() == words).then_some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: Action) -> Step {
        Step {
            compute_ns: 17,
            action,
        }
    }

    fn all() -> Programs {
        let targets = [
            Target::Preempted,
            Target::Halted,
            Target::Next,
            Target::Number(3),
        ];
        let yields = targets.map(|to| step(Action::Yield(to)));
        let kicks = targets.map(|to| step(Action::Kick(to)));
        let rest = [
            step(Action::Go),
            step(Action::Halt(None)),
            step(Action::Halt(Some(1))),
            step(Action::Spin(5)),
            step(Action::Until {
                phase_ns: 0,
                period_ns: LONGEST_NS,
            }),
        ];
        Programs::new([&yields[..], &[], &kicks, &rest]).expect("possible")
    }

    #[test]
    fn programs_survive_their_words_and_take_turns() {
        for programs in [all(), Programs::BUSY] {
            assert_eq!(Programs::from_words(&programs.to_words()), Some(programs));
        }
        let programs = all();
        let lengths = [0, 1, 2, 3, 4, 7].map(|vcpu| programs.of_vcpu(vcpu).len());
        assert_eq!(lengths, [4, 0, 4, 5, 4, 5]);
        assert_eq!(programs.of_vcpu(5), &[]);
        let kicks = programs.of_vcpu(2);
        assert_eq!(kicks[3].action, Action::Kick(Target::Number(3)));
    }

    #[test]
    fn what_is_out_of_bounds_is_no_program() {
        let good = all().to_words();
        let first = MOST_PROGRAMS;
        for (at, word) in [
            (0, 0),
            (0, 66),
            (1, u64::MAX),
            (first, 1 << 32),
            (first, u64::from(LONGEST_NS) + 1),
            (first, 7 << 32),
            (first, 1 << 32 | 4 << 40),
            (first, 1 << 32 | 1 << 48),
            (first, 1 << 56),
            (first + 1, 1),
        ] {
            let mut words = good;
            words[at] = word;
            let changed = Programs::from_words(&words);
            assert!(
                changed.is_none() || (at == first && word == 1 << 32),
                "word {at} {word:#x}: {changed:?}"
            );
        }
        let problem = |programs: &[&[Step]]| Programs::new(programs.iter().copied()).err();
        let halts = [step(Action::Halt(Some(0)))];
        let late = [step(Action::Until {
            phase_ns: 5,
            period_ns: 5,
        })];
        let many = [step(Action::Go); MOST_STEPS + 1];
        for (programs, word) in [
            (&[][..], "1 to 4"),
            (&[&[][..]; MOST_PROGRAMS + 1], "1 to 4"),
            (&[&many[..]], "64 steps"),
            (&[&halts[..]], "a halt lasts"),
            (&[&late[..]], "within its period"),
        ] {
            let said = problem(programs).expect("impossible");
            assert!(said.contains(word), "{said}");
        }
        assert_eq!((MOST_PROGRAMS, MOST_STEPS), (4, 64), "as the sentences say");
    }
}
