//! `pvq`: compare spinlocks under vCPU overcommit, on the machine in front of you.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`args`] | the command line and its help |
//! | [`parse`] | times, names and lists, with errors that say what would be right |
//! | [`plan`] | which runs, in which order, for how long |
//! | [`turns`] | the order of runs, and how long they may take |
//! | [`driver`] | the one place that talks to the embedded hypervisor |
//! | [`compare`] | the main job: run the plan, show it, write it |
//! | [`outputs`] | where results go, checked before anything runs |
//! | [`progress`] | a bar with the time left, or plain lines |
//! | [`interrupt`] | Ctrl-C |
//! | [`trace`] | one run, and what happened around its longest wait |
//! | [`simulate`] | the same comparison in virtual time, and random schedules |
//! | [`kvm`], [`kvm_args`] | the same comparison in virtual machines on KVM |
//! | [`threads`] | ordinary threads, beside other crates' mutexes |
//! | [`thread_args`] | its command line |
//! | [`thread_advice`] | what to use where, from the figures of that run |
//! | [`sweep`], [`merge`] | grids of simulations, and their shards |
//! | [`study`] | the grids and tables of docs/study.md |
//! | [`validate`] | the simulator beside the embedded hypervisor |
//! | [`calibrate`], [`calibrate_lines`] | what this machine costs, as a profile |
//! | [`sweep_args`], [`validate_args`] | their options |
//! | [`sweep_files`] | the files that sweeps leave |
//! | [`doctor`] | what this machine can and cannot do |
//! | [`uncontended`] | what a lock costs that nobody else wants |
//! | [`list`] | what can be chosen |
//! | [`failure`] | errors and exit codes |

mod args;
mod calibrate;
mod calibrate_lines;
mod compare;
mod doctor;
mod driver;
mod failure;
mod interrupt;
#[cfg(target_arch = "x86_64")]
mod kvm;
#[cfg(not(target_arch = "x86_64"))]
#[path = "kvm_elsewhere.rs"]
mod kvm;
mod kvm_args;
mod list;
mod merge;
mod outputs;
mod parse;
mod plan;
mod progress;
mod simulate;
mod simulate_profile;
mod simulate_torture;
mod study;
mod sweep;
mod sweep_args;
mod sweep_files;
mod thread_advice;
mod thread_args;
mod threads;
mod trace;
mod turns;
mod uncontended;
mod validate;
mod validate_args;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => compare::run(&cli.compare),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Trace(args)) => trace::run(&args),
        Some(Command::Kvm(args)) => kvm::run(&args),
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Sweep(args)) => sweep::run(&args),
        Some(Command::Merge(args)) => merge::run(&args),
        Some(Command::Study(args)) => study::run(&args),
        Some(Command::Validate(args)) => validate::run(&args),
        Some(Command::Calibrate(args)) => calibrate::run(&args),
        Some(Command::Uncontended(args)) => uncontended::run(&args),
        Some(Command::Threads(args)) => threads::run(&args),
        Some(Command::Doctor) => doctor::run(),
        Some(Command::List) => list::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
