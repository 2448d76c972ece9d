//! What must hold on a host with `scx_pvq`, and that this very check sees it fail.
//!
//! One machine is booted for the program as it is in each [`Scene`], and one for each deliberate mistake. A mistake is a
//! replacement in the source of the BPF program, which is compiled once more: nothing of it stands in the published code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::debian_kernel::{Choice, Kernel};
use crate::debian_packages::run;
use crate::kvm_in_qemu::{self, Host, Job, SCX_REPORT};
use crate::qemu::{self, Clock, Ending, Machine};
use crate::run::{own_folder, root};

const SOURCES: &str = "linux/scx_pvq/bpf";
/// What clang is given; it includes the other files.
pub(crate) const PROGRAM: &str = "scx_pvq.bpf.c";

/// A deliberate mistake.
pub(crate) struct Mistake {
    pub(crate) name: &'static str,
    /// The file that it is made in.
    pub(crate) file: &'static str,
    /// Stands exactly once there.
    pub(crate) right: &'static str,
    pub(crate) wrong: &'static str,
    /// What is said of it.
    pub(crate) found: &'static str,
}

impl Mistake {
    /// The file with the mistake in it.
    pub(crate) fn made(&self) -> Result<String> {
        let source = fs::read_to_string(root().join(SOURCES).join(self.file))?;
        ensure!(
            source.matches(self.right).count() == 1,
            "{} does not have {:?} once: the mistake \"{}\" must be made elsewhere",
            self.file,
            self.right,
            self.name
        );
        Ok(source.replace(self.right, self.wrong))
    }
}

/// What runs in the machine, and what has to come of it.
struct Scene {
    cpus: u32,
    arguments: &'static [&'static str],
    judge: fn(&Value, &Value) -> Result<String>,
    mistakes: &'static [Mistake],
}

const SCENES: [Scene; 2] = [
    Scene {
        cpus: 2,
        arguments: &YIELDS,
        judge: judge_yields,
        mistakes: &OF_YIELDS,
    },
    Scene {
        // Two that take turns in the emulator do not switch at the times that the kernel notes.
        cpus: 1,
        arguments: &NAPS,
        judge: judge_naps,
        mistakes: &OF_NAPS,
    },
];

const OF_YIELDS: [Mistake; 2] = [
    Mistake {
        name: "`.yield` ignores its target",
        file: PROGRAM,
        right: "	c->asked = to->pid;\n",
        wrong: "",
        found: "ran their target",
    },
    Mistake {
        name: "a loan is not charged",
        file: "slices.bpf.h",
        right: "			pay(o, due, lent);\n			c->owner_vtime",
        wrong: "			c->owner_vtime",
        found: "and not all of what",
    },
];

const OF_NAPS: [Mistake; 1] = [Mistake {
    name: "the switch to a task is not paid for",
    file: "slices.bpf.h",
    right: "		c->slice.charged_until = c->switched_at;\n",
    wrong: "",
    found: "were charged",
}];

/// Strict order, and more vCPUs than processors: every other hand-over meets a vCPU that is not running. With two for each
/// processor KVM refuses the yields of those that are alone there, unless they have a companion; it is there from the run
/// before on.
const YIELDS: [&str; 20] = [
    "kvm",
    "--transport",
    "stock",
    "--pcpus",
    "2",
    "--lock",
    "fifo",
    "--overcommit",
    "4,2",
    "--inside",
    "20us",
    "--outside",
    "40us",
    "--duration",
    "100ms",
    "--repeats",
    "1",
    "--no-page",
    "--json",
    RESULTS,
];

/// vCPUs that sleep often, beside some that compute: what is not charged at a switch adds up.
const NAPS: [&str; 13] = [
    "kvm",
    "--transport",
    "stock",
    "--pcpus",
    "1",
    "--overcommit",
    "4",
    "--greedy",
    "short-naps",
    "--duration",
    "100ms",
    "--json",
    RESULTS,
];
const RESULTS: &str = "check.json";

/// Boots the machines, and says what came of it.
pub(crate) fn check(choice: &Choice) -> Result<()> {
    let choice = &Host::Scx.kernel(choice);
    let cache = kvm_in_qemu::cache()?;
    qemu::provide()?;
    let kernel = Kernel::fetch(choice, &cache)?;
    for scene in &SCENES {
        println!("scx-check: {}", scene.boot(&cache, &kernel, None)?);
        for mistake in scene.mistakes {
            let object = compile(&cache, mistake)?;
            match scene.boot(&cache, &kernel, Some(&object)) {
                Ok(said) => bail!("the mistake \"{}\" was not found: {said}", mistake.name),
                Err(error) if error.to_string().contains(mistake.found) => {
                    println!(
                        "scx-check: the mistake \"{}\" is found: {error}",
                        mistake.name
                    );
                }
                Err(error) => {
                    return Err(
                        error.context(format!("the mistake \"{}\" shows otherwise", mistake.name))
                    );
                }
            }
        }
    }
    Ok(())
}

impl Scene {
    /// Boots a machine with this BPF program, and judges what came of it.
    fn boot(&self, cache: &Path, kernel: &Kernel, object: Option<&Path>) -> Result<String> {
        let (results, statistics) = self.run(cache, kernel, object)?;
        (self.judge)(&results, &statistics)
    }

    /// Runs `pvq` under a BPF program. Its results, and the statistics of the scheduler.
    fn run(&self, cache: &Path, kernel: &Kernel, object: Option<&Path>) -> Result<(Value, Value)> {
        let mut scx_options = Vec::new();
        let mut files = Vec::new();
        if let Some(object) = object {
            files.push(("mistake.o".to_owned(), object.to_owned()));
            scx_options.extend(["--object", "/mistake.o"].map(str::to_owned));
        }
        let outcome = Job {
            host: Host::Scx,
            kernel,
            program: None,
            arguments: &self
                .arguments
                .iter()
                .copied()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
            programs: &[],
            scx_options: &scx_options,
            files: &files,
            cache,
            machine: Machine {
                cpus: self.cpus,
                clock: Clock::Instructions,
                seed: 1,
                timeout: Duration::from_secs(240),
                parameters: String::new(),
            },
        }
        .run()?;
        ensure!(
            outcome.ending == Ending::Exit(0),
            "the command under scx_pvq ended with {:?}",
            outcome.ending
        );
        let read = |name: &str| {
            let bytes = (outcome.file(name)).with_context(|| format!("there is no {name}"))?;
            serde_json::from_slice(bytes).with_context(|| format!("{name} is no JSON"))
        };
        Ok((read(RESULTS)?, read(SCX_REPORT)?))
    }
}

/// Compiles the program with a mistake.
pub(crate) fn compile(cache: &Path, mistake: &Mistake) -> Result<PathBuf> {
    let sources = root().join(SOURCES);
    let dir = own_folder(cache)?.join("mistake");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for file in crate::debian_packages::list(&sources)? {
        let name = file.file_name().context("a source has no name")?;
        fs::copy(&file, dir.join(name))?;
    }
    fs::write(dir.join(mistake.file), mistake.made()?)?;
    let object = dir.join("mistake.o");
    run(Command::new(clang()?)
        .args([
            "-g",
            "-O2",
            "-target",
            "bpf",
            "-mcpu=v3",
            "-D__TARGET_ARCH_x86",
        ])
        .arg("-I")
        .arg(headers()?)
        .arg("-c")
        .arg(dir.join(PROGRAM))
        .arg("-o")
        .arg(&object))?;
    Ok(object)
}

fn clang() -> Result<String> {
    let named = std::env::var("CLANG").ok();
    let versions = (16..=22).rev().map(|version| format!("clang-{version}"));
    (named.into_iter())
        .chain(versions)
        .chain(["clang".to_owned()])
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .context("clang 16 or later is missing: `apt-get install clang-19`, or name it in CLANG")
}

/// libbpf's headers, as the build of scx_pvq left them.
fn headers() -> Result<PathBuf> {
    let build = kvm_in_qemu::scx_target().join("debug/build");
    crate::debian_packages::list(&build)?
        .into_iter()
        .map(|dir| dir.join("out/include"))
        .find(|dir| dir.join("bpf/bpf_helpers.h").is_file())
        .with_context(|| format!("libbpf's headers are not below {}", build.display()))
}

fn count(statistics: &Value, name: &str) -> Result<u64> {
    statistics[name]
        .as_u64()
        .with_context(|| format!("the statistics have no {name}"))
}

/// What the statistics show of vCPUs that sleep often, or what is wrong with them.
fn judge_naps(_: &Value, statistics: &Value) -> Result<String> {
    let (charged, used) = (
        count(statistics, "charged_ns")?,
        count(statistics, "used_ns")?,
    );
    ensure!(used > 100_000_000, "{used} ns are too few to tell");
    ensure!(
        charged.abs_diff(used) * 200 <= used,
        "{charged} ns were charged, and {used} ns used"
    );
    Ok(format!(
        "of vCPUs that sleep often {charged} ns are charged, and {used} ns used"
    ))
}

/// What the results and the statistics show of directed yields, or what is wrong with them.
fn judge_yields(results: &Value, statistics: &Value) -> Result<String> {
    ensure!(results["complete"] == true, "the run was not complete");
    let each = results["results"].as_array().context("no results")?;
    for result in each {
        ensure!(
            result["exclusion_violations"] == 0,
            "two vCPUs were in the critical section at once"
        );
    }
    let count = |name| count(statistics, name);
    let (asked, ran) = (count("asked")?, count("ran")?);
    ensure!(asked > 10, "{asked} directed yields are too few to tell");
    ensure!(
        ran * 100 >= asked * 90,
        "{ran} of {asked} directed yields ran their target"
    );
    let (lent, paid) = (count("lent_ns")?, count("lent_paid_ns")?);
    ensure!(lent > 0, "nothing was lent");
    // Time for which no task waits is free.
    ensure!(
        paid * 100 >= lent * 95,
        "lenders paid {paid} of {lent} ns, and not all of what others used"
    );
    let (slices, overrun) = (count("slices")?, count("overrun")?);
    ensure!(
        overrun * 100 <= slices,
        "{overrun} of {slices} slices ended a tick too late"
    );
    let last = &each.last().context("no results")?["yields"];
    let of_last = |name: &str| last[name].as_u64().unwrap_or(0);
    let (taken, refused) = (of_last("ran"), of_last("refused"));
    ensure!(
        taken > 10 && refused * 10 <= taken,
        "with two vCPUs for each processor {refused} directed yields were refused, and {taken} ran their target"
    );
    Ok(format!(
        "{ran} of {asked} directed yields ran their target at once; lenders paid {paid} of {lent} ns; {overrun} of {slices} slices overran"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said() {
        let run = |refused, overlaps| json!({ "exclusion_violations": overlaps, "yields": { "ran": 40, "refused": refused } });
        let all = |refused, overlaps| json!({ "complete": true, "results": [run(0, overlaps), run(refused, 0)] });
        let results = all(4, 0);
        let good = json!({ "asked": 70, "ran": 70, "lent_ns": 1000, "lent_paid_ns": 1000, "slices": 200, "overrun": 2 });
        assert!(judge_yields(&results, &good).is_ok());
        for (name, value, said) in [
            ("ran", 60, "60 of 70"),
            ("asked", 5, "too few"),
            ("lent_ns", 0, "nothing was lent"),
            ("lent_paid_ns", 900, "not all of what"),
            ("overrun", 3, "3 of 200 slices"),
        ] {
            let mut statistics = good.clone();
            statistics[name] = json!(value);
            let error = judge_yields(&results, &statistics)
                .expect_err(name)
                .to_string();
            assert!(error.contains(said), "{error}");
        }
        for (results, said) in [
            (all(5, 0), "5 directed yields were refused"),
            (all(0, 1), "at once"),
            (json!({ "complete": false }), "not complete"),
        ] {
            let error = judge_yields(&results, &good).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(judge_yields(&results, &json!({})).is_err());
    }

    #[test]
    fn time_that_is_not_paid_for_is_said() {
        let naps = |charged: u64, used: u64| {
            judge_naps(
                &json!({}),
                &json!({ "charged_ns": charged, "used_ns": used }),
            )
        };
        assert!(naps(1_004_000_000, 1_000_000_000).is_ok());
        assert!(naps(996_000_000, 1_000_000_000).is_ok());
        for charged in [980_000_000, 1_006_000_000] {
            let error = naps(charged, 1_000_000_000).expect_err("not what was used");
            assert!(error.to_string().contains("were charged"), "{error}");
        }
        assert!(naps(1_000, 1_000).is_err());
    }

    #[test]
    fn each_mistake_can_be_made() {
        for mistake in OF_YIELDS.iter().chain(&OF_NAPS) {
            mistake.made().expect(mistake.name);
        }
    }
}
