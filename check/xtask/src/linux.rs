//! The module for Linux guests: built for a stock kernel, booted in a stock kernel, on a stock host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::debian_packages::run;
use crate::linux_boot::{Guest, Machine, WALL};
use crate::linux_tree::Tree;
use crate::qemu::Clock;
use crate::run::{own_folder, root};
use crate::{linux_measure, linux_page, linux_patch};

/// What to do.
#[derive(Args)]
pub(crate) struct Options {
    /// Check that the module works, and nothing else: for CI.
    #[arg(long)]
    check: bool,
    /// Edit the kernel's own sources so that its fast path names the holder, build a small kernel of
    /// them (minutes), and use that in the guests.
    #[arg(long, conflicts_with = "check")]
    patched: bool,
    /// Run programs that were not written for this lock, and see with `perf lock contention` what its
    /// waits are, instead of the measurement. With `--script` they are there for that script.
    #[arg(long, conflicts_with_all = ["check", "patched"])]
    work: bool,
    /// Of those, only these.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "work")]
    programs: Vec<String>,
    /// Exchange policies at random under load for so many seconds, and let CPUs come and go, instead of
    /// the measurement.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["check", "script", "work"])]
    soak: Option<u32>,
    /// What random numbers begin with: the machine's, and those of the soak.
    #[arg(long, default_value_t = 1)]
    seed: u16,
    /// Try what does not happen every day, each in a guest of its own: kexec, a panic, a suspend, a
    /// host that offers less, another module in the same place.
    #[arg(long, conflicts_with_all = ["check", "script", "work", "soak", "patched"])]
    situations: bool,
    /// How often each lock has its turn.
    #[arg(long, default_value_t = 3, conflicts_with = "check")]
    turns: u32,
    /// How long the hot lock is held, in ns.
    #[arg(long, default_value_t = 2000, conflicts_with = "check")]
    inside: u32,
    /// How long a CPU works between two sections, in ns.
    #[arg(long, default_value_t = 20_000, conflicts_with = "check")]
    outside: u32,
    /// How long a turn is, in ms.
    #[arg(long, default_value_t = 200, conflicts_with = "check")]
    duration: u32,
    /// How many processors the host has.
    #[arg(long, default_value_t = 2)]
    pcpus: u32,
    /// How many virtual processors for each of them: a guest for each number.
    #[arg(long, value_delimiter = ',', default_value = "2,4")]
    overcommit: Vec<u32>,
    /// Run this shell script in the guests instead of the measurement.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    script: Option<PathBuf>,
    /// Run this program on the host, as a scheduler for example, with the libraries it needs.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    host_program: Option<PathBuf>,
    /// Its options, separated by spaces. What it leaves in /tmp/report there comes out here.
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "",
        allow_hyphen_values = true,
        conflicts_with = "check"
    )]
    host_options: String,
    /// Put this file into the guests; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    guest_file: Vec<PathBuf>,
    /// Take time from this machine's clock instead of counting instructions, one a nanosecond. `--check`
    /// and `--situations` always do: they compare no times.
    #[arg(long)]
    wall_clock: bool,
    /// Keep the tables in this page: a section for each host, number of its processors and kind of work.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["check", "script", "soak", "situations"])]
    page: Option<PathBuf>,
    /// When to stop the machine, in seconds.
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
}

/// Programs that were not written for this lock: their packages, and what is run of them.
const WORK_PACKAGES: [&str; 5] = ["linux-perf", "rt-tests", "stress-ng", "make", "binutils"];
const WORK: [&str; 5] = [
    "usr/bin/perf",
    "usr/bin/hackbench",
    "usr/bin/stress-ng",
    "usr/bin/make",
    "usr/bin/as",
];
const KEXEC: &str = "usr/sbin/kexec";

/// Of the kernel's build: its own test of locks.
const TORTURE: [&str; 2] = ["kernel/torture.ko", "kernel/locking/locktorture.ko"];

/// What guests run.
const SCRIPTS: [&str; 6] = ["check", "refuse", "measure", "work", "soak", "situation"];

/// The processor of a guest that is offered everything.
const ALL: &str = "+kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=on";
const NOTHING: &str = "-kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=on";

/// Does it.
pub(crate) fn run_task(options: &Options) -> Result<()> {
    let tree = Tree::provide()?;
    let mut guest_kernel = None;
    let mut headers = format!("/usr/src/linux-headers-{}", tree.release);
    if options.patched {
        linux_patch::ensure_space(&tree.dir)?;
        guest_kernel = Some(linux_patch::build(&tree)?);
        headers = linux_patch::SOURCE.to_owned();
    }
    let mut modules = build(&tree, &headers)?;
    if options.patched {
        modules.extend(linux_patch::modules(&tree, &TORTURE));
    }
    let mut guest_programs = Vec::new();
    if options.situations {
        tree.install(&["kexec-tools"])?;
        guest_programs.push(KEXEC);
        modules.push(("kernel".to_owned(), tree.image()));
    }
    if options.work {
        tree.install(&WORK_PACKAGES)?;
        guest_programs.extend(WORK);
    }
    let mut machine = Machine {
        tree: &tree,
        pcpus: options.pcpus,
        guest_programs,
        guest_files: modules,
        guest_kernel,
        host_program: options.host_program.clone(),
        host_options: options.host_options.clone(),
        guests: Vec::new(),
        clock: match options.wall_clock || options.check || options.situations {
            true => WALL,
            false => Clock::Instructions,
        },
        seed: options.seed,
        timeout: Duration::from_secs(options.timeout),
    };
    let scripts = root().join("check/xtask/src/linux");
    for name in SCRIPTS {
        let file = (
            format!("scripts/{name}"),
            scripts.join(format!("{name}.sh")),
        );
        machine.guest_files.push(file);
    }
    if options.check {
        machine.guests = guests_of_check();
        println!("linux: booting {} on {} ...", tree.release, tree.release);
        let text = machine.boot()?;
        println!("linux: {}", check(&text, &machine.guests)?);
        return Ok(());
    }
    if options.situations {
        machine.guests = situations();
        let text = machine.boot()?;
        return ensure_good(&text, machine.guests.len());
    }
    let script = match &options.script {
        Some(path) => {
            let file = ("scripts/own".to_owned(), path.clone());
            machine.guest_files.push(file);
            "own"
        }
        None if options.work => "work",
        None if options.soak.is_some() => "soak",
        None => "measure",
    };
    for path in &options.guest_file {
        let name = crate::debian_kernel::file_name(path);
        machine.guest_files.push((name, path.clone()));
    }
    machine.guests = options
        .overcommit
        .iter()
        .map(|&overcommit| Guest {
            name: "",
            script: script.to_owned(),
            vcpus: options.pcpus * overcommit,
            processor: ALL,
            // What the kernel does not know is in its first process's environment.
            kernel: format!(
                "turns={} inside={} outside={} ms={} soak={} seed={} programs={}",
                options.turns,
                options.inside,
                options.outside,
                options.duration,
                options.soak.unwrap_or_default(),
                options.seed,
                options.programs.join(",")
            ),
        })
        .collect();
    let text = machine.boot()?;
    ensure_good(&text, machine.guests.len())?;
    let vcpus: Vec<_> = machine.guests.iter().map(|guest| guest.vcpus).collect();
    let (what, tables) = match script {
        "work" => ("Programs", linux_measure::work_table(&text, &vcpus)),
        "measure" => ("A hot lock", linux_measure::table(&text, &vcpus)),
        _ => return Ok(()),
    };
    print!("{tables}");
    if let Some(page) = &options.page {
        let section = linux_page::Section {
            what,
            text: &text,
            pcpus: options.pcpus,
            options: linux_page::own_options(),
            kernel: &tree.release,
            tables: &tables,
        };
        section.keep(page)?;
    }
    Ok(())
}

/// The guest that checks everything, and those in which the module has to refuse.
fn guests_of_check() -> Vec<Guest> {
    let refuses = |name, vcpus, processor, kernel: &str| Guest {
        name,
        script: "refuse".to_owned(),
        vcpus,
        processor,
        kernel: kernel.to_owned(),
    };
    vec![
        Guest {
            name: "check",
            script: "check".to_owned(),
            vcpus: 4,
            processor: ALL,
            kernel: String::new(),
        },
        refuses("nopvspin", 2, ALL, "nopvspin"),
        refuses("one CPU", 1, ALL, ""),
        refuses("no PV_UNHALT", 2, NOTHING, ""),
    ]
}

/// A guest for each.
fn situations() -> Vec<Guest> {
    let guest = |name, script: &str, processor| Guest {
        name,
        script: script.to_owned(),
        vcpus: 4,
        processor,
        kernel: format!("situation={name}"),
    };
    vec![
        guest("other", "situation", ALL),
        guest("kexec", "situation", ALL),
        guest("suspend", "situation", ALL),
        guest("panic", "situation", ALL),
        guest(
            "kicks",
            "situation",
            "+kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=off",
        ),
        guest(
            "dedicated",
            "refuse",
            "+kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=on,kvm-hint-dedicated=on",
        ),
    ]
}

/// Builds the lock here and the modules in the tree. Returns the modules.
fn build(tree: &Tree, headers: &str) -> Result<Vec<(String, PathBuf)>> {
    let source = root().join("linux/module");
    println!("linux: building the module for {} ...", tree.release);
    run(Command::new("make")
        .arg("-C")
        .arg(&source)
        .args(["-s", "lock"])
        .env(
            "CARGO",
            std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        ))?;
    let dir = own_folder(&tree.dir.join("run"))?.join("module");
    let _ = fs::remove_dir_all(&dir);
    copy(&source, &dir, &["Kbuild", "lock.object", "shim", "load"])?;
    run(tree
        .inside("make")
        .args(["-s", "-C", headers])
        .arg(format!("M=/{}", dir.strip_prefix(&tree.dir)?.display()))
        .arg("modules"))?;
    let mut modules = Vec::new();
    for name in ["pvqspin.ko", "pvqspin_load.ko", "pvqspin_other.ko"] {
        let path = dir.join(name);
        run(Command::new("strip").arg("--strip-debug").arg(&path))?;
        modules.push((name.to_owned(), path));
    }
    Ok(modules)
}

fn copy(from: &Path, to: &Path, names: &[&str]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    run(Command::new("cp")
        .arg("-r")
        .args(names.iter().map(|name| from.join(name)))
        .arg(to))
}

/// Whether every guest came to its end, and nothing failed.
fn ensure_good(text: &str, guests: usize) -> Result<()> {
    let failed: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("FAILED: "))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    let ended = text.lines().filter(|line| *line == "GUEST-END").count();
    ensure!(
        ended == guests,
        "{ended} of {guests} guests came to their end"
    );
    Ok(())
}

/// Checks what came out; says what it shows.
fn check(text: &str, guests: &[Guest]) -> Result<String> {
    ensure_good(text, guests.len())?;
    let checked = text
        .lines()
        .filter(|line| line.starts_with("checked "))
        .count();
    // Seven policies, tracepoints, exchanges, unloading.
    ensure!(checked == 10, "{checked} things were checked, and not 10");
    let refused: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("refused: "))
        .collect();
    let others = guests.len() - 1;
    ensure!(
        refused.len() == others,
        "{others} guests had to refuse, and gave these reasons: {}",
        refused.join("; ")
    );
    Ok(format!(
        "7 policies, exchanges under load, a CPU that came and went, unloading: exact counts, nothing in the kernel's log; \
         refused in {others} guests"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let mut text = "checked it\n".repeat(10);
        text.push_str(&"refused: pvqspin: no\n".repeat(3));
        text.push_str(&"GUEST-END\n".repeat(4));
        text
    }

    #[test]
    fn each_fault_is_found() {
        let guests = guests_of_check();
        let said = |text: &str| match check(text, &guests) {
            Ok(said) => said,
            Err(error) => error.to_string(),
        };
        assert!(said(&good()).starts_with("7 policies"));
        for (old, new, expected) in [
            ("GUEST-END\n", "", "0 of 4 guests"),
            ("checked it\n", "", "0 things were checked"),
            ("refused: pvqspin: no\n", "", "had to refuse"),
            (
                "GUEST-END\n",
                "GUEST-END\nFAILED: two in\n",
                "FAILED: two in",
            ),
        ] {
            let text = good().replace(old, new);
            assert!(said(&text).contains(expected), "{}", said(&text));
        }
    }
}
