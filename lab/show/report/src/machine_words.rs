//! The machine in words.

use crate::figures::{counted, time};
use crate::machine::Machine;

impl Machine {
    /// What was measured at start-up, in one line.
    #[must_use]
    pub fn costs_in_words(&self) -> String {
        let costs = &self.costs;
        let poke = costs
            .poke_ns
            .map_or_else(|| "not measured".to_owned(), time);
        format!(
            "vCPU switch {}, bare hypercall {}, preemption {}, poke {poke}, work in grains of {:.1} ns",
            time(costs.switch_ns),
            time(costs.hypercall_ns),
            time(costs.preemption_ns),
            costs.compute_turn_ns
        )
    }

    /// One line for the head of a report.
    #[must_use]
    pub fn line(&self) -> String {
        let cpu = match self.cpu.as_str() {
            "" => "unknown CPU",
            name => name,
        };
        let place = if self.virtual_machine {
            ", itself a virtual machine"
        } else {
            ""
        };
        format!(
            "{cpu}, {} of {}, {} {} {}{place}, load {:.2}",
            self.cpus_allowed,
            counted(self.cpus_online, "CPU"),
            self.os,
            self.kernel,
            self.arch,
            self.load_1min
        )
    }
}
