//! What a host can be told before it starts, and how it says no.

use core::fmt;
use core::str::FromStr;

use pvqspin_abi::MAX_CPUS;

use crate::budget::Cap;
use crate::fair::MAX_WEIGHT;

/// The most physical CPUs of one host.
pub const MAX_PCPUS: usize = 1 << 16;

/// Which vCPU runs next when none is named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheduling {
    /// All in turn, a slice each. Weights are ignored: every vCPU weighs the same.
    RoundRobin,
    /// The least weighted run time first, as in Linux's fair class.
    Fair,
    /// Credits per period by weight; those with credit go first, and those that wake with credit
    /// go before them, as in Xen's credit scheduler.
    Credit,
    /// All pCPUs run vCPUs of one VM at a time, and switch together.
    CoScheduled,
}

impl Scheduling {
    /// Every policy.
    pub const ALL: [Self; 4] = [
        Self::RoundRobin,
        Self::Fair,
        Self::Credit,
        Self::CoScheduled,
    ];

    /// The name on command lines and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Fair => "fair",
            Self::Credit => "credit",
            Self::CoScheduled => "co-scheduled",
        }
    }

    /// The policy of that name.
    ///
    /// ```
    /// use pvqspin_host::Scheduling;
    ///
    /// assert_eq!(Scheduling::from_name("fair"), Some(Scheduling::Fair));
    /// assert_eq!(
    ///     "fare".parse::<Scheduling>().unwrap_err().to_string(),
    ///     "unknown scheduling policy; known: round-robin, fair, credit, co-scheduled",
    /// );
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// What a directed yield is worth.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum YieldMode {
    /// The target runs at once, on the caller's pCPU, on what is left of the caller's slice.
    Contract,
    /// The target is only marked as next on the pCPU where it ran last, and taken from there if
    /// it has not had its share yet, as stock Linux does.
    Hint,
}

impl YieldMode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Contract, Self::Hint];

    /// The name on command lines and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Hint => "hint",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A name that names nothing. Says which names would.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownName {
    what: &'static str,
    known: &'static str,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {}; known: {}", self.what, self.known)
    }
}

impl core::error::Error for UnknownName {}

impl FromStr for Scheduling {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name).ok_or(UnknownName {
            what: "scheduling policy",
            known: "round-robin, fair, credit, co-scheduled",
        })
    }
}

impl FromStr for YieldMode {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name).ok_or(UnknownName {
            what: "yield mode",
            known: "contract, hint",
        })
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for YieldMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How many physical CPUs there are.
    pub pcpus: usize,
    /// Which vCPU runs next when none is named.
    pub scheduling: Scheduling,
    /// What a directed yield is worth.
    pub yields: YieldMode,
    /// How long a vCPU may run in one go, in nanoseconds.
    pub slice_ns: u64,
    /// How long the target of a directed yield may run at least, in nanoseconds, even if the
    /// caller's slice ends sooner. What goes beyond the slice is charged to the slice's owner,
    /// and granted once for each slice, so that a chain of yields cannot stretch it for ever.
    pub min_loan_ns: u64,
    /// Whether a contract host goes on from the hint, along the wait-for edges in the pages, to
    /// the vCPU that all others wait for. If not, it takes the hint as it is: one that waits
    /// itself is run, and yields in its turn. To measure what following saves; a host that takes
    /// [hints](YieldMode::Hint) never follows.
    pub follow_chain: bool,
    /// Whether a contract host chooses the order in which vCPUs run around a hand-over: one that
    /// is kicked takes the place of one that only spins, or of the kicker, and a slice that was
    /// lent goes back to its owner when the borrower sleeps. If not, the kicked one joins the end
    /// of the run order, and the vCPU that is next there has the pCPU. To measure what ordering saves.
    pub ordered: bool,
}

impl Default for Config {
    /// One pCPU, fair with slices of 3 ms (as Linux's base slice), and the whole contract.
    fn default() -> Self {
        Self {
            pcpus: 1,
            scheduling: Scheduling::Fair,
            yields: YieldMode::Contract,
            slice_ns: 3_000_000,
            min_loan_ns: 100_000,
            follow_chain: true,
            ordered: true,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.pcpus == 0 {
            return Err(ConfigError::NoPcpus);
        }
        if self.pcpus > MAX_PCPUS {
            return Err(ConfigError::TooManyPcpus { asked: self.pcpus });
        }
        if self.slice_ns == 0 {
            return Err(ConfigError::NoSlice);
        }
        if self.slice_ns > MAX_SLICE_NS {
            return Err(ConfigError::SliceTooLong {
                slice_ns: self.slice_ns,
            });
        }
        if self.min_loan_ns > self.slice_ns / 2 {
            return Err(ConfigError::LoanTooLong {
                min_loan_ns: self.min_loan_ns,
                slice_ns: self.slice_ns,
            });
        }
        Ok(())
    }
}

/// The longest slice, in nanoseconds: ten seconds. It keeps virtual times far from overflow.
pub const MAX_SLICE_NS: u64 = 10_000_000_000;

/// A virtual machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VmConfig {
    /// How many virtual CPUs it has.
    pub vcpus: usize,
    /// The weight of *each* of its vCPUs, against those of other VMs. A VM's share is therefore
    /// in proportion to `vcpus * weight`.
    pub weight: u32,
}

impl VmConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.vcpus == 0 {
            return Err(ConfigError::NoVcpus);
        }
        if self.vcpus > MAX_CPUS {
            return Err(ConfigError::TooManyVcpus { asked: self.vcpus });
        }
        if self.weight == 0 {
            return Err(ConfigError::NoWeight);
        }
        if self.weight > MAX_WEIGHT {
            return Err(ConfigError::TooHeavy { asked: self.weight });
        }
        Ok(())
    }
}

/// Why a host or a VM cannot be as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// A host needs a pCPU.
    NoPcpus,
    /// More than [`MAX_PCPUS`] pCPUs.
    TooManyPcpus {
        /// How many were asked for.
        asked: usize,
    },
    /// A slice of no length.
    NoSlice,
    /// A slice longer than [`MAX_SLICE_NS`].
    SliceTooLong {
        /// The slice that was asked for, in nanoseconds.
        slice_ns: u64,
    },
    /// A shortest loan of more than half a slice: round robin pays it back from the next slice.
    LoanTooLong {
        /// The shortest loan that was asked for, in nanoseconds.
        min_loan_ns: u64,
        /// The slice that was asked for, in nanoseconds.
        slice_ns: u64,
    },
    /// A VM needs a vCPU.
    NoVcpus,
    /// More vCPUs than a lock word can name ([`MAX_CPUS`]), or than the host can number.
    TooManyVcpus {
        /// How many were asked for.
        asked: usize,
    },
    /// A weight of zero would mean never to run.
    NoWeight,
    /// A weight above [`MAX_WEIGHT`].
    TooHeavy {
        /// The weight that was asked for.
        asked: u32,
    },
    /// A quota that is too short for a slice and a loan, or longer than its period; or a period of no length, or
    /// of more than [`MAX_SLICE_NS`].
    BadCap {
        /// The cap that was asked for.
        cap: Cap,
        /// The least quota on this host, in nanoseconds.
        least_ns: u64,
    },
    /// Strict co-scheduling knows no caps.
    NoCaps,
    /// There are as many VMs as there may be.
    TooManyVms,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoPcpus => f.write_str("a host needs at least one pCPU"),
            Self::TooManyPcpus { asked } => {
                write!(f, "{asked} pCPUs asked for, a host has at most {MAX_PCPUS}")
            }
            Self::NoSlice => f.write_str("a slice must last longer than 0 ns"),
            Self::SliceTooLong { slice_ns } => {
                write!(
                    f,
                    "a slice of {slice_ns} ns asked for, at most {MAX_SLICE_NS} ns"
                )
            }
            Self::LoanTooLong {
                min_loan_ns,
                slice_ns,
            } => write!(
                f,
                "the shortest loan ({min_loan_ns} ns) must not be longer than half a slice \
                 ({slice_ns} ns)"
            ),
            Self::NoVcpus => f.write_str("a VM needs at least one vCPU"),
            Self::TooManyVcpus { asked } => {
                write!(f, "{asked} vCPUs asked for, a VM has at most {MAX_CPUS}")
            }
            Self::NoWeight => f.write_str("the weight of a VM must be at least 1"),
            Self::TooHeavy { asked } => {
                write!(f, "a weight of {asked} asked for, at most {MAX_WEIGHT}")
            }
            Self::BadCap { cap, least_ns } => write!(
                f,
                "a cap of {} ns in {} ns asked for; a quota is at least {least_ns} ns and at most \
                 its period, a period at most {MAX_SLICE_NS} ns",
                cap.quota_ns, cap.period_ns
            ),
            Self::NoCaps => f.write_str("strict co-scheduling knows no caps"),
            Self::TooManyVms => f.write_str("there are as many VMs as there may be"),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const GOOD: Config = Config {
        pcpus: 2,
        scheduling: Scheduling::Fair,
        yields: YieldMode::Contract,
        slice_ns: 3_000_000,
        min_loan_ns: 100_000,
        follow_chain: true,
        ordered: true,
    };

    #[test]
    fn names_and_values_are_one_to_one() {
        for policy in Scheduling::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
            let listed = "".parse::<Scheduling>().unwrap_err().to_string();
            assert!(listed.contains(policy.name()), "{listed}");
        }
        for mode in YieldMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            let listed = "".parse::<YieldMode>().unwrap_err().to_string();
            assert!(listed.contains(mode.name()), "{listed}");
        }
    }

    #[test]
    fn a_bad_host_is_refused_with_the_reason() {
        assert_eq!(GOOD.check(), Ok(()));
        let bad: [fn(&mut Config); 5] = [
            |config| config.pcpus = 0,
            |config| config.pcpus = usize::MAX,
            |config| config.slice_ns = 0,
            |config| config.slice_ns = u64::MAX,
            |config| config.min_loan_ns = 1_500_001,
        ];
        for change in bad {
            let mut config = GOOD;
            change(&mut config);
            let error = config.check().unwrap_err();
            assert!(!error.to_string().is_empty(), "{config:?}");
        }
    }

    #[test]
    fn a_bad_vm_is_refused_with_the_reason() {
        let check = |vcpus, weight| VmConfig { vcpus, weight }.check();
        assert_eq!(check(1, 1), Ok(()));
        assert_eq!(check(0, 1), Err(ConfigError::NoVcpus));
        assert_eq!(check(1, 0), Err(ConfigError::NoWeight));
        assert_eq!(check(1, MAX_WEIGHT), Ok(()));
        let asked = MAX_WEIGHT + 1;
        assert_eq!(check(1, asked), Err(ConfigError::TooHeavy { asked }));
        let asked = MAX_CPUS + 1;
        assert_eq!(check(asked, 1), Err(ConfigError::TooManyVcpus { asked }));
    }
}
