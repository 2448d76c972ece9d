//! Names from the command line that a grid file does not have; the others are
//! [`pvqspin_sweep::words`].

use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_peers::catalog::{self, Entry};
use pvqspin_sweep::words::{DISTRIBUTIONS, named, unknown};
use pvqspin_workload::Distribution;
use pvqspin_workload::catalog::{self as workloads, Entry as Workload};

pub(crate) use pvqspin_sweep::words::{
    LockChoice, at_least_one, chosen, lock, overcommit, section, section_or_zero, time,
    time_or_zero,
};

/// Reads exactly one lock.
pub(crate) fn one_lock(text: &str) -> Result<&'static Entry, String> {
    catalog::find(text.trim()).ok_or_else(|| {
        let names = catalog::CATALOG.iter().map(|entry| entry.name);
        unknown("lock", text, names)
    })
}

/// Reads the name of a workload.
pub(crate) fn workload(text: &str) -> Result<&'static Workload, String> {
    workloads::find(text.trim()).ok_or_else(|| {
        let names = workloads::CATALOG.iter().map(|entry| entry.name);
        unknown("workload", text, names)
    })
}

/// Reads a scheduling policy of the host.
pub(crate) fn scheduling(text: &str) -> Result<Scheduling, String> {
    named(
        "scheduling",
        text,
        Scheduling::ALL.map(|one| (one.name(), one)),
    )
}

/// Reads what a directed yield is.
pub(crate) fn yields(text: &str) -> Result<YieldMode, String> {
    named(
        "kind of yield",
        text,
        YieldMode::ALL.map(|one| (one.name(), one)),
    )
}

/// Reads a distribution.
pub(crate) fn distribution(text: &str) -> Result<Distribution, String> {
    named("distribution", text, DISTRIBUTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        assert!(
            scheduling("roundrobin")
                .expect_err("a typo")
                .contains("'round-robin'")
        );
        assert!(yields("hints").expect_err("a typo").contains("'hint'"));
        assert!(
            workload("hotlock")
                .expect_err("a typo")
                .contains("'hot-lock'")
        );
    }
}
