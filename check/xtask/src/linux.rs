//! The module for Linux guests: built for a stock kernel, booted in a stock kernel, on a stock host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::debian_packages::run;
use crate::linux_boot::{Guest, Machine, WALL};
use crate::linux_options::Options;
use crate::linux_tree::Tree;
use crate::qemu::Clock;
use crate::run::{own_folder, root};
use crate::{linux_measure, linux_page, linux_patch};

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
const SCRIPTS: [&str; 8] = [
    "check",
    "unload",
    "early",
    "refuse",
    "measure",
    "work",
    "soak",
    "situation",
];

/// A deliberate mistake in the module: without this it goes before all CPUs have stood still.
const STANDS_STILL: &str = "	stop_machine(nothing, NULL, NULL);\n";

/// The processor of a guest that is offered everything.
const ALL: &str = "+kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=on";
const NOTHING: &str = "-kvm_pv_unhalt,+kvm_steal_time,kvm-pv-sched-yield=on";

/// Does it. `words` are the options as they were written.
pub(crate) fn run_task(options: &Options, words: &[String]) -> Result<()> {
    let tree = Tree::provide()?;
    let mut guest_kernel = None;
    let mut headers = format!("/usr/src/linux-headers-{}", tree.release);
    if options.patched {
        linux_patch::ensure_space(&tree.dir)?;
        guest_kernel = Some(linux_patch::build(&tree)?);
        headers = linux_patch::SOURCE.to_owned();
    }
    let mut modules = build(&tree, &headers)?;
    if options.check {
        modules.push(build_with_mistake(&tree, &headers)?);
    }
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
        machine.guests = situations(&options.only)?;
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
    // The small kernel has what its own test of locks needs, and not what all programs ask for.
    let programs = match options.patched && options.programs.is_empty() {
        true => "locktorture".to_owned(),
        false => options.programs.join(","),
    };
    machine.guests = options
        .overcommit
        .iter()
        .map(|&overcommit| Guest {
            name: "",
            script: script.to_owned(),
            vcpus: options.pcpus * overcommit,
            processor: ALL,
            // What the kernel does not know is in its first process's environment. Without its watchdog of clocks: one
            // CPU of it waits for another with interrupts off, and met `stop_machine`, which does the same.
            kernel: format!(
                "tsc=nowatchdog turns={} kind={} inside={} outside={} ms={} soak={} seed={} programs={}",
                options.turns,
                options.lock.kind(),
                options.inside,
                options.outside,
                options.duration,
                options.soak.unwrap_or_default(),
                options.seed,
                programs
            ),
        })
        .collect();
    let text = machine.boot()?;
    ensure_good(&text, machine.guests.len())?;
    let vcpus: Vec<_> = machine.guests.iter().map(|guest| guest.vcpus).collect();
    let tables = match script {
        "work" => linux_measure::work_table(&text, &vcpus),
        "measure" => linux_measure::table(&text, &vcpus, options.possible()),
        _ => return Ok(()),
    };
    print!("{tables}");
    if let Some(page) = &options.page {
        let section = linux_page::Section {
            what: &options.what(),
            text: &text,
            pcpus: options.pcpus,
            options: linux_page::in_short(words),
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
        Guest {
            name: "early",
            script: "early".to_owned(),
            vcpus: 4,
            processor: ALL,
            kernel: String::new(),
        },
        refuses("nopvspin", 2, ALL, "nopvspin"),
        refuses("one CPU", 1, ALL, ""),
        refuses("no PV_UNHALT", 2, NOTHING, ""),
    ]
}

/// A guest for each, or for each of those that are named.
fn situations(only: &[String]) -> Result<Vec<Guest>> {
    let guest = |name, script: &str, processor| Guest {
        name,
        script: script.to_owned(),
        vcpus: 4,
        processor,
        kernel: format!("situation={name}"),
    };
    let all = vec![
        guest("other", "situation", ALL),
        guest("kexec", "situation", ALL),
        guest("suspend", "situation", ALL),
        guest("nmi", "situation", ALL),
        guest("tracing", "situation", ALL),
        guest("migration", "situation", ALL),
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
    ];
    for name in only {
        ensure!(
            all.iter().any(|guest| guest.name == name),
            "there is no situation {name}"
        );
    }
    let wanted = |guest: &Guest| only.is_empty() || only.iter().any(|name| name == guest.name);
    Ok(all.into_iter().filter(wanted).collect())
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
    let dir = copy_of_module(tree, "module")?;
    compile(tree, headers, &dir)?;
    ["pvqspin.ko", "pvqspin_load.ko", "pvqspin_other.ko"]
        .into_iter()
        .map(|name| Ok((name.to_owned(), stripped(&dir, name)?)))
        .collect()
}

/// Builds the module once more, without [`STANDS_STILL`].
fn build_with_mistake(tree: &Tree, headers: &str) -> Result<(String, PathBuf)> {
    let dir = copy_of_module(tree, "early")?;
    let file = dir.join("shim/exchange.c");
    let text = fs::read_to_string(&file)?;
    ensure!(
        text.matches(STANDS_STILL).count() == 1,
        "shim/exchange.c does not have {STANDS_STILL:?} once: the mistake must be made elsewhere"
    );
    fs::write(&file, text.replace(STANDS_STILL, ""))?;
    compile(tree, headers, &dir)?;
    Ok(("pvqspin_early.ko".to_owned(), stripped(&dir, "pvqspin.ko")?))
}

/// What the kernel's build needs of the module, in a folder of this run.
fn copy_of_module(tree: &Tree, name: &str) -> Result<PathBuf> {
    let dir = own_folder(&tree.dir.join("run"))?.join(name);
    let _ = fs::remove_dir_all(&dir);
    let source = root().join("linux/module");
    copy(&source, &dir, &["Kbuild", "lock.object", "shim", "load"])?;
    Ok(dir)
}

fn compile(tree: &Tree, headers: &str, dir: &Path) -> Result<()> {
    run(tree
        .inside("make")
        .args(["-s", "-C", headers])
        .arg(format!("M=/{}", dir.strip_prefix(&tree.dir)?.display()))
        .arg("modules"))
}

fn stripped(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    run(Command::new("strip").arg("--strip-debug").arg(&path))?;
    Ok(path)
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
    // Seven policies, tracepoints, probes, exchanges, unloading.
    ensure!(checked == 11, "{checked} things were checked, and not 11");
    let refused: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("refused: "))
        .collect();
    ensure!(
        text.lines().any(|line| line.starts_with("found: ")),
        "a module that goes before all CPUs have stood still was not found"
    );
    let others = guests.len() - 2;
    ensure!(
        refused.len() == others,
        "{others} guests had to refuse, and gave these reasons: {}",
        refused.join("; ")
    );
    Ok(format!(
        "7 policies, exchanges under load, a CPU that came and went, unloading: exact counts, nothing in the kernel's log; \
         a module that goes too early is found; refused in {others} guests"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let mut text = "checked it\n".repeat(11);
        text.push_str(&"refused: pvqspin: no\n".repeat(3));
        text.push_str("found: 3 calls are inside the module\n");
        text.push_str(&"GUEST-END\n".repeat(5));
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
            ("GUEST-END\n", "", "0 of 5 guests"),
            ("found: ", "", "was not found"),
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
