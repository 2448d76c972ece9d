//! What can be chosen: every name that an option takes.

use std::fmt::Write as _;

use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_rivals::catalog::{CATALOG, Entry, IDEAL};
use pvqspin_user_space::threads::catalog::Waits;

use pvqspin_load::{NeighbourKind, catalog as workloads};
use pvqspin_report::figures::exact_time;

use crate::options::greedy::NAMED;
use crate::output::failure::{Done, print};
use crate::output::terminal::hanging;
use pvqspin_rivals::choice::GROUPS;
use pvqspin_sweep::words::DISTRIBUTIONS;

/// Runs `pvq list`.
pub(crate) fn run() -> Done {
    print(&text())
}

fn text() -> String {
    let mut text = String::new();
    heading(
        &mut text,
        "Locks (--lock): pvqspin, one for each policy and word format",
    );
    locks(&mut text, |entry| entry.policy.is_some());
    heading(&mut text, "Locks (--lock): rivals");
    locks(&mut text, |entry| entry.policy.is_none());
    heading(&mut text, "Locks (--lock): simulator only");
    line(&mut text, IDEAL.name, IDEAL.about);
    heading(&mut text, "Locks (--lock): several at once");
    let _ = writeln!(text, "  {}", GROUPS.join(", "));
    heading(&mut text, "Locks on ordinary threads (pvq threads --lock)");
    for entry in pvqspin_user_space::threads::CATALOG {
        let order = if entry.fair { "in order" } else { "unfair" };
        let waits = match entry.waits {
            Waits::Spinning => "spins",
            Waits::Yielding => "yields",
            Waits::Asleep => "sleeps",
        };
        let about = format!("({order}, {waits}) {}", entry.about);
        line(&mut text, entry.name, &about);
    }
    heading(&mut text, "Host: how it shares its CPUs (--scheduling)");
    for scheduling in Scheduling::ALL {
        line(&mut text, scheduling.name(), about_scheduling(scheduling));
    }
    heading(&mut text, "Host: what a directed yield is (--yields)");
    for yields in YieldMode::ALL {
        line(&mut text, yields.name(), about_yields(yields));
    }
    heading(&mut text, "Workloads (--workload)");
    for entry in workloads::CATALOG {
        line(&mut text, entry.name, &about_workload(entry));
    }
    heading(&mut text, "A VM beside it (--neighbour)");
    for kind in NeighbourKind::ALL {
        line(&mut text, kind.name(), about_neighbour(kind));
    }
    heading(
        &mut text,
        "A VM that takes what it can (pvq kvm --greedy), and its programs",
    );
    for named in NAMED {
        let about = format!("{} [{}]", named.about, named.text);
        line(&mut text, named.name, &about);
    }
    heading(&mut text, "Spread of the section lengths (--distribution)");
    for ((name, _), about) in DISTRIBUTIONS.iter().zip([
        "always the mean",
        "from half to one and a half times the mean",
        "memoryless: many short ones, a few long ones",
    ]) {
        line(&mut text, name, about);
    }
    text
}

fn heading(text: &mut String, title: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}{title}");
}

fn line(text: &mut String, name: &str, about: &str) {
    let _ = writeln!(text, "  {name:<18} {}", hanging(about, 21));
}

fn locks(text: &mut String, which: impl Fn(&Entry) -> bool) {
    for entry in CATALOG.iter().filter(|entry| which(entry)) {
        let order = if entry.fair { "in order" } else { "unfair" };
        let kind = match (entry.policy, entry.word) {
            (Some(policy), Some(word)) => format!("policy {policy}, word {word}"),
            _ => order.to_owned(),
        };
        line(text, entry.name, &format!("[{kind}] {}", entry.about));
    }
}

/// With the defaults of --inside and --outside, and what it counts.
fn about_workload(entry: &workloads::Entry) -> String {
    format!(
        "[{}; {} inside, {} outside] {}",
        entry.unit,
        exact_time(entry.inside_ns.into()),
        exact_time(entry.outside_ns.into()),
        entry.about
    )
}

fn about_neighbour(kind: NeighbourKind) -> &'static str {
    match kind {
        NeighbourKind::Busy => "computes all the time, and tells what is left for it",
        NeighbourKind::Halted => "sleeps for good, and should cost nothing",
    }
}

fn about_scheduling(scheduling: Scheduling) -> &'static str {
    match scheduling {
        Scheduling::RoundRobin => "one slice each, in turn",
        Scheduling::Fair => "the vCPU that ran least, by weight: as Linux does",
        Scheduling::Credit => "credits by weight, woken vCPUs first: as Xen's credit scheduler",
        Scheduling::CoScheduled => "vCPUs in gangs that all run at the same time, or not at all",
    }
}

fn about_yields(yields: YieldMode) -> &'static str {
    match yields {
        YieldMode::Contract => "the target runs now, on the caller's pCPU and the caller's slice",
        YieldMode::Hint => {
            "the target is preferred at the next choice, if it is its turn: as stock Linux"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_is_listed_once() {
        let text = text();
        for entry in CATALOG {
            let start = format!("  {:<18} [", entry.name);
            assert_eq!(text.matches(&start).count(), 1, "{}", entry.name);
        }
    }
    #[test]
    fn every_workload_is_listed_with_its_unit_and_its_lengths() {
        let text = text();
        for entry in workloads::CATALOG {
            let start = format!("  {:<18} [{};", entry.name, entry.unit);
            assert_eq!(text.matches(&start).count(), 1, "{}", entry.name);
        }
    }
}
