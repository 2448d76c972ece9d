//! The checks of this repository that cargo has no word for.

mod asm;
mod assembly;
mod baseline;
mod callgrind;
mod debian_kernel;
mod fast_path;
mod initramfs;
mod instructions;
mod kvm_check;
mod kvm_in_qemu;
mod licences;
mod machine_code;
mod qemu;
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
    /// Boot a stock Debian kernel with KVM in QEMU, all emulated, and run pvq in it.
    KvmInQemu(kvm_in_qemu::Options),
    /// Build the image of the KVM guest, and say where it is.
    Guest {
        /// Lint its code instead.
        #[arg(long)]
        lint: bool,
    },
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Instructions { write } => instructions::check(write),
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
        Task::KvmInQemu(options) => std::process::exit(kvm_in_qemu::run_task(&options)?),
        Task::Guest { lint: true } => Ok(pvqspin_guest_image::lint()?),
        Task::Guest { lint: false } => {
            println!("{}", pvqspin_guest_image::build()?.display());
            Ok(())
        }
    }
}
