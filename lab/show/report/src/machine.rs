//! What is recorded about the machine: enough to judge a figure, nothing that tells whose it is.
//!
//! Everything is read from files that Linux offers to every user. What cannot be read is left
//! empty: a result without a CPU name is still a result.

use std::fs;

use pvqspin_driver_common::MeasuredCosts;
use serde::{Deserialize, Serialize};

/// The machine that measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system, for example `linux`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Architecture, for example `x86_64`.
    pub arch: String,
    /// The CPU's name.
    pub cpu: String,
    /// CPUs that are online.
    pub cpus_online: usize,
    /// CPUs that this process may use.
    pub cpus_allowed: usize,
    /// Whether the CPU says that it is itself virtual: then its own host may preempt us.
    pub virtual_machine: bool,
    /// Whether the time-stamp counter runs at a constant rate and never stops.
    pub constant_tsc: bool,
    /// The frequency governor, or empty.
    pub governor: String,
    /// Load average over one minute when the command began.
    pub load_1min: f64,
    /// What the driver measured at start-up; zeros if it measured nothing.
    #[serde(flatten)]
    pub costs: MeasuredCosts,
}

impl Machine {
    /// What this machine says about itself. The costs are left at 0 for the driver.
    #[must_use]
    pub fn describe() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let flags = field(&cpuinfo, "flags");
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        Self {
            os: std::env::consts::OS.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: field(&cpuinfo, "model name").to_owned(),
            cpus_online: online(&read("/sys/devices/system/cpu/online")),
            cpus_allowed: std::thread::available_parallelism().map_or(0, usize::from),
            virtual_machine: has("hypervisor"),
            constant_tsc: has("constant_tsc") && has("nonstop_tsc"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .trim()
                .to_owned(),
            load_1min: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
            ..Self::default()
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field<'a>(cpuinfo: &'a str, name: &str) -> &'a str {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or("", |(_, value)| value.trim())
}

/// How many CPUs a list such as `0-3,6` names.
fn online(list: &str) -> usize {
    list.trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            Some(last.checked_sub(first)? + 1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(online("0-3,6\n"), 5);
        assert_eq!(online("0\n"), 1);
        assert_eq!(online(""), 0);
        assert_eq!(online("3-1,x"), 0);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "flags_x : no\nflags\t\t: a hypervisor\nflags : second\n";
        assert_eq!(field(text, "flags"), "a hypervisor");
        assert_eq!(field(text, "bugs"), "");
    }
}
