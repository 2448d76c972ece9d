//! Simulates every lock at one overcommit after the other, and prints what comes out.
use pvqspin_peers::catalog::CATALOG;
use pvqspin_simulator::*;
use pvqspin_host::*;
use pvqspin_workload::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let arg = |i: usize, d: u64| a.get(i).and_then(|s| s.parse().ok()).unwrap_or(d);
    let names = a.get(1).cloned().unwrap_or("all".into());
    let pcpus = arg(2, 2) as usize;
    let sched = a.get(3).map_or(Scheduling::RoundRobin, |s| s.parse().unwrap());
    let yields = a.get(4).map_or(YieldMode::Contract, |s| s.parse().unwrap());
    let (c, n) = (arg(5, 1000) as u32, arg(6, 2000) as u32);
    let section = |mean_ns| Section { mean_ns, distribution: Distribution::Uniform };
    for over in [1usize, 2, 4, 8] {
        for e in CATALOG.iter().filter(|e| names == "all" || names.split(',').any(|x| x == e.name)) {
            let config = SimConfig { lock: e.id, pcpus, vcpus: pcpus * over, scheduling: sched, yields,
                workload: HotLockConfig { inside: section(c), outside: section(n), seed: 1 },
                duration_ns: arg(7, 200) * 1_000_000, ..SimConfig::default() };
            let t = std::time::Instant::now();
            match run(&config) {
                Ok(r) => { let o = &r.outcome;
                    let bound = bound_per_s(c.into(), n.into(), pcpus, pcpus * over);
                    let tput = o.acquisitions as f64 * 1e9 / o.duration_ns as f64;
                    println!("{over} {:14} {:.4} jain {:.3} wait p50 {} p99 {} p999 {} max {} call {} calls/acq {:.4} {:?} {:?} lhp {} lwp {} over {} ev {} {:.2}s", e.name, tput / bound, o.jain, o.wait.p50, o.wait.p99, o.wait.p999, o.wait.max, o.call.max,
                        (o.hypercalls.halt + o.hypercalls.kick + o.hypercalls.yield_to) as f64 / o.acquisitions.max(1) as f64, o.hypercalls, o.yields, o.lhp, o.lwp, o.waits_over_slice, r.events, t.elapsed().as_secs_f64()); }
                Err(e) => println!("{over} FAILED {e}"),
            }
        }
    }
}
