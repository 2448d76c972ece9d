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
//! Absolute times mean nothing in there: counters and relations do.

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
use crate::qemu::{self, Ending, Threads};
use crate::run::{cargo, pvq, succeed, target_dir};

/// What to run, on which kernel.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder of an unpacked kernel package (`dpkg -x`), instead of the newest kernel of apt.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["suite", "version"])]
    kernel: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// How many processors the machine has.
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Give each of them a thread of its own. Sections then overlap for real, and it is about twice as fast; but
    /// QEMU 7.2 loses a guest's registers now and then, which ends the run.
    #[arg(long)]
    parallel: bool,
    /// When to stop the machine, in seconds.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Run this program instead of pvq, with the libraries it needs.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where to put the files that the program leaves in its working directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Check that the lock works on a stock host, and nothing else: for CI.
    #[arg(long, conflicts_with_all = ["program", "out", "arguments"])]
    check: bool,
    /// The arguments of pvq (or of the program).
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs it. The exit status is that of the command.
pub(crate) fn run_task(options: &Options) -> Result<i32> {
    let cache = target_dir("kvm-in-qemu");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    qemu::provide()?;
    let kernel = match &options.kernel {
        Some(dir) => Kernel::in_dir(dir)?,
        None => Kernel::fetch(&options.choice, &cache)?,
    };
    let init = build()?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => pvq()?,
    };
    let mut arguments = match options.check {
        true => kvm_check::ARGUMENTS.map(str::to_owned).to_vec(),
        false => options.arguments.clone(),
    };
    let mut guest = None;
    if arguments.first().is_some_and(|first| first == "kvm") {
        guest = Some(pvqspin_guest_image::build()?);
        arguments.extend(["--image".to_owned(), format!("/{GUEST}")]);
    }
    let initramfs = cache.join("initramfs");
    fs::write(
        &initramfs,
        pack(
            &cache,
            &kernel,
            &init,
            &program,
            guest.as_deref(),
            &arguments,
        )?,
    )
    .with_context(|| format!("cannot write {}", initramfs.display()))?;
    println!(
        "kvm-in-qemu: booting {} in QEMU, {} processors ...",
        file_name(&kernel.image),
        options.cpus
    );
    let outcome = qemu::boot(
        &kernel.image,
        &initramfs,
        &cache,
        options.cpus,
        if options.parallel {
            Threads::OneEach
        } else {
            Threads::One
        },
        Duration::from_secs(options.timeout),
    )?;
    if let Some(dir) = &options.out {
        for (name, bytes) in &outcome.files {
            let path = dir.join(name);
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if options.check && outcome.ending == Ending::Exit(0) {
        let results = outcome
            .files
            .iter()
            .find(|(name, _)| name == kvm_check::RESULTS)
            .with_context(|| format!("pvq left no {}", kvm_check::RESULTS))?;
        println!("kvm-in-qemu: {}", kvm_check::check(&results.1)?);
    }
    match outcome.ending {
        Ending::Exit(status) => Ok(status),
        Ending::Signal(signal) => bail!("{} was ended by signal {signal}", program.display()),
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

/// The initial file system, as `check/xtask/kvm-init` expects it.
fn pack(
    cache: &Path,
    kernel: &Kernel,
    init: &Path,
    program: &Path,
    guest: Option<&Path>,
    arguments: &[String],
) -> Result<Vec<u8>> {
    for argument in arguments {
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
    archive.file("init", &stripped(cache, init)?);
    archive.file("program", &stripped(cache, program)?);
    if let Some(guest) = guest {
        archive.file(GUEST, &read(guest)?);
    }
    let mut command = String::from("/program\n");
    for argument in arguments {
        command.push_str(argument);
        command.push('\n');
    }
    archive.file("command", command.as_bytes());
    // Linking everything statically would have all of it compiled once more, for minutes.
    let mut libraries = libraries(init)?;
    libraries.extend(self::libraries(program)?);
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
