//! The simulated machine: its vCPUs and pCPUs, the host, and the time that they have accounted for.

use pvqspin_driver_common::GuestMemory;
use pvqspin_host::{self as host, Host, VcpuId};

use crate::agenda::Agenda;
use crate::caller::Caller;
use crate::memory_watchers::Watchers;
use crate::pcpu::{Pcpu, Phase};
use crate::shared::Shared;
use crate::vcpu::{Activity, Vcpu};

/// What makes a run hopeless.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) stall_after_ns: u64,
    pub(crate) halt_timeout_ns: u64,
}

/// The simulated machine.
pub(crate) struct Machine<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) vcpus: Vec<Vcpu<'a>>,
    pub(crate) host: Host<&'static GuestMemory>,
    pub(crate) pcpus: Vec<Pcpu>,
    pub(crate) agenda: Agenda,
    pub(crate) watchers: Watchers,
    /// What the pages of all VMs say about whether any vCPU waits for a pCPU.
    pub(crate) pressure: bool,
    /// That has just changed, and those who wait for it have not looked yet.
    pub(crate) all_recheck: bool,
    /// What the event at hand costs its pCPU before any vCPU runs there: pokes that it sent, the
    /// interruption itself.
    pub(crate) owed_ns: u64,
    pub(crate) ended: usize,
    pub(crate) events: u64,
    /// How many of them were at the present instant.
    pub(crate) events_now: u64,
    pub(crate) lock: &'static str,
    pub(crate) seed: u64,
    pub(crate) patience: Patience,
    pub(crate) next_check_ns: u64,
    pub(crate) progress: &'a dyn Fn() -> u64,
    pub(crate) progress_before: (u64, u64),
    pub(crate) caller: Caller<'a>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        vcpus: Vec<Vcpu<'a>>,
        host: Host<&'static GuestMemory>,
        (lock, seed): (&'static str, u64),
        patience: Patience,
        progress: &'a dyn Fn() -> u64,
        caller: Caller<'a>,
    ) -> Self {
        let now = shared.now.get();
        let pcpus = (0..host.config().pcpus).map(|_| Pcpu::new(now)).collect();
        let vms = shared.vms.len();
        let mut machine = Self {
            agenda: Agenda::new(host.config().pcpus),
            watchers: Watchers::new(vms, host.config().pcpus),
            pressure: false,
            all_recheck: false,
            owed_ns: 0,
            shared,
            vcpus,
            host,
            pcpus,
            ended: 0,
            events: 0,
            events_now: 0,
            lock,
            seed,
            patience,
            next_check_ns: now,
            progress,
            progress_before: (now, 0),
            caller,
        };
        for index in 0..machine.vcpus.len() {
            machine.host.start(now, VcpuId::new(index as u32));
            machine.vcpus[index].off_since = Some(now);
        }
        // Every pCPU is poked at boot as it is.
        while machine.host.next_poke().is_some() {}
        machine.pressure = machine.pressure_now();
        (0..machine.pcpus.len()).for_each(|p| machine.refresh(p));
        machine
    }

    pub(crate) fn now(&self) -> u64 {
        self.shared.now.get()
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.ended == self.vcpus.len()
    }

    /// Notes what has changed on a pCPU: when its next event is, and what its guest watches.
    pub(crate) fn refresh(&mut self, p: usize) {
        let pcpu = &mut self.pcpus[p];
        let step = |vcpu: VcpuId| pcpu.step_time(&self.vcpus[vcpu.index()].activity);
        self.agenda.set(p, pcpu.next_event(step));
        let spinner = match (pcpu.phase, pcpu.run.vcpu) {
            (Phase::Guest, Some(id)) => match &self.vcpus[id.index()].activity {
                Activity::Spin(spin) => Some((&self.shared.guests[id.index()], spin)),
                _ => None,
            },
            _ => None,
        };
        let watches = spinner.filter(|(_, spin)| spin.sees_at.is_none());
        self.watchers.set(p, watches.map(|(guest, _)| guest.vm));
        let polls = spinner.filter(|(guest, _)| guest.polls_word.get());
        let polls = polls.map(|(guest, _)| guest.vm);
        let before = core::mem::replace(&mut pcpu.polls_word_of, polls);
        self.shared.poller_moves(before, polls);
    }

    /// It is the same on the pages of all VMs.
    pub(crate) fn pressure_now(&self) -> bool {
        (self.shared.guests.first()).is_some_and(|guest| guest.memory.vm_page().pressure())
    }

    /// Accounts for the time that the guest of a pCPU has spent since the last time.
    pub(crate) fn settle(&mut self, p: usize) {
        let now = self.now();
        let pcpu = &mut self.pcpus[p];
        let passed = now.saturating_sub(pcpu.settled_ns);
        pcpu.settled_ns = now;
        let (Phase::Guest, Some(vcpu)) = (pcpu.phase, pcpu.run.vcpu) else {
            return;
        };
        match &mut self.vcpus[vcpu.index()].activity {
            Activity::Compute { left } => *left = left.saturating_sub(passed),
            Activity::Spin(spin) => {
                spin.left = spin.left.map(|left| left.saturating_sub(passed));
                // What the host said all the while: `event` settles before that changes.
                if self.pressure {
                    let guest = &self.shared.guests[vcpu.index()];
                    guest.wasted_ns.set(guest.wasted_ns.get() + passed);
                }
            }
            Activity::Ready | Activity::Away | Activity::Ended => {}
        }
    }

    pub(crate) fn settle_all(&mut self) {
        (0..self.pcpus.len()).for_each(|p| self.settle(p));
    }
}

/// The host's name of a pCPU.
pub(crate) fn pcpu(index: usize) -> host::Pcpu {
    host::Pcpu::new(index as u32)
}
