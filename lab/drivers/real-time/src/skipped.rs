//! Tests that a machine cannot run.

use std::env;
use std::fmt::Display;

/// Holds the names, with commas between them, of what this machine must be able to run.
const REQUIRED: &str = "PVQ_REQUIRE";

/// Says that something (`hypervisor`, `kvm`) was not tested, and why.
///
/// # Panics
///
/// If the environment variable `PVQ_REQUIRE` names it: where a machine is known to be able to, a test
/// that does nothing is a failure.
#[track_caller]
pub fn skipped(what: &str, reason: &dyn Display) {
    eprintln!("SKIPPED, nothing was tested: {reason}");
    let required = env::var(REQUIRED).unwrap_or_default();
    assert!(
        !names(&required, what),
        "{REQUIRED} names {what}, and this machine cannot run it: {reason}"
    );
}

fn names(required: &str, what: &str) -> bool {
    required.split(',').any(|name| name.trim() == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_told_by_whole_names() {
        assert!(names("hypervisor", "hypervisor") && names("kvm, hypervisor", "hypervisor"));
        assert!(!names("", "hypervisor") && !names("hypervisors", "hypervisor"));
    }
}
