//! `pvq`: compare spinlocks under vCPU overcommit, on the machine in front of you.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | the command line: commands and their help |
//! | [`options`] | the options of each command, and how they are read |
//! | [`runs`] | runs: which, in which order, for how long, on what |
//! | [`output`] | files, the terminal, errors and exit codes |
//! | [`compare`] | the main job: run the plan, show it, write it |
//! | [`watch`] | the same, drawn while it runs |
//! | [`kvm`] | the same in virtual machines on KVM |
//! | [`simulate`] | the same in virtual time, and random schedules |
//! | [`threads`] | ordinary threads, beside other crates' mutexes |
//! | [`validate`] | the simulator beside the embedded hypervisor |
//! | [`calibrate`] | what this machine costs, as a profile |
//! | [`uncontended`] | what a lock costs without competition |
//! | [`sweep`] | grids of simulations, their shards, and the grids and tables of docs/study.md |
//! | [`trace`] | one run, recorded: a file for viewers, its longest wait, its last bad event |
//! | [`explain`] | a preempted holder or waiter, step by step |
//! | [`report`] | a page from results files, and what changed since earlier results |
//! | [`doctor`] | what this machine can and cannot do |
//! | [`list`] | what can be chosen |
//! | [`manual`] | completions and manual pages |

mod calibrate;
mod cli;
mod compare;
mod doctor;
mod explain;
#[cfg(target_arch = "x86_64")]
mod kvm;
#[cfg(not(target_arch = "x86_64"))]
#[path = "kvm/elsewhere.rs"]
mod kvm;
mod list;
mod manual;
mod options;
mod output;
mod report;
mod runs;
mod simulate;
mod sweep;
mod threads;
mod trace;
mod uncontended;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, CompareCommand};
use crate::options::parse;
use crate::output::failure::Failure;

fn main() -> ExitCode {
    if let Some(now) = old_name() {
        return Failure::bad_input(now).report();
    }
    let cli = Cli::parse_from(parse::with_values(std::env::args_os()));
    let compared = |args: &CompareCommand| match args.watch {
        true => watch::run(&args.compare),
        false => compare::run(&args.compare),
    };
    let done = match cli.command {
        None => compared(&cli.compare),
        Some(Command::Compare(args)) => compared(&args),
        Some(Command::Trace(args)) => trace::run(&args),
        Some(Command::Kvm(args)) => kvm::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Sweep(args)) => match &args.merge {
            Some(out) => sweep::merge::run(out, &args.files),
            None => sweep::run(&args),
        },
        Some(Command::WriteStudy(args)) => sweep::study::run(&args),
        Some(Command::Validate(args)) => validate::run(&args),
        Some(Command::Calibrate(args)) => calibrate::run(&args),
        Some(Command::Uncontended(args)) => uncontended::run(&args),
        Some(Command::Threads(args)) => threads::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Doctor) => doctor::run(),
        Some(Command::List) => list::run(),
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man { into }) => manual::pages(into.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What a command is called now that an old name was given for.
fn old_name() -> Option<&'static str> {
    let name = std::env::args_os().nth(1)?;
    Some(match name.to_str()? {
        "merge" => "`pvq merge OUT FILES` is now `pvq sweep --merge OUT FILES`",
        "watch" => "`pvq watch` is now `pvq compare --watch`",
        "study" => "`pvq study` is now `cargo xtask study`",
        _ => return None,
    })
}
