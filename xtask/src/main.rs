//! The checks of this repository that cargo has no word for.

mod asm;
mod assembly;
mod baseline;
mod book;
mod callgrind;
mod excerpts;
mod fast_path;
mod instructions;
mod licences;
mod links;
mod machine_code;
mod markdown;
mod publish;
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
    /// Pack the public crates, and build each from its package.
    Package,
    /// Compare the interfaces of the public crates with the last release (tag v*), with
    /// cargo-semver-checks.
    Semver {
        /// Compare with this revision instead.
        #[arg(long, value_name = "REV")]
        baseline: Option<String>,
    },
    /// Build the guides as a book, into target/book; fails if a link is dead or code is untested.
    Book {
        /// Check it, and keep nothing.
        #[arg(long)]
        check: bool,
        /// Copy the excerpts of compiled files into the guides first.
        #[arg(long)]
        write: bool,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Instructions { write } => instructions::check(write),
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
        Task::Package => publish::package(),
        Task::Semver { baseline } => publish::semver(baseline),
        Task::Book { check, write } => book::book(check, write),
    }
}
