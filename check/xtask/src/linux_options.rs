//! What `cargo xtask linux` is asked to do.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Check that the module works, and nothing else: for CI.
    #[arg(long)]
    pub(crate) check: bool,
    /// Edit the kernel's own sources so that its fast path names the holder, build a small kernel of
    /// them (minutes), and use that in the guests.
    #[arg(long, conflicts_with = "check")]
    pub(crate) patched: bool,
    /// Run programs that were not written for this lock, and see with `perf lock contention` what its
    /// waits are, instead of the measurement. With `--script` they are there for that script. With
    /// `--patched` it is Linux's own test of locks that runs, `locktorture`.
    #[arg(long, conflicts_with = "check")]
    pub(crate) work: bool,
    /// Of those, only these.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "work")]
    pub(crate) programs: Vec<String>,
    /// Exchange policies at random under load for so many seconds, and let CPUs come and go, instead of
    /// the measurement.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["check", "script", "work"])]
    pub(crate) soak: Option<u32>,
    /// What random numbers begin with: the machine's, and those of the soak.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u16,
    /// Try what does not happen every day, each in a guest of its own: kexec, a panic, a suspend, NMIs, tracing,
    /// migration, a host that offers less, another module in the same place.
    #[arg(long, conflicts_with_all = ["check", "script", "work", "soak", "patched"])]
    pub(crate) situations: bool,
    /// Of those, only these.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "situations"
    )]
    pub(crate) only: Vec<String>,
    /// The lock that is hot.
    #[arg(long, value_enum, default_value = "spin", conflicts_with_all = ["check", "work", "soak", "situations"])]
    pub(crate) lock: HotLock,
    /// How often each lock has its turn.
    #[arg(long, default_value_t = 3, conflicts_with = "check")]
    pub(crate) turns: u32,
    /// How long the hot lock is held, in ns.
    #[arg(long, default_value_t = 2000, conflicts_with = "check")]
    pub(crate) inside: u32,
    /// How long a CPU works between two sections, in ns.
    #[arg(long, default_value_t = 20_000, conflicts_with = "check")]
    pub(crate) outside: u32,
    /// How long a turn is, in ms.
    #[arg(long, default_value_t = 200, conflicts_with = "check")]
    pub(crate) duration: u32,
    /// How many processors the host has.
    #[arg(long, default_value_t = 2)]
    pub(crate) pcpus: u32,
    /// How many virtual processors for each of them: a guest for each number.
    #[arg(long, value_delimiter = ',', default_value = "2,4")]
    pub(crate) overcommit: Vec<u32>,
    /// Run this shell script in the guests instead of the measurement.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub(crate) script: Option<PathBuf>,
    /// Run this program on the host, as a scheduler for example, with the libraries it needs.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub(crate) host_program: Option<PathBuf>,
    /// Its options, separated by spaces. What it leaves in /tmp/report there comes out here.
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "",
        allow_hyphen_values = true,
        conflicts_with = "check"
    )]
    pub(crate) host_options: String,
    /// Put this file into the guests; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub(crate) guest_file: Vec<PathBuf>,
    /// Take time from this machine's clock instead of counting instructions, one a nanosecond. `--check`
    /// and `--situations` always do: they compare no times.
    #[arg(long)]
    pub(crate) wall_clock: bool,
    /// Keep the tables in this page: a section for each host, number of its processors and kind of work.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "script", "soak", "situations"])]
    pub(crate) page: Option<PathBuf>,
    /// When to stop the machine, in seconds.
    #[arg(long, default_value_t = 3600)]
    pub(crate) timeout: u64,
}

/// A lock that all CPUs of a guest want.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HotLock {
    /// A spinlock.
    Spin,
    /// A reader-writer lock, which all write. Its writers queue at a spinlock that is compiled into its own
    /// functions, where an unmodified kernel does not name the holder.
    ReadWrite,
}

impl HotLock {
    /// As the module for the load has it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Spin => "hot",
            Self::ReadWrite => "rw",
        }
    }
}

impl Options {
    /// How many acquisitions a second are possible where instructions are counted: emulated processors take turns, and together do
    /// the work of one.
    pub(crate) fn possible(&self) -> Option<f64> {
        let loop_ns = f64::from(self.inside) + f64::from(self.outside);
        (!self.wall_clock && loop_ns > 0.0).then(|| 1e9 / loop_ns)
    }

    /// What is measured, for a heading.
    pub(crate) fn what(&self) -> String {
        let what = match self.work {
            true if self.programs.is_empty() => "Programs".to_owned(),
            true => format!("Programs: {}", self.programs.join(", ")),
            false => {
                let lock = match self.lock {
                    HotLock::Spin => "lock",
                    HotLock::ReadWrite => "reader-writer lock",
                };
                let us = |ns: u32| f64::from(ns) / 1000.0;
                let (inside, outside) = (us(self.inside), us(self.outside));
                format!("A hot {lock}, {inside} µs inside and {outside} µs outside")
            }
        };
        match self.patched {
            true => format!("{what}, a patched kernel"),
            false => what,
        }
    }
}
