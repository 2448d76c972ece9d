//! Runs: which, in which order, for how long, on what, and what interrupts them.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`settings`] | what is the same in every run of a command |
//! | [`plan`] | which runs, in which order, for how long |
//! | [`turns`] | the order of runs, and how long they may take |
//! | [`driver`] | the one place that talks to the embedded hypervisor |
//! | [`as_simulated`] | a run that real time has had, asked of the simulator |
//! | [`again`] | a run during which everything stood still is repeated |
//! | [`virtual_time`] | a run in virtual time: how far it is, and Ctrl-C within it |
//! | [`viewer`] | what is told how a plan goes on |
//! | [`interrupt`] | Ctrl-C, SIGTERM and SIGHUP |

pub(crate) mod again;
pub(crate) mod as_simulated;
pub(crate) mod driver;
pub(crate) mod interrupt;
pub(crate) mod plan;
pub(crate) mod settings;
pub(crate) mod turns;
pub(crate) mod viewer;
pub(crate) mod virtual_time;
