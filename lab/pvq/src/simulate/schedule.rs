//! A random schedule in words: what its seed has drawn.

use std::fmt::Write as _;

use pvqspin_load::{Distribution, Passing, Section};
use pvqspin_report::figures::{counted, exact_time};
use pvqspin_simulator::{Jitter, SimConfig};
use pvqspin_sweep::words::distribution_name;

/// All that the simulator is asked for, a few lines.
pub(crate) fn described(schedule: &SimConfig) -> String {
    let on = |is: bool| if is { "yes" } else { "no" };
    let run = &schedule.run;
    let (host, workload) = (&run.host, &run.workload);
    let mut text = format!(
        "seed      {}\n\
         lock      {}\n\
         workload  {}, inside {}, outside {}\n\
         machine   {}, {} of {} (weight {})\n\
         host      {} slices of {}, yields: {} (loan {} at least), follows chains: {}, orders kicks: {}\n",
        schedule.seed,
        schedule.lock_name(),
        workload.id.entry().name,
        section(&workload.inside),
        section(&workload.outside),
        counted(host.pcpus, "pCPU"),
        counted(schedule.vms, "VM"),
        counted(run.vcpus, "vCPU"),
        run.weight,
        host.scheduling.name(),
        exact_time(host.slice_ns),
        host.yields.name(),
        exact_time(host.min_loan_ns),
        on(host.follow_chain),
        on(host.ordered),
    );
    if let Some(neighbour) = run.neighbour {
        let vcpus = counted(neighbour.vcpus, "vCPU");
        let (kind, weight) = (neighbour.kind.name(), neighbour.weight);
        let _ = writeln!(text, "neighbour {kind}, {vcpus} (weight {weight})");
    }
    let costs = schedule.costs.named();
    let costs = (costs.iter()).filter(|(_, ns)| *ns > 0).map(|(name, ns)| {
        format!(
            "{} {}",
            name.trim_end_matches("_ns"),
            exact_time((*ns).into())
        )
    });
    let _ = writeln!(text, "costs     {}", listed(costs));
    let faults = (run.faults.0.iter()).map(|fault| {
        let vcpu = fault.vcpu.map_or_else(
            || "any vCPU".to_owned(),
            |cpu| format!("cpu{}", cpu.index()),
        );
        let when = match fault.passing {
            Passing::Nth(nth) => format!("the passing of number {nth}"),
            Passing::Every(every) => format!("one passing in {every}"),
            Passing::OneIn(many) => format!("one passing in {many}, by chance"),
        };
        format!("{vcpu} at {:?} ({when})", fault.point)
    });
    let _ = writeln!(text, "preempts  {}", listed(faults));
    let _ = writeln!(text, "disturbs  {}", listed(disturbances(&schedule.jitter)));
    let _ = writeln!(
        text,
        "measures  {} after {} of warm-up\n",
        exact_time(run.duration_ns),
        exact_time(schedule.warmup_ns()),
    );
    text
}

fn section(section: &Section) -> String {
    let mean = exact_time(section.mean_ns.into());
    match section.distribution {
        Distribution::Fixed => mean,
        spread => format!("{mean} {}", distribution_name(spread)),
    }
}

/// What may happen at any call of the environment: one call in so many.
fn disturbances(jitter: &Jitter) -> impl Iterator<Item = String> {
    let longest = exact_time(jitter.longest_ns.into());
    [
        (jitter.delay_one_in, format!("delayed by {longest} at most")),
        (jitter.preempt_one_in, "preempted".to_owned()),
        (jitter.interrupt_one_in, "interrupted".to_owned()),
    ]
    .into_iter()
    .filter(|(one_in, _)| *one_in > 0)
    .map(|(one_in, what)| format!("one call in {one_in} {what}"))
    .chain(
        (jitter.late_timer_one_in > 0)
            .then(|| format!("one timer in {} late", jitter.late_timer_one_in)),
    )
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [] => "none".to_owned(),
        items => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_rivals::catalog::LockId;
    use pvqspin_simulator::torture;

    #[test]
    fn nothing_looks_like_a_debug_dump() {
        for seed in 0..200 {
            let text = described(&torture(LockId::Fifo, seed));
            assert!(!text.contains(['{', '}', '[']), "{text}");
            assert!(!text.contains("Some("), "{text}");
            assert!(text.lines().count() <= 11, "{text}");
        }
    }
}
