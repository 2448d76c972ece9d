//! `pvq`: compare spinlocks under vCPU overcommit, on the machine in front of you.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | the command line: commands and their help |
//! | [`args`] | options of `compare`, and those that others share with it |
//! | [`common_args`] | options that several commands have |
//! | [`parse`] | times, names and lists, with errors that say what would be right |
//! | [`plan`] | which runs, in which order, for how long |
//! | [`turns`] | the order of runs, and how long they may take |
//! | [`driver`] | the one place that talks to the embedded hypervisor |
//! | [`compare`] | the main job: run the plan, show it, write it |
//! | [`again`] | a run during which everything stood still is repeated |
//! | [`begun`] | the head of a results file |
//! | [`watch`], [`watch_board`], [`watch_screen`] | the same, drawn while it runs: the terminal, what is known, how it is drawn |
//! | [`output_lock`] | one command at a time writes to a place |
//! | [`outputs`] | where results go, checked before anything runs |
//! | [`page_files`] | where a page and its pictures go |
//! | [`report`], [`report_args`] | a page from results files |
//! | [`changed`] | what changed since earlier results |
//! | [`progress`] | a bar with the time left, or plain lines |
//! | [`interrupt`] | Ctrl-C |
//! | [`settings`] | what is the same in every run of a command |
//! | [`as_simulated`] | a run that real time has had, asked of the simulator |
//! | [`trace`] | one run, recorded: a file for viewers, its longest wait, its last bad event |
//! | [`trace_args`] | the command lines of `trace` and `explain` |
//! | [`trace_picture`] | one event under two locks, side by side |
//! | [`explain`], [`explain_view`], [`explain_words`] | a preempted holder or waiter, step by step |
//! | [`terminal`] | how wide the terminal is, and what it shows |
//! | [`simulate`], [`simulate_torture`], [`simulate_schedule`] | the same comparison in virtual time, and random schedules |
//! | [`kvm`], [`kvm_args`], [`kvm_choice`] | the same comparison in virtual machines on KVM |
//! | [`threads`] | ordinary threads, beside other crates' mutexes |
//! | [`thread_args`] | its command line |
//! | [`thread_advice`] | what to use where, from the figures of that run |
//! | [`sweep`], [`merge`] | grids of simulations, and their shards |
//! | [`study`] | the grids and tables of docs/study.md |
//! | [`validate`] | the simulator beside the embedded hypervisor |
//! | [`calibrate`], [`calibrate_lines`] | what this machine costs, as a profile |
//! | [`simulate_args`], [`sweep_args`], [`validate_args`], [`uncontended_args`] | their options |
//! | [`sweep_files`] | the files that sweeps leave |
//! | [`doctor`] | what this machine can and cannot do |
//! | [`uncontended`] | what a lock costs without competition |
//! | [`list`] | what can be chosen |
//! | [`manual`] | completions and manual pages |
//! | [`failure`] | errors and exit codes |

mod again;
mod args;
mod as_simulated;
mod begun;
mod calibrate;
mod calibrate_layout;
mod calibrate_lines;
mod changed;
mod cli;
mod common_args;
mod compare;
mod doctor;
mod driver;
mod explain;
mod explain_view;
mod explain_words;
mod failure;
mod interrupt;
#[cfg(target_arch = "x86_64")]
mod kvm;
#[cfg(not(target_arch = "x86_64"))]
#[path = "kvm_elsewhere.rs"]
mod kvm;
mod kvm_args;
#[cfg(target_arch = "x86_64")]
mod kvm_choice;
mod list;
mod manual;
mod merge;
mod output_lock;
mod outputs;
mod page_files;
mod parse;
mod plan;
mod progress;
mod report;
mod report_args;
mod settings;
mod simulate;
mod simulate_args;
mod simulate_profile;
mod simulate_schedule;
mod simulate_torture;
mod study;
mod sweep;
mod sweep_args;
mod sweep_files;
mod terminal;
mod thread_advice;
mod thread_args;
mod threads;
mod trace;
mod trace_args;
mod trace_picture;
mod turns;
mod uncontended;
mod uncontended_args;
mod validate;
mod validate_args;
mod watch;
mod watch_board;
mod watch_screen;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, CompareCommand};
use crate::failure::Failure;

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
            Some(out) => merge::run(out, &args.files),
            None => sweep::run(&args),
        },
        Some(Command::WriteStudy(args)) => study::run(&args),
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
