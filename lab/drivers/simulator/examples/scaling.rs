//! How the simulator's own time and memory grow with the machine that it simulates.
//!
//! `cargo run --release -p pvqspin-simulator --example scaling [LOCK [MILLISECONDS]]`
//!
//! 64 pCPUs under the hot lock, 1 µs inside and 2 µs outside, one VM or sixteen, each with its
//! lock. What should stay as it is, however many vCPUs wait for a pCPU or sleep, is the time for
//! each acquisition.

use std::process::ExitCode;
use std::time::Instant;

use comfy_table::{CellAlignment, Table};
use pvqspin_rivals::catalog::{LockId, find};
use pvqspin_simulator::{SimConfig, SimError, run};

const PCPUS: usize = 64;

/// VMs, and vCPUs in each.
const MACHINES: [(usize, usize); 8] = [
    (1, 64),
    (1, 256),
    (1, 1_024),
    (1, 4_095),
    (16, 4),
    (16, 16),
    (16, 64),
    (16, 256),
];

const HEADERS: [&str; 9] = [
    "VMs",
    "vCPUs in all",
    "virtual ms",
    "acquisitions",
    "events",
    "wall s",
    "events/s",
    "ns/acquisition",
    "peak MiB",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let lock = arguments
        .next()
        .map_or(Some(LockId::Fifo), |name| find(&name).map(|entry| entry.id));
    let milliseconds = arguments.next().map_or(Some(100), |text| text.parse().ok());
    let (Some(lock), Some(milliseconds)) = (lock, milliseconds) else {
        eprintln!("usage: scaling [LOCK [MILLISECONDS]], a lock as `pvq list` names it");
        return ExitCode::from(2);
    };
    let mut table = Table::new();
    table.set_header(HEADERS);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (vms, vcpus) in MACHINES {
        match measure(lock, vms, vcpus, milliseconds) {
            Ok(row) => table.add_row(row),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        };
    }
    println!("{}, {PCPUS} pCPUs\n{table}", lock.entry().name);
    ExitCode::SUCCESS
}

fn measure(
    lock: LockId,
    vms: usize,
    vcpus: usize,
    milliseconds: u64,
) -> Result<[String; 9], SimError> {
    let config = SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.host.pcpus = PCPUS;
        sim.vms = vms;
        sim.run.vcpus = vcpus;
        sim.run.warmup_ns = Some(0);
        sim.run.duration_ns = milliseconds * 1_000_000;
    });
    forget_peak();
    let began = Instant::now();
    let result = run(&config)?;
    let wall = began.elapsed().as_secs_f64();
    let acquisitions = result.outcome.acquisitions;
    Ok([
        vms.to_string(),
        (vms * vcpus).to_string(),
        milliseconds.to_string(),
        acquisitions.to_string(),
        result.events.to_string(),
        format!("{wall:.2}"),
        format!("{:.1} M", result.events as f64 / wall / 1e6),
        format!("{:.0}", wall * 1e9 / acquisitions as f64),
        peak_mib().map_or_else(|| "?".to_owned(), |mib| mib.to_string()),
    ])
}

/// Linux keeps the most memory that a process ever had; this makes it begin anew. Elsewhere, and
/// if it may not, the peak is that of all rows so far.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}
