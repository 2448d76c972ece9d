//! What a driver in real time measured about its own machine.

use serde::{Deserialize, Serialize};

/// Medians of short measurements, made before a run. They describe the machine at that moment;
/// runs do not rely on them. 0 and null: not measured.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MeasuredCosts {
    /// The time-stamp counter's frequency, in MHz.
    pub tsc_mhz: f64,
    /// One turn of the loop that stands for work, in ns: the grain of sections.
    pub compute_turn_ns: f64,
    /// Entering a vCPU and leaving it, in ns.
    pub switch_ns: f64,
    /// A hypercall that changes nothing, there and back, without the added cost, in ns.
    pub hypercall_ns: f64,
    /// A timer signal, the way to the host and back to the same vCPU, in ns: what a guest loses
    /// at the end of a slice.
    pub preemption_ns: f64,
    /// From poking another pCPU until its guest is interrupted, in ns; null with one CPU.
    pub poke_ns: Option<f64>,
    /// What the poke costs the pCPU that sends it, in ns; null with one CPU.
    pub poke_send_ns: Option<f64>,
    /// What the poke costs the guest that it interrupts, if that goes on, in ns; null with one
    /// CPU.
    pub poke_lost_ns: Option<f64>,
}
