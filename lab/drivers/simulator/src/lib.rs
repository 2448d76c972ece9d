//! The same locks, workloads and host as in the embedded hypervisor, in virtual time.
//!
//! Any number of pCPUs and vCPUs on one OS thread, without a clock: the same configuration gives
//! the same figures, to the last digit, on any machine. Each vCPU is a coroutine that gives
//! control back where the lock's environment is called; nothing of the lock is written twice.
//!
//! ```text
//!   vCPU stacks     [guest code]   [guest code]   [guest code]  ...      guest_env, vcpu
//!                        | ^            ^
//!          give back     | | resume     |                                stage
//!                        v |            |
//!   event loop      [ pcpu 0 ]     [ pcpu 1 ]    ...                     machine, pcpu, costs
//!                        \             /
//!                         [   host   ]                                   pvqspin-host
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `config` | what a simulation is asked to do |
//! | `costs`, `topology` | what things cost in virtual time, and who is near whom |
//! | `profile` | both as a file |
//! | `faults`, `interrupts` | preemptions at chosen points, and disturbances anywhere |
//! | `guest_code` | guests that are no workload of the catalogue |
//! | `guest_env`, `oracle` | the environment of guest code, and what it grants the ideal lock |
//! | `stage`, `lines`, `waits` | what guests and the event loop share |
//! | `vcpu`, `stacks`, `pcpu`, `machine` | the simulated machine and its event loop |
//! | `agenda`, `watch` | what comes next, and who has to look after it |
//! | `run`, `counts` | a simulation from warm-up to summary |
//! | `readers_writers` | guests of the reader-writer lock, who check it |
//! | `torture`, `explore` | random schedules from a seed, and very many of them |
//! | `looks` | how everything stood, event by event |
//! | `checks`, `error` | what went wrong |
//!
//! # Example
//!
//! ```
//! use pvqspin_simulator::{SimConfig, run};
//!
//! let config = SimConfig { pcpus: 2, vcpus: 8, duration_ns: 1_000_000, ..SimConfig::default() };
//! let result = run(&config)?;
//! assert_eq!(result.outcome.acquisitions, run(&config)?.outcome.acquisitions);
//! # Ok::<(), pvqspin_simulator::SimError>(())
//! ```

#![doc(test(attr(deny(warnings))))]

mod agenda;
mod checks;
mod config;
mod costs;
mod counts;
mod error;
mod explore;
mod faults;
mod guest_code;
mod guest_env;
mod interrupts;
mod lines;
mod looks;
mod machine;
mod oracle;
mod pcpu;
mod profile;
mod readers_writers;
mod run;
mod stacks;
mod stage;
mod topology;
mod torture;
mod vcpu;
mod waits;
mod watch;

pub use config::{MAX_COST_NS, MAX_TIME_NS, MAX_VCPUS, SimConfig};
pub use costs::{Costs, LineCosts};
pub use error::{ConfigProblem, Dump, SimError, VcpuDump};
pub use explore::{Explored, explore};
pub use faults::Jitter;
pub use guest_code::{GuestCode, run_code};
pub use looks::{HostLook, Look, VcpuLook};
pub use profile::{Profile, ProfileProblem};
pub use pvqspin_driver_common::{Trace, TraceEvent, What};
pub use readers_writers::ReadersAndWriters;
pub use run::{SimResult, run};
pub use topology::Topology;
pub use torture::torture;
pub use waits::{LongestWait, WaitLimits};
