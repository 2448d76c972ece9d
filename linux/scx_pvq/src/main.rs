//! `scx_pvq`: a sched_ext scheduler for hosts of virtual machines.
//!
//! Under it a KVM guest's directed yield keeps a contract: the named vCPU runs now, on the caller's CPU, on the caller's
//! time. `docs/linux-host.md` is the guide.
//!
//! | file | |
//! | --- | --- |
//! | `bpf/rules.h` | who runs, for how long, who pays |
//! | `bpf/limits.h` | what a control group has left of its limit |
//! | `bpf/company.h` | when companions are needed |
//! | `bpf/overdue.h` | which tasks have waited for too long |
//! | `bpf/scx_pvq.bpf.c` | the BPF program |
//! | `scheduler` | loads and attaches it |
//! | `loaded` | ... again when a CPU comes or goes |
//! | `requirements` | why this kernel can not load it |
//! | `topology` | CPUs and their cache domains |
//! | `companions` | threads that let vCPUs yield which would be alone on a CPU |
//! | `counters` | statistics |
//! | `monitor` | statistics of another process |
//! | `command` | the command that is run, and signals |
//! | `output` | messages, lines of statistics, the report |
//! | `shared` | what `bpf/shared.h` says, for Rust |

mod command;
mod companions;
mod counters;
mod loaded;
mod monitor;
mod output;
mod requirements;
mod scheduler;
mod shared;
mod topology;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use sd_notify::NotifyState;

use command::Command;
use counters::{Counters, Style};
use loaded::Loaded;
use monitor::monitor;
use output::{Lines, Report, say};
use scheduler::{Scheduler, Settings};

/// Schedules virtual machines so that a directed yield runs its target at once, on the caller's time.
///
/// Runs until it is ended (Ctrl-C, SIGTERM), and the kernel's own scheduler takes over again: also if it is killed.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How long a task runs before another one has its turn, in microseconds.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    slice_us: u32,
    /// How long a loan is at least, in microseconds: half a slice at most.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    min_loan_us: u32,
    /// Schedule only tasks that ask for it (policy SCHED_EXT), and the command if there is one. They run when no ordinary task
    /// wants to.
    #[arg(long)]
    partial: bool,
    /// Print what happened every so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    stats: Option<u32>,
    /// Load nothing: print the statistics of the scx_pvq that is running, every second or every --stats seconds.
    #[arg(long, conflicts_with_all = ["partial", "report", "command"])]
    monitor: bool,
    /// Print statistics as JSON, an object a line.
    #[arg(long)]
    json: bool,
    /// Write the statistics of the whole run to this file at the end, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// After how many milliseconds without its turn a task makes the kernel eject this scheduler.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=30_000))]
    watchdog_ms: u32,
    /// Load this BPF object instead of the one built in: for changes to the program.
    #[arg(long, value_name = "FILE", hide = true)]
    object: Option<PathBuf>,
    /// Show what libbpf and the kernel's verifier say.
    #[arg(long, short)]
    verbose: bool,
    /// Run a command, end with it, and exit with its status.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

impl Args {
    /// Why they make no sense together, if they do not.
    fn senseless(&self) -> Option<String> {
        let (loan, slice, watchdog) = (self.min_loan_us, self.slice_us, self.watchdog_ms);
        if loan > slice / 2 {
            return Some(format!(
                "a loan of {loan} µs is more than half a slice of {slice} µs: lower --min-loan-us"
            ));
        }
        // A task waits while others have their slices: the watchdog has to allow for many.
        (slice * 20 > watchdog * 1000).then(|| {
            format!(
                "a slice of {slice} µs is more than a twentieth of the watchdog's {watchdog} ms: take --slice-us {} at most, or \
                 --watchdog-ms {} at least",
                watchdog * 50,
                slice.div_ceil(50)
            )
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(why) = args.senseless() {
        say!("{why}");
        return ExitCode::from(2);
    }
    let result = if args.monitor {
        let pace = Duration::from_secs(args.stats.unwrap_or(1).into());
        command::signals(false).and_then(|signals| monitor(&signals, pace, style(&args)))
    } else {
        run(&args)
    };
    result.unwrap_or_else(|error| {
        say!("{error:#}");
        ExitCode::FAILURE
    })
}

/// How often it looks whether the kernel ended it, and whether it is time for statistics.
const LOOK: Duration = Duration::from_millis(250);

fn run(args: &Args) -> Result<ExitCode> {
    requirements::check()?;
    let mut report = args.report.as_deref().map(Report::open).transpose()?;
    let signals = command::signals(!args.command.is_empty())?;
    let settings = Settings {
        slice_ns: u64::from(args.slice_us) * 1000,
        min_loan_ns: u64::from(args.min_loan_us) * 1000,
        partial: args.partial,
        watchdog_ms: args.watchdog_ms,
        object: args.object.clone(),
        verbose: args.verbose,
    };
    let scheduler = Scheduler::attach(&settings)?;
    say!(
        "scheduling {}, {}; Ctrl-C ends it",
        if args.partial {
            "tasks that ask for it"
        } else {
            "all ordinary tasks"
        },
        topology::describe(scheduler.topology())
    );
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        say!("systemd cannot be told that it runs: {error}");
    }
    let began = Instant::now();
    let lines = args.stats.map(|seconds| {
        let every = Duration::from_secs(seconds.into());
        Lines::new(io::stdout(), every, style(args), Counters::default())
    });
    let mut lines = lines.transpose()?;
    let mut command = match args.command.as_slice() {
        [] => None,
        words => {
            if let Some(code) = command::asked_to_end(&signals) {
                drop(scheduler);
                say!("it was ended before the command began; the kernel's own scheduler is back");
                return Ok(ExitCode::from(code));
            }
            Some(Command::start(words, args.partial)?)
        }
    };
    let mut loaded = Loaded::new(scheduler, || Scheduler::attach(&settings));
    let mut kept = true;
    let mut look = began;
    let code = loop {
        match (signals.recv_timeout(LOOK), &mut command) {
            (Ok(_), None) => break 0,
            (Ok(signal), Some(command)) => command.pass_on(&signal),
            (Err(RecvTimeoutError::Timeout), _) => {}
            (Err(RecvTimeoutError::Disconnected), _) => bail!("nothing is left to wait for"),
        }
        if let Some(command) = &mut command
            && let Some(code) = command.ended()?
        {
            break code;
        }
        if Instant::now() < look {
            continue;
        }
        look = Instant::now() + LOOK;
        if let Some(lines) = &mut lines
            && lines.are_due(Instant::now())
        {
            lines.print(Instant::now(), loaded.counters());
        }
        if kept && !loaded.keep() {
            kept = false;
            if command.is_none() {
                break 1;
            }
            say!("the command goes on under the kernel's own scheduler");
        }
    };
    let (all, mut failed) = loaded.finish();
    say!("the kernel's own scheduler is back");
    if let Some(report) = &mut report
        && let Err(error) = report.write(&format!("{}\n", all.show(began.elapsed(), Style::Json)))
    {
        say!("{error:#}");
        // The command's own failure says more.
        failed |= code == 0;
    }
    Ok(ExitCode::from(if failed { 1 } else { code }))
}

const fn style(args: &Args) -> Style {
    if args.json { Style::Json } else { Style::Text }
}

/// Linux's number of the policy of sched_ext.
const SCHED_EXT: libc::c_int = 7;

/// Whether this thread belongs to sched_ext from now on.
fn ask_for_sched_ext() -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the system call reads the parameters, which live until it returns.
    unsafe { libc::sched_setscheduler(0, SCHED_EXT, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_together_are_told_and_what_would() {
        let senseless = |words: &str| {
            Args::parse_from(format!("scx_pvq {words}").split_whitespace()).senseless()
        };
        for fine in [
            "",
            "--watchdog-ms 100",
            "--watchdog-ms 100 --slice-us 5000",
            "--watchdog-ms 20000 --slice-us 1000000",
            "--slice-us 100 --min-loan-us 50",
        ] {
            assert_eq!(senseless(fine), None, "{fine}");
        }
        let said = senseless("--slice-us 100 --min-loan-us 51").expect("too long a loan");
        assert!(said.contains("more than half a slice"), "{said}");
        assert_eq!(
            senseless("--watchdog-ms 100 --slice-us 5001").expect("too long a slice"),
            "a slice of 5001 µs is more than a twentieth of the watchdog's 100 ms: take --slice-us 5000 at most, or \
             --watchdog-ms 101 at least"
        );
    }
}
