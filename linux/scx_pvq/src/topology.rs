//! CPUs, and which of them share a last-level cache: those share a run queue.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::shared::{MAX_CPUS, MAX_DOMAINS};

/// The domain of each CPU, from 0.
pub(crate) struct Topology {
    pub(crate) domain_of: Vec<u8>,
    pub(crate) domains: usize,
}

/// Of this machine.
pub(crate) fn read() -> Result<Topology> {
    let cpus = libbpf_rs::num_possible_cpus()?;
    ensure!(
        cpus <= MAX_CPUS,
        "this machine may have {cpus} CPUs, and scx_pvq has room for {MAX_CPUS}"
    );
    let keys = (0..cpus).map(|cpu| key(Path::new("/sys/devices/system/cpu"), cpu));
    Ok(group(keys))
}

/// Numbers what is the same the same. A machine with more domains than there is room for has neighbours share.
fn group(keys: impl Iterator<Item = String>) -> Topology {
    let keys: Vec<String> = keys.collect();
    let mut numbers = BTreeMap::new();
    for key in &keys {
        let next = numbers.len();
        numbers.entry(key.clone()).or_insert(next);
    }
    let merged = numbers.len().div_ceil(MAX_DOMAINS).max(1);
    let domain_of = keys
        .iter()
        .map(|key| (numbers[key] / merged) as u8)
        .collect();
    Topology {
        domain_of,
        domains: numbers.len().div_ceil(merged).max(1),
    }
}

/// What CPUs of one domain have in common: their last-level cache, or their package if the kernel does not know it.
fn key(base: &Path, cpu: usize) -> String {
    let dir = base.join(format!("cpu{cpu}"));
    let read = |path: &str| {
        fs::read_to_string(dir.join(path))
            .ok()
            .map(|text| text.trim().to_owned())
    };
    (2..=4)
        .rev()
        .find_map(|index| {
            let level = read(&format!("cache/index{index}/level"))?;
            let list = read(&format!("cache/index{index}/shared_cpu_list"))?;
            (level.parse::<u32>().ok()? >= 3).then(|| format!("cache {list}"))
        })
        .or_else(|| read("topology/physical_package_id").map(|id| format!("package {id}")))
        .unwrap_or_default()
}

/// For people.
pub(crate) fn describe(topology: &Topology) -> String {
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "{} in {}",
        many(topology.domain_of.len(), "CPU"),
        many(topology.domains, "cache domain")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_with_one_cache_share_a_domain() {
        let topology = group(["a", "a", "b", "a", "b"].map(str::to_owned).into_iter());
        assert_eq!(topology.domain_of, [0, 0, 1, 0, 1]);
        assert_eq!(describe(&topology), "5 CPUs in 2 cache domains");
    }

    #[test]
    fn more_domains_than_there_is_room_for_are_merged() {
        let topology = group((0..200).map(|cpu| cpu.to_string()));
        assert!(topology.domains <= MAX_DOMAINS, "{}", topology.domains);
        assert!(
            topology
                .domain_of
                .iter()
                .all(|&domain| usize::from(domain) < topology.domains)
        );
        assert_eq!(topology.domain_of.len(), 200);
    }
}
