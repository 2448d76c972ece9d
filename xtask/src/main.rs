//! The checks of this repository that cargo has no word for.

mod asm;
mod licences;
mod run;

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
    /// Read the compiled fast paths: fails if anything paravirtual is left in the native lock.
    Asm {
        /// Also write the fast paths to docs/fast-path.md.
        #[arg(long)]
        write: bool,
    },
    /// Model-check the lock with loom, bounded to about a minute.
    Loom,
    /// Check the licence of every dependency, and advisories if cargo-deny is installed.
    Licences,
    /// Build every feature combination of the lock crate.
    Features,
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
    }
}
