//! What must hold on a stock KVM host, read off the results of `pvq kvm`.
//!
//! Counters and relations only: times mean nothing in an emulated machine.
//!
//! | what would be wrong | how it shows |
//! | --- | --- |
//! | a lost wake-up | a vCPU has no acquisition; or the watchdog ends the run: `pvq` fails, and the list is incomplete |
//! | a lock that was not run | its name is not among the results |
//! | two in the critical section | the guest counts it |
//! | calls that KVM does not know | KVM's own counters stay at 0 |
//!
//! `halt_timeouts` is not looked at: KVM ends no halt by itself, so there it is always 0.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The arguments of the run that is looked at: every policy of `pvqspin`, four vCPUs for each processor.
pub(crate) const ARGUMENTS: [&str; 20] = [
    "kvm",
    "--transport",
    "stock",
    "--pcpus",
    "2",
    "--lock",
    "pvqspin",
    "--overcommit",
    "4",
    "--inside",
    "20us",
    "--outside",
    "40us",
    "--duration",
    "500ms",
    "--repeats",
    "1",
    "--no-page",
    "--json",
    RESULTS,
];

/// Where it leaves them.
pub(crate) const RESULTS: &str = "check.json";

/// What `--lock pvqspin` stands for: a lock that is not here is not checked, and one that is here has to run.
const OURS: [&str; 5] = ["fifo", "fifo-halt", "fifo-holder", "bounded", "fifo-bit"];

/// Processors times overcommit, as in [`ARGUMENTS`].
const VCPUS: usize = 8;

/// Checks the results; says what they show.
pub(crate) fn check(json: &[u8]) -> Result<String> {
    let report: Value = serde_json::from_slice(json).context("the results are no JSON")?;
    let results = report["results"]
        .as_array()
        .context("there are no results")?;
    let ran: Vec<&str> = (results.iter())
        .map(|result| result["lock"].as_str().unwrap_or("?"))
        .collect();
    ensure!(
        ran.len() == OURS.len() && BTreeSet::from_iter(ran.iter().copied()) == BTreeSet::from(OURS),
        "results of {}, and not one of each of {}",
        ran.join(", "),
        OURS.join(", ")
    );
    ensure!(report["complete"] == true, "the run was not complete");
    let mut attempted = 0;
    let mut successful = 0;
    let mut halts = 0;
    for result in results {
        let lock = result["lock"].as_str().unwrap_or("?");
        let number = |at: &Value| at.as_u64().unwrap_or(0);
        let field = |name: &str| {
            result[name]
                .as_u64()
                .with_context(|| format!("{lock}: the result has no {name}"))
        };
        ensure!(
            field("exclusion_violations")? == 0,
            "{lock}: two vCPUs were in the critical section at once"
        );
        ensure!(field("acquisitions")? > 0, "{lock}: no progress");
        let per_vcpu = result["per_vcpu"]
            .as_array()
            .with_context(|| format!("{lock}: the result has no per_vcpu"))?;
        ensure!(
            per_vcpu.len() == VCPUS,
            "{lock}: {} vCPUs instead of {VCPUS}",
            per_vcpu.len()
        );
        if let Some(stuck) = per_vcpu.iter().position(|count| number(count) == 0) {
            anyhow::bail!("{lock}: vCPU {stuck} never got the lock");
        }
        attempted += number(&result["events"]["kvm_directed_yield_attempted"]);
        successful += number(&result["events"]["kvm_directed_yield_successful"]);
        halts += number(&result["hypercalls"]["halt"]);
    }
    ensure!(
        attempted > 0 && successful > 0,
        "KVM counts {attempted} directed yields attempted and {successful} successful: the lock's calls do not arrive"
    );
    ensure!(halts > 0, "no vCPU ever halted: no wake-up was tried");
    Ok(format!(
        "{} locks: mutual exclusion, progress of every vCPU, {halts} halts; {attempted} directed yields attempted, \
         {successful} successful",
        results.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(change: impl FnOnce(&mut Value)) -> Result<String> {
        let result = |lock| {
            json!({
                "lock": lock,
                "exclusion_violations": 0,
                "acquisitions": 80,
                "per_vcpu": vec![10; VCPUS],
                "hypercalls": { "halt": 3 },
                "events": {
                    "kvm_directed_yield_attempted": 5,
                    "kvm_directed_yield_successful": 2,
                },
            })
        };
        let mut report = json!({ "complete": true, "results": OURS.map(result) });
        change(&mut report);
        check(report.to_string().as_bytes())
    }

    #[test]
    fn good_results_pass_and_each_fault_is_named() {
        let said = report(|_| ()).expect("nothing is wrong");
        assert!(said.starts_with("5 locks"), "{said}");
        for (pointer, value, said) in [
            (
                "/results/1/exclusion_violations",
                json!(1),
                "fifo-halt: two vCPUs",
            ),
            ("/results/4/acquisitions", json!(0), "fifo-bit: no progress"),
            (
                "/results/0/acquisitions",
                json!(null),
                "has no acquisitions",
            ),
            (
                "/results/2/per_vcpu/5",
                json!(0),
                "fifo-holder: vCPU 5 never",
            ),
            (
                "/results/2/per_vcpu",
                json!(vec![10; 4]),
                "4 vCPUs instead of 8",
            ),
            ("/results/2/per_vcpu", json!(null), "has no per_vcpu"),
            ("/results/3/lock", json!("fifo"), "not one of each"),
            ("/results/3/lock", json!("ticket"), "not one of each"),
            ("/complete", json!(false), "not complete"),
            ("/results", json!([]), "not one of each"),
        ] {
            let error = report(|report| *report.pointer_mut(pointer).unwrap() = value)
                .expect_err(pointer)
                .to_string();
            assert!(error.contains(said), "{pointer}: {error}");
        }
        let error = report(|report| {
            let locks = report["results"].as_array_mut().unwrap();
            locks.pop();
        });
        assert!(error.is_err(), "one lock did not run");
        assert!(check(b"{}").is_err());
        assert!(check(b"nonsense").is_err());
    }

    #[test]
    fn what_kvm_counts_for_all_locks_together_has_to_be_something() {
        for (pointer, said) in [
            (
                "/events/kvm_directed_yield_attempted",
                "0 directed yields attempted",
            ),
            ("/events/kvm_directed_yield_successful", "0 successful"),
            ("/hypercalls/halt", "no vCPU ever halted"),
        ] {
            let nothing = |result: &mut Value| *result.pointer_mut(pointer).unwrap() = json!(0);
            let all = report(|report| {
                let results = report["results"].as_array_mut().unwrap();
                results.iter_mut().for_each(nothing);
            });
            let error = all.expect_err(pointer).to_string();
            assert!(error.contains(said), "{pointer}: {error}");
            // Only some policies halt, or meet a preempted vCPU.
            let one = report(|report| nothing(&mut report["results"][1]));
            assert!(one.is_ok(), "{pointer}");
        }
    }
}
