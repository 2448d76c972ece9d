//! What this machine can and cannot do, and what to do about it.

use std::fmt::Write as _;
use std::fs;
use std::thread;

use pvqspin_hypervisor as hypervisor;
use pvqspin_report::Machine;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::kvm;
use crate::output::failure::{Done, Failure, print};
use crate::output::terminal::hanging;
use crate::runs::driver;
use crate::runs::settings::usable_cpus;

mod btf;
mod linux;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    Note,
    Bad,
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    what: &'static str,
    found: String,
    advice: String,
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    finding(Grade::Good, what, found, "")
}

fn note(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    finding(Grade::Note, what, found, advice)
}

fn bad(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    finding(Grade::Bad, what, found, advice)
}

fn finding(
    grade: Grade,
    what: &'static str,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        grade,
        what,
        found: found.into(),
        advice: advice.into(),
    }
}

/// Runs `pvq doctor`. Fails if `compare` cannot run.
pub(crate) fn run() -> Done {
    let mut machine = Machine::describe();
    machine.cpus_allowed = usable_cpus();
    let mut findings = vec![
        platform(),
        cpus(&machine),
        pinning(),
        clock(&machine),
        load(&machine),
        virtual_machine(&machine),
        governor(&machine),
    ];
    findings.extend(embedded());
    findings.push(threads());
    findings.push(kvm());
    let kernel = linux::Kernel::running();
    findings.push(kernel.host());
    findings.push(kernel.module());
    print(&render(&machine, &findings))?;
    match findings.iter().any(|finding| finding.grade == Grade::Bad) {
        true => Err(Failure::failed(
            "`pvq compare` cannot run here as things are",
        )),
        false => Ok(()),
    }
}

fn render(machine: &Machine, findings: &[Finding]) -> String {
    let mut text = format!("{}\n\n", machine.line());
    for finding in findings {
        let grade = match finding.grade {
            Grade::Good => "good",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        let found = hanging(&finding.found, 25);
        let _ = writeln!(text, "{grade}  {:<18} {found}", finding.what);
        if !finding.advice.is_empty() {
            let _ = writeln!(text, "{:25}-> {}", "", hanging(&finding.advice, 28));
        }
    }
    text
}

fn platform() -> Finding {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        good("platform", "Linux on x86-64")
    } else {
        bad(
            "platform",
            format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
            "the embedded hypervisor is for Linux on x86-64; the lock itself runs anywhere",
        )
    }
}

fn cpus(machine: &Machine) -> Finding {
    let (allowed, online) = (machine.cpus_allowed, machine.cpus_online);
    match allowed {
        1 => note(
            "CPUs",
            format!("1 of {online} usable"),
            "on one pCPU no two vCPUs ever run at once: give this process more CPUs",
        ),
        _ if allowed < online => note(
            "CPUs",
            format!("{allowed} of {online} usable"),
            "an affinity mask or a cgroup keeps the others away (taskset -p $$)",
        ),
        _ => good("CPUs", format!("{allowed}, all usable")),
    }
}

/// Pins a thread of its own to each CPU in turn.
fn pinning() -> Finding {
    let Ok(allowed) = sched_getaffinity(None) else {
        return bad("pinning", "the affinity mask cannot be read", SANDBOX);
    };
    let pin_to_each = move || {
        (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .find_map(|cpu| {
                let mut one = CpuSet::new();
                one.set(cpu);
                sched_setaffinity(None, &one)
                    .err()
                    .map(|error| (cpu, error))
            })
    };
    match thread::spawn(pin_to_each).join() {
        Ok(None) => good("pinning", "a thread can be pinned to each of them"),
        Ok(Some((cpu, error))) => bad("pinning", format!("not to CPU {cpu}: {error}"), SANDBOX),
        Err(_) => bad("pinning", "the test failed", SANDBOX),
    }
}

const SANDBOX: &str = "a sandbox or container forbids it: allow sched_setaffinity and timer_create";

fn clock(machine: &Machine) -> Finding {
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    match (machine.constant_tsc, source.as_str()) {
        (true, _) => good(
            "clock",
            format!("constant time-stamp counter, kernel uses {source}"),
        ),
        (false, _) => note(
            "clock",
            format!("no constant time-stamp counter, kernel uses {source}"),
            "times may drift between CPUs; trust ratios more than times",
        ),
    }
}

fn load(machine: &Machine) -> Finding {
    let found = format!("{:.2} over one minute", machine.load_1min);
    if machine.load_1min > 0.5 * machine.cpus_online as f64 {
        note(
            "load",
            found,
            "other work runs here: stop it, or take more --repeats",
        )
    } else {
        good("load", found)
    }
}

fn virtual_machine(machine: &Machine) -> Finding {
    if machine.virtual_machine {
        note(
            "hardware",
            "this is itself a virtual machine",
            "its host may preempt what is measured: longest waits may be the host's; take more --repeats",
        )
    } else {
        good("hardware", "not a virtual machine")
    }
}

fn governor(machine: &Machine) -> Finding {
    match machine.governor.as_str() {
        "" => good("frequency", "not under this system's control"),
        "performance" => good("frequency", "governor performance"),
        other => note(
            "frequency",
            format!("governor {other}"),
            "frequencies change while it measures: cpupower frequency-set -g performance",
        ),
    }
}

/// Asks the hypervisor itself: it measures its costs as it looks.
fn embedded() -> Vec<Finding> {
    match hypervisor::Probe::run() {
        Ok(machine) => {
            let machine = driver::describe(&machine);
            vec![
                good(
                    "embedded",
                    "vCPUs can run and be preempted: `pvq compare` works",
                ),
                costs(&machine),
            ]
        }
        Err(error) => vec![bad("embedded", error.to_string(), SANDBOX)],
    }
}

/// What the probe measured. Leaving a guest is part of a hypercall, and a hypercall's work part of a
/// preemption: other figures say that the probe was disturbed.
fn costs(machine: &Machine) -> Finding {
    let found = machine.costs_in_words();
    let costs = &machine.costs;
    if costs.switch_ns < costs.hypercall_ns && costs.hypercall_ns < costs.preemption_ns {
        return good("costs", found);
    }
    let advice = "a switch costs less than a hypercall, and that less than a preemption: other work \
                  disturbed the measurement, ask again";
    note("costs", found, advice)
}

/// How many threads `pvq threads` can have, and a program that uses the lock in threads.
fn threads() -> Finding {
    let slots = pvqspin::threads::MAX_THREADS;
    let most = pvqspin_user_space::threads::MAX_THREADS;
    let found = format!("{slots} can queue at once; `pvq threads` takes up to {most}");
    match getrlimit(Resource::Nproc).current {
        Some(limit) if limit < most as u64 => note(
            "threads",
            format!("{found}, but this user may have {limit}"),
            "raise the limit (ulimit -u) for a higher --overcommit there",
        ),
        _ => good("threads", found),
    }
}

/// Lets KVM show what it can do. Only `pvq kvm` needs it.
fn kvm() -> Finding {
    match kvm::examine() {
        Ok(found) => good("/dev/kvm", found),
        Err(reason) => note(
            "/dev/kvm",
            reason,
            "`compare` does not need it, only `pvq kvm` does",
        ),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_under_its_finding() {
        let findings = [good("a", "fine"), bad("b", "broken", "mend it")];
        let text = render(&Machine::default(), &findings);
        let lines: Vec<&str> = text.lines().rev().collect();
        assert!(lines[0].trim_start() == "-> mend it", "{text}");
        assert!(lines[1].starts_with("BAD   b"), "{text}");
        assert!(lines[2].starts_with("good  a"), "{text}");
    }

    #[test]
    fn pinning_leaves_the_caller_where_it_was() {
        let before = usable_cpus();
        pinning();
        assert_eq!(usable_cpus(), before);
    }
}
