//! The checks of this repository that cargo has no word for.

mod aarch64;
mod asm;
mod assembly;
mod baseline;
mod callgrind;
mod fast_path;
mod instructions;
mod licences;
mod machine_code;
mod model;
mod model_table;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Checks of this repository that cargo has no word for.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Read the compiled fast paths: fails if anything paravirtual is left in the native lock,
    /// or if docs/fast-path.md shows anything else.
    Asm {
        /// Write docs/fast-path.md instead of comparing it.
        #[arg(long)]
        write: bool,
    },
    /// Count the instructions of every uncontended lock: fails if they are not those recorded.
    Instructions {
        /// Record them instead, in crates/uncontended/instructions.toml.
        #[arg(long)]
        write: bool,
    },
    /// Model-check the lock with loom, bounded to about a minute.
    Loom,
    /// Check the licence of every dependency, and advisories if cargo-deny is installed.
    Licences,
    /// Build every feature combination of the lock crate.
    Features,
    /// Build the lock and the host for aarch64, and run their tests under qemu's user emulation.
    Aarch64 {
        /// The directory `library` of the source of this version of Rust, if the toolchain has no
        /// standard library for aarch64.
        #[arg(long, value_name = "DIR")]
        std_source: Option<PathBuf>,
    },
    /// Check the protocol model with spin: what must hold holds in every state, and every mistake
    /// is caught.
    Model {
        /// All of it: about half an hour, and some gigabytes.
        #[arg(long)]
        full: bool,
        /// Only what has this in its name, the long ones too.
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Instructions { write } => instructions::check(write),
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
        Task::Aarch64 { std_source } => aarch64::check(std_source.as_deref()),
        Task::Model { full, only } => model::check(full, only.as_deref()),
    }
}
