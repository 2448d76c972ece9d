//! KVM where there is none: a stock kernel in an emulated machine that can run virtual machines, and
//! `pvq` in it.
//!
//! ```text
//!   this machine: QEMU, in software
//!     └─ a Debian kernel, with its KVM modules        <- the scheduler and the hypercalls that we want
//!          └─ pvq kvm: the VMM                         <- from the ordinary build
//!               └─ the guest, with the lock
//! ```
//!
//! Time is counted in instructions, one a nanosecond, all processors together: what happens in there does not depend on how
//! busy this machine is. The processors take turns, so each runs at a P-th of its speed while all P are busy.
//!
//! With `--host scx`, `scx_pvq` schedules that kernel's tasks instead of Linux.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::debian_kernel::{Choice, Kernel, file_name};
use crate::debian_packages::run;
use crate::initramfs::Initramfs;
use crate::kvm_check;
use crate::qemu::{self, Clock, Ending, Machine, Outcome, Threads};
use crate::run::{cargo, own_folder, pvq, root, succeed, target_dir};

/// What to run, on which kernel.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder of an unpacked kernel package (`dpkg -x`), instead of the newest kernel of apt.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["suite", "version"])]
    kernel: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Who schedules the virtual CPUs.
    #[arg(long, value_enum, default_value_t = Host::Stock)]
    host: Host,
    /// How many processors the machine has, 1 to 16.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    cpus: u32,
    /// Take time from this machine's clock instead of counting instructions.
    #[arg(long)]
    wall_clock: bool,
    /// Give each processor a thread of its own. Sections then overlap for real, and it is about twice as fast; but
    /// QEMU 7.2 loses a guest's registers now and then, which ends the run. Takes --wall-clock.
    #[arg(long, requires = "wall_clock")]
    parallel: bool,
    /// What the machine's random numbers begin with.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// When to stop the machine, in seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Run this program instead of pvq, with the libraries it needs.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where to put the files that the program leaves in its working directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Options of scx_pvq, separated by spaces. Takes --host scx.
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "",
        allow_hyphen_values = true
    )]
    scx_options: String,
    /// More parameters of the kernel's command line, separated by spaces.
    #[arg(long, value_name = "PARAMETERS", default_value = "")]
    kernel_parameters: String,
    /// Check that the lock works on a stock host, and nothing else: for CI.
    #[arg(long, conflicts_with_all = ["program", "out", "arguments", "host"])]
    check: bool,
    /// The arguments of pvq (or of the program).
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Who schedules the virtual CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Host {
    /// Linux.
    Stock,
    /// Linux, with `scx_pvq` loaded.
    Scx,
}

impl Host {
    /// The kernel that it takes, if none is named: Debian's stable kernels have no class sched_ext.
    pub(crate) fn kernel(self, choice: &Choice) -> Choice {
        match self {
            Self::Scx if !choice.is_any() => Choice::of("trixie-backports", "7.3"),
            _ => choice.clone(),
        }
    }
}

/// What to run in the machine.
pub(crate) struct Job<'a> {
    /// Who schedules.
    pub(crate) host: Host,
    /// On which kernel.
    pub(crate) kernel: &'a Kernel,
    /// The program; `None`: pvq.
    pub(crate) program: Option<&'a Path>,
    /// Its arguments.
    pub(crate) arguments: &'a [String],
    /// More programs, by the names that they have there, with the libraries that they need.
    pub(crate) programs: &'a [(String, PathBuf)],
    /// The options of scx_pvq.
    pub(crate) scx_options: &'a [String],
    /// More files to take along, by the name that they have there.
    pub(crate) files: &'a [(String, PathBuf)],
    /// A folder: what is made on the way goes into one below it that is this process's own.
    pub(crate) cache: &'a Path,
    /// The machine.
    pub(crate) machine: Machine,
}

/// The statistics of scx_pvq, among the files that come out.
pub(crate) const SCX_REPORT: &str = "scx.json";

impl Job<'_> {
    /// Boots the machine and waits for its end.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let mut programs = vec![("init".to_owned(), build()?)];
        let mut command = Vec::new();
        if self.host == Host::Scx {
            programs.push(("scx_pvq".to_owned(), scx_pvq()?));
            command.extend(["/scx_pvq", "--report", SCX_REPORT].map(str::to_owned));
            command.extend(self.scx_options.iter().cloned());
            command.push("--".to_owned());
        }
        let program = match self.program {
            Some(program) => program.to_owned(),
            None => pvq()?,
        };
        programs.push(("program".to_owned(), program));
        programs.extend_from_slice(self.programs);
        command.push("/program".to_owned());
        command.extend(self.arguments.iter().cloned());
        let mut files = self.files.to_vec();
        if (self.arguments.first()).is_some_and(|first| first == "kvm") && self.program.is_none() {
            files.push((GUEST.to_owned(), pvqspin_guest_image::build()?));
            command.extend(["--image".to_owned(), format!("/{GUEST}")]);
        }
        let own = own_folder(self.cache)?;
        let initramfs = own.join("initramfs");
        let bytes = pack(&own, self.kernel, &programs, &files, &command)?;
        fs::write(&initramfs, bytes)
            .with_context(|| format!("cannot write {}", initramfs.display()))?;
        qemu::boot(&self.kernel.image, &initramfs, &own, &self.machine)
    }
}

/// Where kernels and what is made on the way are kept.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = target_dir("kvm-in-qemu");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    Ok(cache)
}

/// Runs it. The exit status is that of the command.
pub(crate) fn run_task(options: &Options) -> Result<i32> {
    let cache = cache()?;
    qemu::provide()?;
    let kernel = match &options.kernel {
        Some(dir) => Kernel::in_dir(dir)?,
        None => Kernel::fetch(&options.host.kernel(&options.choice), &cache)?,
    };
    let arguments = match options.check {
        true => kvm_check::ARGUMENTS.map(str::to_owned).to_vec(),
        false => options.arguments.clone(),
    };
    let scx_options: Vec<String> = options
        .scx_options
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    println!(
        "kvm-in-qemu: booting {} in QEMU, {} processors ...",
        file_name(&kernel.image),
        options.cpus
    );
    let outcome = Job {
        host: options.host,
        kernel: &kernel,
        program: options.program.as_deref(),
        arguments: &arguments,
        programs: &[],
        scx_options: &scx_options,
        files: &[],
        cache: &cache,
        machine: Machine {
            cpus: options.cpus,
            clock: match (options.wall_clock, options.parallel) {
                (false, _) => Clock::Instructions,
                (true, false) => Clock::Wall(Threads::One),
                (true, true) => Clock::Wall(Threads::OneEach),
            },
            seed: options.seed,
            timeout: Duration::from_secs(options.timeout),
            parameters: options.kernel_parameters.clone(),
        },
    }
    .run()?;
    if let Some(dir) = &options.out {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        for (name, bytes) in &outcome.files {
            let path = dir.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if options.check && outcome.ending == Ending::Exit(0) {
        let results = (outcome.file(kvm_check::RESULTS))
            .with_context(|| format!("pvq left no {}", kvm_check::RESULTS))?;
        println!("kvm-in-qemu: {}", kvm_check::check(results)?);
    }
    match outcome.ending {
        Ending::Exit(status) => Ok(status),
        Ending::Signal(signal) => bail!("the command was ended by signal {signal}"),
        Ending::Error(text) => bail!("the machine came up, but: {text}"),
    }
}

/// The guest image, inside.
const GUEST: &str = "guest-image";
const INIT: &str = "pvqspin-kvm-init";

/// Builds the first process, the ordinary way.
fn build() -> Result<PathBuf> {
    succeed(cargo().args(["build", "--quiet", "--locked", "--package", INIT]))?;
    // Beside this very program.
    let here = std::env::current_exe().context("cannot find myself")?;
    Ok(here.with_file_name(INIT))
}

/// Builds `scx_pvq`, a workspace of its own; or takes the one that `SCX_PVQ` names.
pub(crate) fn scx_pvq() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SCX_PVQ") {
        let path = root().join(named);
        ensure!(
            path.is_file(),
            "SCX_PVQ names {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    let target = scx_target();
    succeed(
        cargo()
            .args(["build", "--quiet", "--locked"])
            .args(["--manifest-path", "linux/scx_pvq/Cargo.toml"])
            .arg("--target-dir")
            .arg(&target),
    )?;
    Ok(target.join("debug/scx_pvq"))
}

/// Where `scx_pvq` is built.
pub(crate) fn scx_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("scx_pvq")
}

/// The initial file system, as `check/xtask/kvm-init` expects it.
fn pack(
    cache: &Path,
    kernel: &Kernel,
    programs: &[(String, PathBuf)],
    files: &[(String, PathBuf)],
    command: &[String],
) -> Result<Vec<u8>> {
    for argument in command {
        ensure!(
            !argument.contains('\n'),
            "an argument may not contain a line break: {argument:?}"
        );
    }
    let mut archive = Initramfs::new();
    archive.directory("modules");
    for (order, module) in kernel.modules.iter().enumerate() {
        let name = format!("modules/{order}-{}", file_name(module));
        archive.file(&name, &read(module)?);
    }
    let mut libraries = Vec::new();
    for (name, program) in programs {
        archive.file(name, &stripped(cache, program)?);
        libraries.extend(self::libraries(program)?);
    }
    for (name, file) in files {
        archive.file(name, &read(file)?);
    }
    archive.file("command", format!("{}\n", command.join("\n")).as_bytes());
    // Linking everything statically would have all of it compiled once more, for minutes.
    libraries.sort();
    libraries.dedup();
    let mut directories = Vec::new();
    for library in &libraries {
        let mut above: Vec<_> = library.ancestors().skip(1).collect();
        above.reverse();
        for directory in above {
            let name = relative(directory);
            if !name.is_empty() && !directories.contains(&name) {
                archive.directory(&name);
                directories.push(name);
            }
        }
        archive.file(&relative(library), &read(library)?);
    }
    Ok(archive.finish())
}

fn relative(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

/// A program without what is only for debuggers, which is most of it.
fn stripped(cache: &Path, program: &Path) -> Result<Vec<u8>> {
    let to = cache.join("stripped");
    run(Command::new("strip")
        .arg("--strip-debug")
        .arg("-o")
        .arg(&to)
        .arg(program))?;
    read(&to)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The shared libraries of a program, and what loads them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot start ldd")?;
    Ok(paths(&String::from_utf8_lossy(&output.stdout)))
}

/// The paths that `ldd` prints; none for a static program.
fn paths(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        // A static program may be named itself, with a colon.
        .filter(|word| !word.ends_with(':'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_off_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007fff)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            paths(text),
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(paths("\tstatically linked\n").is_empty());
    }
}
