//! The checks of this repository that cargo has no word for.

mod asm;
mod assembly;
mod baseline;
mod browser;
mod callgrind;
mod fast_path;
mod instructions;
mod licences;
mod machine_code;
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
    /// Open pages of results in a headless Chromium: fails if anything on them does not work. Needs
    /// chromium and chromedriver.
    Browser {
        /// Also keep screenshots and a PDF in this folder.
        #[arg(long, value_name = "FOLDER")]
        screenshots: Option<std::path::PathBuf>,
        /// Look at this page instead of those that it makes itself.
        #[arg(long, value_name = "FILE")]
        page: Option<std::path::PathBuf>,
    },
    /// Check the licence of every dependency, and advisories if cargo-deny is installed.
    Licences,
    /// Build every feature combination of the lock crate.
    Features,
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Instructions { write } => instructions::check(write),
        Task::Browser { screenshots, page } => {
            browser::check(screenshots.as_deref(), page.as_deref())
        }
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
    }
}
