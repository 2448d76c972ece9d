//! Preempts at each point of the slow path.
use pvqspin::Point;
use pvqspin_peers::catalog::*;
use pvqspin_simulator::*;
use pvqspin_host::*;
use pvqspin_workload::*;
fn main() {
    let section = |mean_ns| Section { mean_ns, distribution: Distribution::Uniform };
    let names = std::env::args().nth(1).unwrap_or("fifo,fifo-bit,fifo-halt,fifo-holder,bounded".into());
    for (scheduling, yields) in [(Scheduling::RoundRobin, YieldMode::Contract), (Scheduling::Fair, YieldMode::Contract), (Scheduling::RoundRobin, YieldMode::Hint), (Scheduling::Fair, YieldMode::Hint)] {
    for name in names.split(',') {
        for point in Point::ALL {
            if point == Point::Fallback { continue; }
            let mut line = String::new();
            for (pcpus, over, n) in [(2usize, 4usize, 97u32), (4, 4, 97), (2,8,13), (4, 2, 7)] {
                let config = SimConfig { lock: find(name).unwrap().id, pcpus, vcpus: pcpus * over, scheduling, yields,
                    workload: HotLockConfig { inside: section(1000), outside: section(2000), seed: 1 },
                    faults: Faults(vec![Fault { point, vcpu: None, passing: Passing::Every(n) }]),
                    duration_ns: 200_000_000, ..SimConfig::default() };
                match run(&config) {
                    Ok(r) => { let o = r.outcome; let b = bound_per_s(1e3, 2e3, pcpus, pcpus*over);
                        line += &format!(" | {:.2} max {:>9} over {:>3} fired {:>5} c/a {:.3}", o.acquisitions as f64 * 1e9 / o.duration_ns as f64 / b, o.wait.max, o.waits_over_slice, r.faults_fired, (o.hypercalls.halt + o.hypercalls.kick + o.hypercalls.yield_to) as f64 / o.acquisitions.max(1) as f64); }
                    Err(e) => { let s = e.to_string(); line += &format!(" | FAILED {}", &s[..s.len().min(100)]); }
                }
            }
            println!("{scheduling} {yields} {name:12} {:8}{line}", format!("{point:?}"));
        }
    }
    }
}
