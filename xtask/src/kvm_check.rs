//! What must hold on a stock KVM host, read off the results of `pvq kvm`.
//!
//! Counters and relations only: times mean nothing in an emulated machine.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The arguments of the run that is looked at: every lock of ours, four vCPUs for each processor. The
/// watchdog is what finds a lost wake-up: KVM ends no halt by itself.
pub(crate) const ARGUMENTS: [&str; 20] = [
    "kvm",
    "--transport",
    "stock",
    "--pcpus",
    "2",
    "--lock",
    "ours",
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

/// Checks the results; says what they show.
pub(crate) fn check(json: &[u8]) -> Result<String> {
    let report: Value = serde_json::from_slice(json).context("the results are no JSON")?;
    let results = report["results"]
        .as_array()
        .filter(|results| !results.is_empty())
        .context("there are no results")?;
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
        ensure!(
            field("halt_timeouts")? == 0,
            "{lock}: a halt ended by its timeout"
        );
        ensure!(field("acquisitions")? > 0, "{lock}: no progress");
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
        "{} locks: mutual exclusion, progress, {halts} halts that all ended; {attempted} directed yields attempted, \
         {successful} successful",
        results.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(change: impl FnOnce(&mut Value)) -> Result<String> {
        let mut result = json!({
            "lock": "fifo",
            "exclusion_violations": 0,
            "halt_timeouts": 0,
            "acquisitions": 10,
            "hypercalls": { "halt": 3 },
            "events": {
                "kvm_directed_yield_attempted": 5,
                "kvm_directed_yield_successful": 2,
            },
        });
        change(&mut result);
        check(json!({ "results": [result] }).to_string().as_bytes())
    }

    #[test]
    fn good_results_pass_and_each_fault_is_named() {
        assert!(report(|_| ()).is_ok());
        for (pointer, value, said) in [
            ("/exclusion_violations", json!(1), "at once"),
            ("/halt_timeouts", json!(1), "timeout"),
            ("/acquisitions", json!(0), "no progress"),
            ("/acquisitions", json!(null), "has no acquisitions"),
            (
                "/events/kvm_directed_yield_successful",
                json!(0),
                "0 successful",
            ),
            ("/hypercalls/halt", json!(0), "no wake-up"),
        ] {
            let error = report(|result| *result.pointer_mut(pointer).unwrap() = value)
                .expect_err(pointer)
                .to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(check(b"{\"results\": []}").is_err());
        assert!(check(b"nonsense").is_err());
    }
}
