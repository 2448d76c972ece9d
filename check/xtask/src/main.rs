//! The checks of this repository that cargo has no word for.

mod aarch64;
mod asm;
mod assembly;
mod baseline;
mod book;
mod browser;
mod callgrind;
mod debian_kernel;
mod debian_packages;
mod event_cost;
mod excerpts;
mod fast_path;
mod foreign_tests;
mod hand_over;
mod house;
mod initramfs;
mod instructions;
mod kvm_check;
mod kvm_in_qemu;
mod licences;
mod links;
mod linux;
mod linux_boot;
mod linux_measure;
mod linux_options;
mod linux_page;
mod linux_patch;
mod linux_study;
mod linux_tree;
mod machine_code;
mod markdown;
mod model;
mod model_sources;
mod model_table;
mod module_graph;
mod mutant;
mod mutant_copy;
mod mutant_model;
mod mutant_table;
mod mutants;
mod publish;
mod qemu;
mod qemu_mend;
mod readme;
mod readme_runs;
mod run;
mod scx_check;
mod scx_scripts;
mod sources;
mod toolchains;
mod unsafe_list;

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
    /// or if docs/generated/fast-path.md shows anything else.
    Asm {
        /// Write docs/generated/fast-path.md instead of comparing it.
        #[arg(long)]
        write: bool,
    },
    /// Count the instructions of every uncontended lock: fails if they are not those recorded.
    Instructions {
        /// Record them instead, in lab/drivers/user-space/instructions.toml.
        #[arg(long)]
        write: bool,
    },
    /// Count the instructions of the host's events: fails if one costs more than three times what a
    /// bare queue of the same size does.
    EventCost {
        /// On machines of different sizes instead, and without a limit: minutes.
        #[arg(long)]
        sizes: bool,
    },
    /// Count the instructions of contended hand-overs, here and in another revision: fails if they have
    /// become more.
    HandOver {
        /// The other revision.
        #[arg(long, value_name = "REV")]
        against: Option<String>,
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
    /// Build the published crates with the oldest compilers that they promise, and for targets of 32 bits.
    /// Installs both with rustup; what cannot be had is left out.
    Toolchains,
    /// Boot a stock Debian kernel with KVM in QEMU, all emulated, and run pvq in it.
    KvmInQemu(kvm_in_qemu::Options),
    /// Boot a Debian kernel in QEMU, load scx_pvq, and check that a directed yield runs its target and that lenders pay; and
    /// that the check finds three deliberate mistakes.
    ScxCheck {
        /// Instead, check what an operator meets: errors, statistics, and every kind of end.
        #[arg(long, conflicts_with_all = ["ordinary", "groups"])]
        operation: bool,
        /// Instead, time ordinary programs under scx_pvq and under Linux's own scheduler.
        #[arg(long, conflicts_with = "groups")]
        ordinary: bool,
        /// Instead, check that control groups have time by their weights, and no more than their limits.
        #[arg(long)]
        groups: bool,
        #[command(flatten)]
        kernel: debian_kernel::Choice,
    },
    /// Measure locks on Linux's own scheduler and on scx_pvq, in an emulated machine, for the tables of
    /// docs/generated/linux-study.md: takes an hour or so. With --greedy, for those of linux-greedy.md.
    LinuxStudy(linux_study::Options),
    /// Fetch packages of a suite of Debian and unpack them into a folder; nothing is installed.
    DebianPackages {
        /// The suite, such as trixie-backports; without it that of this machine.
        #[arg(long)]
        suite: Option<String>,
        /// The folder. What is there is replaced.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// Their names.
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Build the module for Linux guests, boot a guest with it on a stock host, all emulated, and
    /// compare it with the kernel's own lock. Makes what it needs below target/linux, once.
    Linux(linux_options::Options),
    /// Build the image of the KVM guest, and say where it is.
    Guest {
        /// Lint its code instead.
        #[arg(long)]
        lint: bool,
    },
    /// Make every deliberate mistake of the source: fails if one is found by no check, or if
    /// check/mutants.md lists others.
    Mutants {
        /// Run every check that finds a mistake, and not the quickest alone.
        #[arg(long)]
        all: bool,
        /// Only this one.
        #[arg(long)]
        only: Option<String>,
        /// Write check/mutants.md instead of comparing it, and make no mistakes.
        #[arg(long)]
        write: bool,
    },
    /// List all that is unsafe, with the reason why it is sound: fails if docs/generated/unsafe.md says
    /// anything else, or if there is no reason.
    UnsafeList {
        /// Write docs/generated/unsafe.md instead of comparing it.
        #[arg(long)]
        write: bool,
    },
    /// Check the order of the sources: fails if modules use each other in a circle, if a file of code has
    /// more than 400 lines, or if prose grows vague.
    House,
    /// Random runs of simulator, embedded hypervisor and threads, in turns, for hours. `--help`
    /// after it tells its options.
    #[command(disable_help_flag = true)]
    Soak {
        /// Its options.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
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
    /// Run the tests of spin, parking_lot and spinning_top against our locks, from their sources as cargo
    /// has them on this machine.
    ForeignTests,
    /// Run the grids of the study, and write their tables and pictures into docs. `--help` after it
    /// tells its options.
    #[command(disable_help_flag = true)]
    Study {
        /// Its options.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Pack the public crates, and build each from its package.
    Package,
    /// Compare the interfaces of the public crates with the last release (tag v*), with
    /// cargo-semver-checks.
    Semver {
        /// Compare with this revision instead.
        #[arg(long, value_name = "REV")]
        baseline: Option<String>,
    },
    /// Write tables, pictures and captions of the guides from the results files in docs/generated.
    Readme {
        /// Fail if they differ instead of writing them; fail also if simulated runs that `--run` names give other results
        /// than those that are kept
        #[arg(long)]
        check: bool,
        /// First run these again and keep their results: simulate, server; compare, hints, uncontended, validate (on a machine that
        /// does nothing else meanwhile)
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        run: Vec<String>,
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
    // Behind the program and the task.
    let words: Vec<String> = std::env::args().skip(2).collect();
    match Args::parse().task {
        Task::Asm { write } => asm::check(write),
        Task::Instructions { write } => instructions::check(write),
        Task::EventCost { sizes } => event_cost::check(sizes),
        Task::HandOver { against } => hand_over::count(against.as_deref()),
        Task::Browser { screenshots, page } => {
            browser::check(screenshots.as_deref(), page.as_deref())
        }
        Task::Loom => run::loom(),
        Task::Licences => licences::check(),
        Task::Features => run::features(),
        Task::Toolchains => toolchains::check(),
        Task::KvmInQemu(options) => std::process::exit(kvm_in_qemu::run_task(&options)?),
        Task::ScxCheck {
            operation,
            ordinary,
            groups,
            kernel,
        } => match (operation, ordinary, groups) {
            (true, ..) => scx_scripts::operation(&kernel),
            (_, true, _) => scx_scripts::ordinary(&kernel),
            (.., true) => scx_scripts::groups(&kernel),
            _ => scx_check::check(&kernel),
        },
        Task::LinuxStudy(options) => linux_study::run(&options),
        Task::DebianPackages {
            suite,
            into,
            packages,
        } => {
            let cache = run::target_dir("kvm-in-qemu");
            let apt = match suite {
                Some(suite) => debian_packages::Packages::of_suite(&suite, &cache)?,
                None => debian_packages::Packages::of_this_machine(),
            };
            apt.unpack(&packages, &into)
        }
        Task::Linux(options) => linux::run_task(&options, &words),
        Task::Guest { lint: true } => Ok(pvqspin_guest_image::lint()?),
        Task::Guest { lint: false } => {
            println!("{}", pvqspin_guest_image::build()?.display());
            Ok(())
        }
        Task::Mutants { all, only, write } => mutants::run(all, only.as_deref(), write),
        Task::UnsafeList { write } => unsafe_list::check(write),
        Task::House => house::check(),
        Task::Soak { options } => run::soak(&options),
        Task::Aarch64 { std_source } => aarch64::check(std_source.as_deref()),
        Task::Model { full, only } => model::check(full, only.as_deref()),
        Task::ForeignTests => foreign_tests::check(),
        Task::Study { options } => run::study(&options),
        Task::Package => publish::package(),
        Task::Semver { baseline } => publish::semver(baseline),
        Task::Readme { check, run } => {
            readme_runs::again(&run, check)?;
            readme::readme(check)
        }
        Task::Book { check, write } => book::book(check, write),
    }
}
