//! Scripts that run in an emulated machine with `scx_pvq` at hand: what an operator meets, and ordinary programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::debian_kernel::{Choice, Kernel};
use crate::debian_packages::Packages;
use crate::kvm_in_qemu::{self, Host, Job};
use crate::qemu::{self, Clock, Ending, Machine, Outcome};
use crate::run::{pvq, root};
use crate::scx_check::{Mistake, PROGRAM, compile};

/// A shell, and a well-known benchmark.
const PACKAGES: [&str; 2] = ["busybox-static", "rt-tests"];

/// With it no task gets its turn, and the kernel ejects the scheduler.
const STALL: Mistake = Mistake {
    name: "no queue is looked at",
    file: PROGRAM,
    right: "	if (move_to_local(QUEUE(domain)))\n		return;\n	if (!stays",
    wrong: "	if (!stays",
    found: "runnable task stall",
};

/// With it no limit holds.
const UNCHARGED: Mistake = Mistake {
    name: "groups are not charged",
    file: "limits.h",
    right: "	__sync_fetch_and_add(&b->used_ns, pvq_least(ns, PVQ_MOST_NS));\n",
    wrong: "",
    found: "the first group had",
};

/// Checks errors, statistics and every kind of end.
pub(crate) fn operation(choice: &Choice) -> Result<()> {
    let cache = kvm_in_qemu::cache()?;
    kvm_in_qemu::scx_pvq()?;
    let stall = compile(&cache, &STALL)?;
    let outcome = run(
        &cache,
        choice,
        "operation",
        &[("stall.o".to_owned(), stall)],
    )?;
    // It is written last: a script that broke off has not checked everything.
    let end = outcome
        .file("operation.txt")
        .context("the script did not come to its end")?;
    ensure!(
        end == b"0 failed\n",
        "{}",
        String::from_utf8_lossy(end).trim()
    );
    println!("scx-check: all of it is well");
    Ok(())
}

/// Times ordinary programs on both schedulers, in turns, alone and beside a virtual machine.
pub(crate) fn ordinary(choice: &Choice) -> Result<()> {
    // For the machine that they have beside them.
    let image = ("image".to_owned(), pvqspin_guest_image::build()?);
    ends_well("ordinary", choice, &[image])
}

/// Divides two processors between two control groups, by weights and by limits.
pub(crate) fn groups(choice: &Choice) -> Result<()> {
    kvm_in_qemu::scx_pvq()?;
    let uncharged = compile(&kvm_in_qemu::cache()?, &UNCHARGED)?;
    let files = [
        ("uncharged.o".to_owned(), uncharged),
        ("image".to_owned(), pvqspin_guest_image::build()?),
    ];
    ends_well("groups", choice, &files)
}

fn ends_well(script: &str, choice: &Choice, more: &[(String, PathBuf)]) -> Result<()> {
    let outcome = run(&kvm_in_qemu::cache()?, choice, script, more)?;
    ensure!(
        outcome.ending == Ending::Exit(0),
        "the script ended with {:?}",
        outcome.ending
    );
    Ok(())
}

fn run(cache: &Path, choice: &Choice, script: &str, more: &[(String, PathBuf)]) -> Result<Outcome> {
    qemu::provide()?;
    let kernel = Kernel::fetch(&Host::Scx.kernel(choice), cache)?;
    let tools = cache.join("tools");
    if !tools.is_dir() {
        Packages::of_this_machine().unpack(&PACKAGES.map(str::to_owned), &tools)?;
    }
    let mut files = vec![
        (
            "script".to_owned(),
            root().join(format!("check/xtask/src/scx/{script}.sh")),
        ),
        ("busybox".to_owned(), tools.join("bin/busybox")),
    ];
    files.extend_from_slice(more);
    Job {
        host: Host::Stock,
        kernel: &kernel,
        // busybox does what its own name says, and what is run is called `program`.
        program: Some(Path::new("/usr/bin/env")),
        arguments: &["/busybox", "sh", "/script"].map(str::to_owned),
        programs: &[
            ("scx_pvq".to_owned(), kvm_in_qemu::scx_pvq()?),
            ("pvq".to_owned(), pvq()?),
            ("hackbench".to_owned(), tools.join("usr/bin/hackbench")),
        ],
        scx_options: &[],
        files: &files,
        cache,
        machine: Machine {
            cpus: 2,
            clock: Clock::Instructions,
            seed: 1,
            timeout: Duration::from_secs(1800),
            parameters: String::new(),
        },
    }
    .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_can_be_made() {
        for mistake in [&STALL, &UNCHARGED] {
            mistake.made().expect(mistake.name);
        }
    }
}
