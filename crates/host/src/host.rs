//! The host: its events, and the decisions that come out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use pvqspin_abi::{Cpu, Generation, Hypercall, RunSample, RunState, Status};

use crate::accounting::{Account, Ledger};
use crate::config::{Config, ConfigError, Scheduling, VmConfig};
use crate::cosched::Gangs;
use crate::credit::Credits;
use crate::ids::{Pcpu, VcpuId, VmId};
use crate::order::{Place, RunOrder};
use crate::pages::GuestPages;
use crate::pcpu::{Occupant, PcpuState};
use crate::stats::VcpuStats;
use crate::vcpu::{State, Vcpu};

/// What a pCPU shall do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a pCPU that does not follow it runs something else than the host believes"]
pub struct Run {
    /// The vCPU to run; `None`: wait for a poke.
    pub vcpu: Option<VcpuId>,
    /// When to call [`Host::reschedule`] at the latest, in nanoseconds on the driver's clock. It
    /// may have passed already.
    pub until: Option<u64>,
}

impl Run {
    /// Nothing: wait for a poke.
    pub const IDLE: Self = Self {
        vcpu: None,
        until: None,
    };
}

/// What became of a call by the vCPU on a pCPU, and what the pCPU shall do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a pCPU that does not follow it runs something else than the host believes"]
pub struct Outcome {
    /// For the caller, when it runs again.
    pub status: Status,
    /// For the pCPU.
    pub run: Run,
}

impl Outcome {
    const NO_SUCH_PCPU: Self = Self {
        status: Status::Refused,
        run: Run::IDLE,
    };
}

#[derive(Debug)]
pub(crate) struct Vm<P> {
    pub(crate) pages: P,
    /// The host-wide number of its first vCPU.
    pub(crate) base: u32,
    pub(crate) vcpus: usize,
    pub(crate) weight: u32,
}

/// The hypervisor's scheduler as a state machine: events and time go in, decisions come out.
///
/// It has no clock, no thread and no randomness: the same events give the same decisions. A
/// driver calls it from one place at a time (under a lock, if its pCPUs are threads), passes a
/// monotonic time in nanoseconds, follows every [`Run`], and after every event drains
/// [`next_poke`](Self::next_poke): each pCPU that comes out has to call
/// [`reschedule`](Self::reschedule) soon. A time before the latest one counts as the latest one.
///
/// A pCPU or vCPU number that does not exist has no effect.
///
/// # Panics
///
/// Nothing here panics, whatever guests call or write. (A [`GuestPages`] may, if it has fewer pages
/// than its VM has vCPUs.)
#[derive(Debug)]
pub struct Host<P> {
    pub(crate) config: Config,
    pub(crate) clock: u64,
    pub(crate) vms: Vec<Vm<P>>,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) pcpus: Vec<PcpuState>,
    pub(crate) idle_pcpus: usize,
    pub(crate) order: RunOrder,
    pub(crate) ledger: Ledger,
    pub(crate) credits: Credits,
    pub(crate) gangs: Gangs,
    pub(crate) pokes: VecDeque<Pcpu>,
    pub(crate) pressure: bool,
}

impl<P: GuestPages> Host<P> {
    /// A host without VMs.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense; the error says why.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            clock: 0,
            vms: Vec::new(),
            vcpus: Vec::new(),
            pcpus: (0..config.pcpus).map(|_| PcpuState::default()).collect(),
            idle_pcpus: config.pcpus,
            order: RunOrder::default(),
            ledger: Ledger::default(),
            credits: Credits::default(),
            gangs: Gangs::default(),
            pokes: VecDeque::new(),
            pressure: false,
        })
    }

    /// Adds a VM. None of its vCPUs runs before [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// If the VM makes no sense; the error says why.
    pub fn add_vm(&mut self, vm: VmConfig, pages: P) -> Result<VmId, ConfigError> {
        vm.check()?;
        let too_many = ConfigError::TooManyVcpus { asked: vm.vcpus };
        let base = u32::try_from(self.vcpus.len()).map_err(|_| too_many)?;
        if base.checked_add(vm.vcpus as u32).is_none() {
            return Err(too_many);
        }
        let id = VmId::new(self.vms.len() as u32);
        // Plain round robin knows no weights, and its hint mode must not either: who is eligible
        // there is a matter of time alone.
        let weight = match self.config.scheduling {
            Scheduling::RoundRobin => 1,
            _ => vm.weight,
        };
        let gangs = self.gangs_for(base, vm.vcpus, weight);
        for (cpu, gang) in (0..vm.vcpus).filter_map(Cpu::new).zip(gangs) {
            self.vcpus
                .push(Vcpu::new(id, cpu, Account::new(weight), gang));
            pages
                .vcpu(cpu)
                .set_run(RunSample::new(RunState::Idle, Generation::default()));
        }
        pages.vm().set_pressure(self.pressure);
        self.vms.push(Vm {
            pages,
            base,
            vcpus: vm.vcpus,
            weight,
        });
        Ok(id)
    }

    // --- looking -------------------------------------------------------------------------------

    /// The host-wide number of a VM's vCPU.
    #[must_use]
    pub fn vcpu_id(&self, vm: VmId, cpu: Cpu) -> Option<VcpuId> {
        let vm = self.vms.get(vm.index())?;
        (cpu.index() < vm.vcpus).then(|| VcpuId::new(vm.base + cpu.index() as u32))
    }

    /// Which VM a vCPU belongs to, and its number there.
    #[must_use]
    pub fn locate(&self, vcpu: VcpuId) -> Option<(VmId, Cpu)> {
        self.vcpus.get(vcpu.index()).map(|vcpu| (vcpu.vm, vcpu.cpu))
    }

    /// What it was configured with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The pages of a VM.
    #[must_use]
    pub fn pages(&self, vm: VmId) -> Option<&P> {
        self.vms.get(vm.index()).map(|vm| &vm.pages)
    }

    /// How many vCPUs all VMs have together.
    #[must_use]
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    /// Who is on a pCPU. A vCPU that was killed stays there until the pCPU's next event.
    #[must_use]
    pub fn current(&self, pcpu: Pcpu) -> Option<VcpuId> {
        let occupant = self.pcpus.get(pcpu.index())?.occupant?;
        Some(occupant.current)
    }

    /// What a vCPU does, as its guest sees it.
    #[must_use]
    pub fn run_state(&self, vcpu: VcpuId) -> Option<RunState> {
        let vcpu = self.vcpus.get(vcpu.index())?;
        Some(vcpu.state.published())
    }

    /// Who waits for a pCPU, in the order in which they come when none is named. (Gangs take turns
    /// as gangs.)
    pub fn waiting(&self) -> impl Iterator<Item = VcpuId> {
        self.order.iter()
    }

    /// What was counted for a vCPU, times up to the last event of the pCPU concerned. All zero
    /// for a number that does not exist.
    #[must_use]
    pub fn stats(&self, vcpu: VcpuId) -> VcpuStats {
        self.vcpus
            .get(vcpu.index())
            .map_or_else(VcpuStats::default, |vcpu| vcpu.stats)
    }

    /// The next pCPU that has to call [`reschedule`](Self::reschedule) soon, if it takes an
    /// interrupt to make it. Drain this after every event.
    ///
    /// A pCPU comes out once until it has called, however many reasons there are.
    #[must_use = "a poke that is dropped leaves a pCPU idle, or with the wrong vCPU"]
    pub fn next_poke(&mut self) -> Option<Pcpu> {
        self.pokes.pop_front()
    }

    // --- events of a vCPU ----------------------------------------------------------------------

    /// A vCPU that never ran, has blocked or has halted can run: at boot, or because a device
    /// has something for it. No effect on others: a driver that may race with
    /// [`block`](Self::block) looks for what it waits for under the same lock.
    pub fn start(&mut self, now: u64, vcpu: VcpuId) {
        self.advance(now);
        let state = self.vcpus.get(vcpu.index()).map(|vcpu| vcpu.state);
        if matches!(state, Some(State::Idle | State::Halted)) {
            self.wake_from_outside(vcpu);
        }
        self.finish();
    }

    /// The driver's safety net: wakes a vCPU that has been halted for far too long, and counts
    /// it as a bug. False, and nothing done, if it is not halted.
    pub fn halt_timeout(&mut self, now: u64, vcpu: VcpuId) -> bool {
        self.advance(now);
        let Some(state) = self.vcpus.get_mut(vcpu.index()) else {
            return false;
        };
        if state.state != State::Halted {
            return false;
        }
        state.stats.halt_timeouts += 1;
        self.wake_from_outside(vcpu);
        self.finish();
        true
    }

    fn wake_from_outside(&mut self, vcpu: VcpuId) {
        let idle_pcpu = self.has_idle_pcpu_for(vcpu);
        self.wake(vcpu);
        if !idle_pcpu {
            self.preempt_for(vcpu);
        }
    }

    /// Ends all vCPUs of a VM. The pCPUs that ran them are poked.
    pub fn kill_vm(&mut self, now: u64, vm: VmId) {
        self.advance(now);
        let Some(vm) = self.vms.get(vm.index()) else {
            return;
        };
        let base = vm.base as usize;
        for index in base..base + vm.vcpus {
            self.end_vcpu(VcpuId::new(index as u32));
        }
        self.finish();
    }

    fn end_vcpu(&mut self, vcpu: VcpuId) {
        match self.vcpus[vcpu.index()].state {
            State::Ended => return,
            State::Idle | State::Halted => {}
            State::Waiting => {
                self.order.remove(self.vcpus[vcpu.index()].key, vcpu);
                self.deactivate(vcpu);
            }
            State::Running(pcpu) => {
                self.charge(pcpu.index());
                self.deactivate(vcpu);
                self.poke(pcpu.index());
            }
        }
        self.vcpus[vcpu.index()].state = State::Ended;
        self.publish(vcpu);
    }

    // --- events of a pCPU ----------------------------------------------------------------------

    /// A pCPU asks what to run: at boot, after a poke, and when [`Run::until`] has come.
    pub fn reschedule(&mut self, now: u64, pcpu: Pcpu) -> Run {
        let Some(p) = self.enter_online(now, pcpu) else {
            return Run::IDLE;
        };
        self.pcpus[p].poked = false;
        self.decide(p);
        self.leave(p)
    }

    fn decide(&mut self, p: usize) {
        let preempt = core::mem::take(&mut self.pcpus[p].preempt);
        let Some(occupant) = self.running(p) else {
            self.pcpus[p].reserved = None;
            self.fresh_pick(p, None);
            return;
        };
        if self.honour_reservation(p) {
            return;
        }
        if self.is_over(&occupant.slice) {
            self.fresh_pick(p, Some(Self::place_after(&occupant)));
        } else if preempt && self.somebody_goes_before(p, &occupant) {
            self.fresh_pick(p, Some(self.place_when_displaced(&occupant)));
        }
    }

    /// One that loses its pCPU before its time keeps its place. Under round robin only while at
    /// least half a slice is left, which is the shortest slice there: if it had more for each
    /// displacement, it could stay ahead of those who wait for ever.
    pub(crate) fn place_when_displaced(&self, occupant: &Occupant) -> Place {
        let left = occupant.slice.planned_end.saturating_sub(self.clock);
        match self.config.scheduling {
            Scheduling::RoundRobin if left < self.config.slice_ns / 2 => Place::Tail,
            _ => Place::Kept,
        }
    }

    /// Whether the buddy or the first in line takes the pCPU before the slice is over.
    fn somebody_goes_before(&self, p: usize, occupant: &Occupant) -> bool {
        let buddy = self.pcpus[p].buddy;
        buddy.is_some_and(|buddy| self.may_jump(buddy))
            || (self.order.first()).is_some_and(|(_, first)| self.goes_before(first, occupant))
    }

    /// The vCPU on a pCPU makes a hypercall.
    pub fn hypercall(&mut self, now: u64, pcpu: Pcpu, call: Hypercall) -> Outcome {
        self.by_current(now, pcpu, |host, p, occupant| match call {
            Hypercall::Halt(hint) => host.halt(p, occupant.current, hint),
            Hypercall::Kick(cpu) => host.kick(p, occupant, cpu),
            Hypercall::YieldTo(hint) => host.yield_to(p, occupant, hint),
        })
    }

    /// The vCPU on a pCPU has nothing to do until [`start`](Self::start).
    pub fn block(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, occupant| {
            host.put_to_sleep(occupant.current, State::Idle);
            host.give_back(p);
            Status::Ran
        })
    }

    /// The vCPU on a pCPU has ended for good.
    pub fn exit(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, occupant| {
            host.put_to_sleep(occupant.current, State::Ended);
            host.give_back(p);
            Status::Ran
        })
    }

    /// The vCPU on a pCPU loses it as if its slice ended now. For drivers that inject preemptions
    /// at chosen points; a slice that is really over is a matter of
    /// [`reschedule`](Self::reschedule).
    ///
    /// It runs on if no vCPU waits, or if it is still the one who has to run next.
    pub fn preempt(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, occupant| {
            host.fresh_pick(p, Some(Self::place_after(occupant)));
            Status::Ran
        })
    }

    fn by_current(
        &mut self,
        now: u64,
        pcpu: Pcpu,
        event: impl FnOnce(&mut Self, usize, &Occupant) -> Status,
    ) -> Outcome {
        let Some(p) = self.enter_online(now, pcpu) else {
            return Outcome::NO_SUCH_PCPU;
        };
        let status = match self.running(p) {
            Some(occupant) => event(self, p, &occupant),
            // No vCPU there, or it was killed: whatever it wanted, it is not its turn.
            None => {
                self.fresh_pick(p, None);
                Status::Refused
            }
        };
        let run = self.leave(p);
        Outcome { status, run }
    }

    // --- the frame of every event --------------------------------------------------------------

    pub(crate) fn advance(&mut self, now: u64) {
        self.clock = self.clock.max(now);
        self.refill_credit();
    }

    pub(crate) fn enter(&mut self, now: u64, pcpu: Pcpu) -> Option<usize> {
        self.advance(now);
        let p = pcpu.index();
        if p >= self.pcpus.len() {
            return None;
        }
        self.charge(p);
        Some(p)
    }

    fn enter_online(&mut self, now: u64, pcpu: Pcpu) -> Option<usize> {
        self.enter(now, pcpu).filter(|&p| !self.pcpus[p].offline)
    }

    /// Who is on a pCPU and has not been killed.
    pub(crate) fn running(&self, p: usize) -> Option<Occupant> {
        self.pcpus[p].occupant.filter(|occupant| {
            matches!(
                self.vcpus[occupant.current.index()].state,
                State::Running(_)
            )
        })
    }

    fn leave(&mut self, p: usize) -> Run {
        self.finish();
        self.pcpus[p].occupant.map_or(Run::IDLE, |occupant| Run {
            vcpu: Some(occupant.current),
            until: Some(occupant.slice.end),
        })
    }
}
