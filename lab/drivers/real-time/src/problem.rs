//! Runs that make no sense, in words for the terminal.

use pvqspin_driver_common::RunProblem;

/// The shortest slice, in nanoseconds. Below it the signals that end slices take too large a
/// part of them.
pub const MIN_SLICE_NS: u64 = 50_000;

/// A run that was asked for and makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// Something that no driver can do.
    #[error(transparent)]
    Run(#[from] RunProblem),
    /// More pCPUs than this process may use CPUs.
    #[error("{asked} pCPUs asked for, but this process may use {available} CPU(s)")]
    TooManyPcpus {
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        available: usize,
    },
    /// A slice so short that signals cannot keep up.
    #[error(
        "a slice of {slice_ns} ns asked for, signals cannot end slices below {MIN_SLICE_NS} ns"
    )]
    SliceTooShort {
        /// The slice that was asked for, in nanoseconds.
        slice_ns: u64,
    },
    /// A hypercall that takes longer than a slice.
    #[error("a hypercall of {hypercall_ns} ns leaves nothing of a slice of {slice_ns} ns")]
    HypercallTooLong {
        /// The cost that was asked for, in nanoseconds.
        hypercall_ns: u64,
        /// The slice, in nanoseconds.
        slice_ns: u64,
    },
    /// Nothing to measure.
    #[error("the measured time must be longer than zero")]
    NoDuration,
    /// A watchdog that bites at once.
    #[error("the watchdog needs at least 100 ms of patience")]
    WatchdogTooShort,
    /// Something that the host refuses.
    #[error(transparent)]
    Host(#[from] pvqspin_host::ConfigError),
}
