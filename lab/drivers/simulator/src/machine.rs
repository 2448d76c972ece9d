//! The event loop: always the pCPU whose next event is the earliest, ties by number.
//!
//! Every step of a guest is taken at the instant at which it happens, one after the other, so
//! memory is sequentially consistent and a run is the same every time. After each step and each
//! event of the host, those who spin and may see something new look at their conditions again:
//!
//! ```text
//!   a step of a guest        writes its own VM's memory              that VM's watchers look
//!   an event of the host     the pages of whom it took off, put on   their VMs' watchers look
//!                            or woke (the caller's VM)
//!                            who waits for a pCPU at all changed     everybody looks
//! ```
//!
//! So an event costs what happens in it, whatever else there is: vCPUs that sleep or wait for a
//! pCPU cost nothing, and what goes on in one VM costs nothing for another.

use pvqspin_abi::{Cpu, Hypercall, RunState};
use pvqspin_host::{self as host, Host, Outcome, Run, VcpuId};

use crate::agenda::Agenda;
use crate::checks::Patience;
use crate::error::SimError;
use crate::pcpu::{Pcpu, Phase};
use crate::stage::{Request, Stage};
use crate::vcpu::{Activity, Spin, Vcpu};
use crate::watch::Watchers;
use pvqspin_driver_common::GuestMemory;
use pvqspin_driver_common::What;

/// More events than this at one instant, and time stands still.
const MOST_EVENTS_AT_ONCE: u64 = 1_000_000;

/// The simulated machine.
pub(crate) struct Machine<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) vcpus: Vec<Vcpu<'a>>,
    pub(crate) host: Host<&'static GuestMemory>,
    pcpus: Vec<Pcpu>,
    agenda: Agenda,
    watchers: Watchers,
    /// What the pages of all VMs say about whether anybody waits for a pCPU.
    pressure: bool,
    /// That has just changed, and those who wait for it have not looked yet.
    everybody_looks: bool,
    /// What the event at hand costs its pCPU before anybody runs there: pokes that it sent, the
    /// interruption itself.
    owed_ns: u64,
    ended: usize,
    pub(crate) events: u64,
    /// How many of them were at the present instant.
    events_now: u64,
    pub(crate) lock: &'static str,
    pub(crate) seed: u64,
    pub(crate) patience: Patience,
    pub(crate) next_check_ns: u64,
    pub(crate) progress: &'a dyn Fn() -> u64,
    pub(crate) progress_before: (u64, u64),
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        stage: &'a Stage,
        vcpus: Vec<Vcpu<'a>>,
        host: Host<&'static GuestMemory>,
        (lock, seed): (&'static str, u64),
        patience: Patience,
        progress: &'a dyn Fn() -> u64,
    ) -> Self {
        let now = stage.now.get();
        let pcpus = (0..host.config().pcpus).map(|_| Pcpu::new(now)).collect();
        let vms = stage.vms.len();
        let mut machine = Self {
            agenda: Agenda::new(host.config().pcpus),
            watchers: Watchers::new(vms, host.config().pcpus),
            pressure: false,
            everybody_looks: false,
            owed_ns: 0,
            stage,
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
        self.stage.now.get()
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.ended == self.vcpus.len()
    }

    /// Runs until that time, or until every vCPU has ended.
    pub(crate) fn run_until(&mut self, deadline: u64) -> Result<(), SimError> {
        while !self.all_ended() {
            let Some((at, p)) = self.agenda.earliest() else {
                return Err(SimError::AllAsleep(self.dump()));
            };
            if at >= deadline {
                break;
            }
            debug_assert!(at >= self.now(), "an event was missed");
            self.events_now = if at == self.now() {
                self.events_now + 1
            } else {
                0
            };
            if self.events_now > MOST_EVENTS_AT_ONCE {
                return Err(SimError::Standstill(at, self.dump()));
            }
            self.stage.now.set(at);
            self.events += 1;
            self.handle(p);
            if let Some(limit) = self.stage.broken.take() {
                return Err(self.broken(limit));
            }
            if at >= self.next_check_ns {
                self.check()?;
            }
        }
        self.stage.now.set(deadline.max(self.now()));
        self.settle_all();
        Ok(())
    }

    /// Notes what has changed on a pCPU: when its next event is, and what its guest watches.
    fn refresh(&mut self, p: usize) {
        let pcpu = &mut self.pcpus[p];
        let step = |vcpu: VcpuId| pcpu.step_time(&self.vcpus[vcpu.index()].activity);
        self.agenda.set(p, pcpu.next_event(step));
        let spinner = match (pcpu.phase, pcpu.run.vcpu) {
            (Phase::Guest, Some(id)) => match &self.vcpus[id.index()].activity {
                Activity::Spin(spin) => Some((&self.stage.guests[id.index()], spin)),
                _ => None,
            },
            _ => None,
        };
        let watches = spinner.filter(|(_, spin)| spin.sees_at.is_none());
        self.watchers.set(p, watches.map(|(guest, _)| guest.vm));
        let polls = spinner.filter(|(guest, _)| guest.polls_word.get());
        let polls = polls.map(|(guest, _)| guest.vm);
        let before = core::mem::replace(&mut pcpu.polls_word_of, polls);
        self.stage.poller_moves(before, polls);
    }

    fn handle(&mut self, p: usize) {
        let now = self.now();
        self.stage.pcpu.set(p);
        match self.pcpus[p].phase {
            Phase::Idle => self.interrupted(p),
            Phase::Entering(_) => self.entered(p),
            Phase::Calling(call, _) => self.call(p, call),
            Phase::Guest => {
                self.settle(p);
                let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
                if due(self.pcpus[p].run.until) || due(self.pcpus[p].poked_at) {
                    self.interrupted(p);
                } else {
                    self.step(p);
                }
            }
        }
    }

    // --- time ----------------------------------------------------------------------------------

    /// Accounts for the time that the guest of a pCPU has spent since the last time.
    fn settle(&mut self, p: usize) {
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
                    let guest = &self.stage.guests[vcpu.index()];
                    guest.wasted_ns.set(guest.wasted_ns.get() + passed);
                }
            }
            Activity::Ready | Activity::Away | Activity::Ended => {}
        }
    }

    fn settle_all(&mut self) {
        (0..self.pcpus.len()).for_each(|p| self.settle(p));
    }

    // --- what the guest of a pCPU does ---------------------------------------------------------

    fn step(&mut self, p: usize) {
        let Some(id) = self.pcpus[p].run.vcpu else {
            return;
        };
        let vcpu = id.index();
        if matches!(self.vcpus[vcpu].activity, Activity::Spin(_)) && !self.spin_is_over(vcpu) {
            self.refresh(p);
            return;
        }
        self.stage.current.set(vcpu);
        let request = self.vcpus[vcpu].step();
        let now = self.now();
        match request {
            Some(Request::Compute(ns)) => {
                self.vcpus[vcpu].activity = Activity::Compute { left: ns };
            }
            Some(Request::Spin(condition, budget)) => {
                self.vcpus[vcpu].activity = Activity::Spin(Spin {
                    condition,
                    left: budget.map(u64::from),
                    sees_at: None,
                });
            }
            Some(Request::Call(call)) => {
                self.vcpus[vcpu].activity = Activity::Away;
                let half = u64::from(self.stage.costs.hypercall_ns / 2);
                self.pcpus[p].phase = Phase::Calling(call, now + half);
            }
            Some(Request::Lose) => {
                self.vcpus[vcpu].activity = Activity::Away;
                self.look_after_step(p, vcpu);
                let run = self.event(|host, now| host.preempt(now, pcpu(p)).run);
                self.follow(p, run, 0);
                return;
            }
            None => {
                self.vcpus[vcpu].activity = Activity::Ended;
                self.ended += 1;
                self.stage.record(Some(vcpu), What::Done);
                self.look_after_step(p, vcpu);
                let run = self.event(|host, now| host.exit(now, pcpu(p)).run);
                self.follow(p, run, 0);
                return;
            }
        }
        self.look_after_step(p, vcpu);
    }

    fn look_after_step(&mut self, p: usize, vcpu: usize) {
        self.refresh(p);
        self.look_again(self.stage.guests[vcpu].vm, p);
        debug_assert!(self.everybody_has_looked(), "a condition reads another VM");
    }

    /// A waiter has looked, or its budget is gone: whether it goes on. The reply says which.
    fn spin_is_over(&mut self, vcpu: usize) -> bool {
        let now = self.now();
        let Activity::Spin(spin) = &mut self.vcpus[vcpu].activity else {
            return true;
        };
        let spent = spin.left == Some(0);
        let sees = spin.sees_at.is_some_and(|at| at <= now);
        let condition = spin.condition;
        if sees {
            spin.sees_at = None;
        }
        let held = (sees || spent) && self.holds(vcpu, condition);
        self.vcpus[vcpu].reply.held = held;
        held || spent
    }

    /// Looks at the condition of a vCPU that is suspended in it.
    fn holds(&self, vcpu: usize, condition: crate::stage::Condition) -> bool {
        self.stage.current.set(vcpu);
        self.stage.looking.set(true);
        // SAFETY: the vCPU is suspended in `spin_until`, whose frame owns the condition, and
        // will not look at it itself before it is resumed.
        let held = unsafe { (*condition)() };
        self.stage.looking.set(false);
        held
    }

    /// A pCPU may have written to a VM's memory: who spins there sees it, a line transfer later.
    fn look_again(&mut self, vm: usize, writer: usize) {
        let mut from = 0;
        while let Some(p) = self.watchers.next(vm, from) {
            self.look_again_on(p, writer);
            from = p + 1;
        }
    }

    /// Whether all those who spin and do not know it yet would still look in vain.
    fn everybody_has_looked(&self) -> bool {
        (self.pcpus.iter()).all(|pcpu| match (pcpu.phase, pcpu.run.vcpu) {
            (Phase::Guest, Some(id)) => match self.vcpus[id.index()].activity {
                Activity::Spin(Spin {
                    condition,
                    sees_at: None,
                    ..
                }) => !self.holds(id.index(), condition),
                _ => true,
            },
            _ => true,
        })
    }

    fn look_again_on(&mut self, p: usize, writer: usize) {
        let (Phase::Guest, Some(id)) = (self.pcpus[p].phase, self.pcpus[p].run.vcpu) else {
            return;
        };
        let vcpu = id.index();
        let Activity::Spin(Spin {
            condition,
            sees_at: None,
            ..
        }) = self.vcpus[vcpu].activity
        else {
            return;
        };
        if !self.holds(vcpu, condition) {
            return;
        }
        let sees_at = self.now() + self.stage.sight(vcpu, writer, p);
        if let Activity::Spin(spin) = &mut self.vcpus[vcpu].activity {
            spin.sees_at = Some(sees_at);
        }
        self.refresh(p);
    }

    // --- events of the host --------------------------------------------------------------------

    /// Slice end or poke: the pCPU asks the host.
    fn interrupted(&mut self, p: usize) {
        let now = self.now();
        let poked = self.pcpus[p].poked_at.is_some_and(|at| at <= now);
        if poked {
            self.pcpus[p].poked_at = None;
        }
        if matches!(self.pcpus[p].phase, Phase::Guest) {
            let vcpu = self.pcpus[p].run.vcpu.map(VcpuId::index);
            let why = if poked { What::Poked } else { What::SliceEnd };
            self.stage.record(vcpu, why);
            self.owed_ns += u64::from(self.stage.costs.interrupt_ns);
        }
        let run = self.event(|host, now| host.reschedule(now, pcpu(p)));
        self.follow(p, run, 0);
    }

    fn call(&mut self, p: usize, call: Hypercall) {
        let Some(caller) = self.pcpus[p].run.vcpu else {
            return;
        };
        let outcome: Outcome = self.event(|host, now| host.hypercall(now, pcpu(p), call));
        let vcpu = &mut self.vcpus[caller.index()];
        vcpu.reply.status = outcome.status;
        vcpu.calls.count(call, outcome.status);
        if self.host.run_state(caller) == Some(RunState::Halted) {
            vcpu.halted_since = Some(self.stage.now.get());
        }
        let what = match call {
            Hypercall::Halt(hint) => What::Halt(hint.map(|hint| hint.cpu), outcome.status),
            Hypercall::Kick(cpu) => What::Kick(cpu, outcome.status),
            Hypercall::YieldTo(hint) => What::YieldTo(hint.cpu, outcome.status),
        };
        self.stage.record(Some(caller.index()), what);
        let whole = u64::from(self.stage.costs.hypercall_ns);
        self.follow(p, outcome.run, whole - whole / 2);
    }

    /// Tells the host what happened, and pokes whom it wants poked.
    fn event<R>(&mut self, tell: impl FnOnce(&mut Host<&'static GuestMemory>, u64) -> R) -> R {
        let now = self.now();
        let result = tell(&mut self.host, now);
        while let Some(poked) = self.host.next_poke() {
            self.poke(poked.index());
        }
        self.show_host();
        let pressure = self.pressure_now();
        if pressure != self.pressure {
            // Whether time is wasted depends on it: account for what passed before.
            self.settle_all();
            self.pressure = pressure;
            self.everybody_looks = true;
        }
        result
    }

    /// It is the same on the pages of all VMs.
    fn pressure_now(&self) -> bool {
        (self.stage.guests.first()).is_some_and(|guest| guest.memory.vm_page().pressure())
    }

    fn poke(&mut self, p: usize) {
        let costs = &self.stage.costs;
        self.owed_ns += u64::from(costs.poke_send_ns);
        let mut at = self.now() + u64::from(costs.poke_ns);
        if let Some(pcpu) = self.pcpus.get_mut(p) {
            if matches!(pcpu.phase, Phase::Idle) {
                at += u64::from(costs.wake_ns);
            }
            pcpu.poked_at = crate::pcpu::earlier(pcpu.poked_at, Some(at));
            self.refresh(p);
        }
    }

    /// Does on a pCPU what the host says, after what that costs and what the pCPU owes.
    fn follow(&mut self, p: usize, run: Run, cost_ns: u64) {
        let now = self.now();
        let owed_ns = core::mem::take(&mut self.owed_ns);
        let slice_ns = self.host.config().slice_ns;
        let pcpu = &mut self.pcpus[p];
        let touched = [pcpu.run.vcpu, run.vcpu];
        if let Some(left) = pcpu.run.vcpu {
            self.vcpus[left.index()].off_since = Some(now);
        }
        pcpu.run = Run {
            until: (run.until)
                .map(|at| self.stage.timer_comes(at, slice_ns))
                .map(|at| self.stage.costs.noticed(at)),
            ..run
        };
        pcpu.settled_ns = now;
        if run.vcpu.is_none() {
            pcpu.phase = Phase::Idle;
            pcpu.last = None;
            self.stage.record(None, What::Idle);
        } else {
            let switch = if pcpu.last == run.vcpu {
                0
            } else {
                u64::from(self.stage.costs.switch_ns)
            };
            pcpu.last = run.vcpu;
            pcpu.phase = Phase::Entering(now + owed_ns + cost_ns + switch);
            if switch > 0 || cost_ns == 0 {
                let vcpu = run.vcpu.map(VcpuId::index);
                self.stage.record(vcpu, What::Enter);
            }
        }
        self.refresh(p);
        self.look_after_event(p, touched);
    }

    /// The host wrote to the pages of these vCPUs, and perhaps of others of the same VMs.
    fn look_after_event(&mut self, p: usize, touched: [Option<VcpuId>; 2]) {
        if core::mem::take(&mut self.everybody_looks) {
            (0..self.stage.vms.len()).for_each(|vm| self.look_again(vm, p));
        } else {
            let mut before = None;
            for vm in touched.map(|id| id.map(|id| self.stage.guests[id.index()].vm)) {
                if vm != before
                    && let Some(vm) = vm
                {
                    self.look_again(vm, p);
                }
                before = vm;
            }
        }
        debug_assert!(self.everybody_has_looked(), "the host wrote to another VM");
    }

    /// The guest of a pCPU goes on.
    fn entered(&mut self, p: usize) {
        let now = self.now();
        let pcpu = &mut self.pcpus[p];
        pcpu.phase = Phase::Guest;
        pcpu.settled_ns = now;
        let Some(id) = pcpu.run.vcpu else { return };
        let vcpu = &mut self.vcpus[id.index()];
        vcpu.halted_since = None;
        vcpu.off_since = None;
        if let Activity::Spin(spin) = &mut vcpu.activity {
            spin.sees_at = None;
        }
        let guest = &self.stage.guests[id.index()];
        let generation = guest.memory.page(guest.cpu).run().generation().get();
        if core::mem::replace(&mut vcpu.generation, generation) != generation {
            guest.entered_ns.set(now);
            guest.ran_at.set(p);
        }
        self.refresh(p);
        self.look_again_on(p, self.stage.word_of(id.index()));
    }
}

fn pcpu(index: usize) -> host::Pcpu {
    host::Pcpu::new(index as u32)
}

/// The numbers of a VM's vCPUs.
pub(crate) fn cpus(vcpus: usize) -> impl Iterator<Item = Cpu> {
    (0..vcpus).filter_map(Cpu::new)
}
