//! Prints what happened around the longest wait.
use pvqspin_peers::catalog::*;
use pvqspin_simulator::*;
use pvqspin_host::*;
use pvqspin_workload::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let arg = |i: usize, d: u64| a.get(i).and_then(|s| s.parse().ok()).unwrap_or(d);
    let pcpus = arg(2, 2) as usize;
    let section = |mean_ns| Section { mean_ns, distribution: Distribution::Uniform };
    let config = SimConfig { lock: catalog_find(&a[1]), pcpus, vcpus: pcpus * arg(3, 4) as usize,
        scheduling: a.get(4).map_or(Scheduling::RoundRobin, |s| s.parse().unwrap()),
        yields: a.get(5).map_or(YieldMode::Contract, |s| s.parse().unwrap()),
        workload: HotLockConfig { inside: section(arg(6, 1000) as u32), outside: section(arg(7, 2000) as u32), seed: arg(9, 1) },
        duration_ns: arg(8, 200) * 1_000_000, trace: true, faults: Faults(match a.get(10) { Some(n) => vec![Fault { point: *pvqspin::Point::ALL.iter().find(|p| format!("{p:?}") == *n).unwrap(), vcpu: None, passing: Passing::Every(arg(11, 13) as u32) }], None => vec![] }), ..SimConfig::default() };
    let r = run(&config).unwrap();
    let w = r.longest_wait;
    println!("{w:?}");
    let from = w.ended_ns - w.ns;
    let near: Vec<_> = r.trace.iter().filter(|e| e.at_ns + 8_000 >= from && e.at_ns <= w.ended_ns + 1_000).collect();
    for e in near.iter().take(150) { println!("{e}"); }
    println!("... {}", near.len());
    for e in near.iter().skip(150.max(near.len().saturating_sub(60))) { println!("{e}"); }
}
fn catalog_find(n: &str) -> LockId { find(n).unwrap().id }
