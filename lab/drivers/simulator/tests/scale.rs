//! A server full of virtual machines: 64 pCPUs, 1,024 vCPUs in 16 VMs. What it costs to simulate one
//! acquisition there, in events and in memory.

use std::fs;

use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::{SimConfig, SimResult, run};

/// 16 VMs under the hot lock, each with its own, on 64 pCPUs: 6 ms of virtual time.
fn server(lock: LockId, vcpus_each: usize) -> SimResult {
    let config = SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.host.pcpus = 64;
        sim.vms = 16;
        sim.run.vcpus = vcpus_each;
        // The turn of each comes within 5 ms.
        sim.run.host.slice_ns = 300_000;
        sim.run.warmup_ns = Some(0);
        sim.run.duration_ns = 6_000_000;
    });
    run(&config).unwrap_or_else(|error| panic!("{lock:?}, {vcpus_each} vCPUs each: {error}"))
}

#[test]
fn an_acquisition_costs_no_more_among_a_thousand_vcpus() {
    for lock in [LockId::Fifo, LockId::LinuxPv] {
        let [few, many] = [4, 64].map(|vcpus_each| {
            let result = server(lock, vcpus_each);
            assert_eq!(result.outcome.exclusion_violations, 0, "{lock:?}");
            assert_eq!(result.vms.len(), 16, "{lock:?}");
            for vm in &result.vms {
                assert!(vm.acquisitions > 0, "{lock:?}: a VM got nothing");
            }
            result.events as f64 / result.outcome.acquisitions as f64
        });
        assert!(
            many < 1.5 * few,
            "{lock:?}: {few} events each became {many}"
        );
    }
    let peak = peak_mib();
    assert!(peak.is_none_or(|mib| mib < 2_048), "{peak:?} MiB");
}

/// The most memory that this process has had; `None` where the system does not tell.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}
