//! Why a simulation that was asked for makes no sense.

use pvqspin_driver_common::RunProblem;

use crate::limits::{MAX_COST_NS, MAX_TIME_NS, MAX_VCPUS};

/// A simulation that was asked for and makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// Something that no driver can do.
    #[error(transparent)]
    Run(#[from] RunProblem),
    /// No VM that locks.
    #[error("a simulation needs at least one VM")]
    NoVms,
    /// More vCPUs in all than there can be stacks.
    #[error("{asked} vCPUs in all asked for, a simulation has at most {MAX_VCPUS}")]
    TooManyInAll {
        /// How many were asked for.
        asked: usize,
    },
    /// A time that is zero, or beyond all reason.
    #[error("a {what} of {ns} ns makes no sense: it lasts at least 1 ns, at most {MAX_TIME_NS}")]
    BadTime {
        /// Which time.
        what: &'static str,
        /// How long it was to be, in nanoseconds.
        ns: u64,
    },
    /// A cost beyond all reason.
    #[error("the cost {what} = {ns} makes no sense: at most {MAX_COST_NS} ns, a tenth of a second")]
    BadCost {
        /// Its name in a profile.
        what: &'static str,
        /// How much it was to be, in nanoseconds.
        ns: u32,
    },
    /// More pCPUs than the topology has.
    #[error("{pcpus} pCPUs asked for, the topology has {has}")]
    BeyondTopology {
        /// How many were asked for.
        pcpus: usize,
        /// How many there are.
        has: usize,
    },
    /// A topology without pCPUs, or with too many.
    #[error(
        "a topology of {sockets} sockets with {cores} cores with {threads} threads is impossible: \
         at least one of each, at most {most} pCPUs"
    )]
    BadTopology {
        /// The number of sockets.
        sockets: usize,
        /// The number of cores in each socket.
        cores: usize,
        /// The number of hardware threads in each core.
        threads: usize,
        /// How many pCPUs there may be.
        most: usize,
    },
    /// The host would not have it.
    #[error("{0}")]
    Host(#[from] pvqspin_host::ConfigError),
}
