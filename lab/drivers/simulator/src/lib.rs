//! The same locks, workloads and host as in the embedded hypervisor, in virtual time.
//!
//! One OS thread simulates any number of pCPUs and vCPUs without a clock. The same configuration
//! gives the same figures, to the last digit, on any machine. Each vCPU is a coroutine that gives
//! control back where the lock calls its environment. The lock's code is not written twice.
//!
//! ```text
//!   vCPU stacks     [guest code]   [guest code]   [guest code]  ...      guest_env, vcpu
//!                        | ^            ^
//!          give back     | | resume     |                                request, shared
//!                        v |            |
//!   event loop      [ pcpu 0 ]     [ pcpu 1 ]    ...                     event_loop, host_events
//!                        \             /
//!                         [   host   ]                                   pvqspin-host
//! ```
//!
//! Imports run downwards in this table:
//!
//! | module | what it holds |
//! | --- | --- |
//! | `torture`, `explore` | random schedules from a seed, and very many of them |
//! | `dice` | random choices that a seed repeats |
//! | `readers_writers` | guests of the reader-writer lock, which check it |
//! | `guest_code` | guests that are no workload of the catalogue |
//! | `run`, `counts` | a simulation from warm-up to summary |
//! | `event_loop`, `host_events` | the event loop, and the events of the host |
//! | `spinners`, `stuck` | the vCPUs that spin; whether a run has gone wrong |
//! | `machine`, `agenda`, `memory_watchers` | the simulated machine, its next event, the pCPUs whose guests spin |
//! | `caller` | the caller of a run, which may stop it |
//! | `vcpu`, `stacks`, `pcpu` | its parts |
//! | `oracle`, `handlers` | what the ideal lock is granted; interrupt handlers with locks of their own |
//! | `guest_env` | the environment of guest code |
//! | `disturbances`, `interrupts`, `lines`, `wait_log` | what happens at a call of the environment |
//! | `shared` | what guests and the event loop share |
//! | `guest_side`, `vm_side`, `request`, `wait_limits`, `snapshots` | its parts |
//! | `underway` | how far a run is |
//! | `profile`, `config`, `error` | a machine as a file; what a simulation is asked to do, what went wrong |
//! | `costs`, `topology`, `faults`, `config_problem`, `limits` | costs, distances, disturbances, bad requests |
//!
//! # Example
//!
//! ```
//! use pvqspin_simulator::{Run, SimConfig, run};
//!
//! let run_on_two = Run::default().with(|run| {
//!     (run.host.pcpus, run.vcpus, run.duration_ns) = (2, 8, 1_000_000);
//! });
//! let config = SimConfig::from(run_on_two);
//! let result = run(&config)?;
//! assert_eq!(result.outcome.acquisitions, run(&config)?.outcome.acquisitions);
//! # Ok::<(), pvqspin_simulator::SimError>(())
//! ```

#![doc(test(attr(deny(warnings))))]

mod agenda;
mod bound;
mod caller;
mod config;
mod config_problem;
mod costs;
mod counts;
mod dice;
mod disturbances;
mod error;
mod event_loop;
mod explore;
mod faults;
mod guest_code;
mod guest_env;
mod guest_side;
mod handlers;
mod host_events;
mod interrupts;
mod limits;
mod lines;
mod machine;
mod memory_watchers;
mod oracle;
mod pcpu;
mod profile;
mod readers_writers;
mod request;
mod run;
mod shared;
mod snapshots;
mod spinners;
mod stacks;
mod stuck;
mod topology;
mod torture;
mod underway;
mod vcpu;
mod vm_side;
mod wait_limits;
mod wait_log;

pub use config::SimConfig;
pub use config_problem::ConfigProblem;
pub use costs::{Costs, LineCosts};
pub use dice::Dice;
pub use error::{Dump, SimError, VcpuDump};
pub use explore::{Explored, explore};
pub use faults::Jitter;
pub use guest_code::{GuestCode, run_code};
pub use limits::{MAX_COST_NS, MAX_TIME_NS, MAX_VCPUS};
pub use profile::{Profile, ProfileProblem};
pub use pvqspin_driver_common::{Run, Trace, TraceEvent, What};
pub use readers_writers::ReadersAndWriters;
pub use run::{SimResult, run, run_while};
pub use snapshots::{HostSnapshot, Snapshot, VcpuSnapshot};
pub use topology::Topology;
pub use torture::torture;
pub use underway::{GoesOn, Underway};
pub use wait_limits::{LongestWait, WaitLimits};
