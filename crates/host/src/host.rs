//! The host: its events, and the decisions that come out.

use alloc::boxed::Box;
use alloc::vec::Vec;

use pvqspin_abi::{Cpu, Hypercall, RunState, Status};

use crate::bits::Bits;
use crate::budget::HeldBack;
use crate::config::{Config, ConfigError, YieldMode};
use crate::fair::Sums;
use crate::ids::{Pcpu, VcpuId, VmId};
use crate::loan::{self, Why};
use crate::pages::GuestPages;
use crate::policy::{self, Policy};
use crate::state::pcpu::PcpuState;
use crate::state::queues::Queues;
use crate::state::vcpu::{State, Then, Vcpu};
use crate::state::vm::Vm;
use crate::stats::VcpuStats;

/// What a pCPU shall do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a pCPU that does not follow it runs something else than the host believes"]
pub struct Run {
    /// The vCPU to run; `None`: wait for a poke.
    pub vcpu: Option<VcpuId>,
    /// When to call [`Host::reschedule`] at the latest, in nanoseconds on the driver's clock. It
    /// may have passed already. A pCPU without a vCPU has one only where vCPUs are [capped](crate::Cap).
    pub until: Option<u64>,
}

impl Run {
    /// Nothing to run: wait for a poke.
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
    /// For how long, in all, a vCPU was queued: other time costs nothing, whichever vCPU uses it.
    pub(crate) wanted_ns: u64,
    pub(crate) vms: Vec<Vm<P>>,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) pcpus: Vec<PcpuState>,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) queues: Queues,
    /// `None`: yields are no mere hints, which alone are refused by the average.
    pub(crate) sums: Option<Sums>,
    /// vCPUs that could run and do not.
    pub(crate) ready: usize,
    /// pCPUs that are online and run nothing, and those of them that are not poked.
    pub(crate) idle: Bits,
    pub(crate) idle_unpoked: Bits,
    /// pCPUs on whose slice a borrower runs while the lender waits.
    pub(crate) lent: Bits,
    pub(crate) held_back: HeldBack,
    pub(crate) pokes: Bits,
    pub(crate) offline_pcpus: usize,
    pub(crate) events: u64,
    /// A VM was removed: some numbers may be free.
    pub(crate) has_gaps: bool,
}

impl<P: GuestPages> Host<P> {
    /// A host without VMs.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense; the error says why.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let none = || Bits::new(config.pcpus);
        let mut all = none();
        (0..config.pcpus).for_each(|p| all.set(p, true));
        let policy = policy::of(&config);
        Ok(Self {
            config,
            clock: 0,
            wanted_ns: 0,
            vms: Vec::new(),
            vcpus: Vec::new(),
            pcpus: (0..config.pcpus).map(|_| PcpuState::default()).collect(),
            policy,
            queues: Queues::new(),
            sums: (config.yields == YieldMode::Hint).then(Sums::default),
            ready: 0,
            idle: all.clone(),
            idle_unpoked: all,
            lent: none(),
            held_back: HeldBack::default(),
            pokes: none(),
            offline_pcpus: 0,
            events: 0,
            has_gaps: false,
        })
    }

    // --- looking -------------------------------------------------------------------------------

    /// The host-wide number of a VM's vCPU.
    #[must_use]
    pub fn vcpu_id(&self, vm: VmId, cpu: Cpu) -> Option<VcpuId> {
        self.vms.get(vm.index())?.vcpu(cpu)
    }

    /// Which VM a vCPU belongs to, and its number there. `None` if there is none, or if its VM is removed.
    #[must_use]
    pub fn locate(&self, vcpu: VcpuId) -> Option<(VmId, Cpu)> {
        let vcpu = self.vcpus.get(vcpu.index())?;
        (self.vms[vcpu.vm.index()].vcpu(vcpu.cpu)).map(|_| (vcpu.vm, vcpu.cpu))
    }

    /// What it was configured with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The pages of a VM.
    #[must_use]
    pub fn pages(&self, vm: VmId) -> Option<&P> {
        self.vms.get(vm.index())?.pages.as_ref()
    }

    /// How many vCPU numbers are in use: the vCPUs of all VMs, and gaps that removed VMs left.
    #[must_use]
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    /// The vCPU on a pCPU. One that was killed stays there until the pCPU's next event.
    #[must_use]
    pub fn current(&self, pcpu: Pcpu) -> Option<VcpuId> {
        self.pcpus.get(pcpu.index())?.current()
    }

    /// The loan that a pCPU runs on, if it does.
    #[must_use]
    pub fn loan(&self, pcpu: Pcpu) -> Option<loan::Loan<VcpuId>> {
        self.pcpus.get(pcpu.index())?.slice?.loan()
    }

    /// What a vCPU does, as its guest sees it.
    #[must_use]
    pub fn run_state(&self, vcpu: VcpuId) -> Option<RunState> {
        let vcpu = self.vcpus.get(vcpu.index())?;
        Some(vcpu.state.published())
    }

    /// The vCPUs in the queue, in the order in which they come when none is named. (Gangs take turns as
    /// gangs; a vCPU whose slice is lent is not in the queue.) Allocates: for looking, not for deciding.
    pub fn waiting(&self) -> impl Iterator<Item = VcpuId> {
        let queued = self.queues.in_order().into_iter();
        queued.map(|(_, vcpu)| VcpuId::new(vcpu as u32))
    }

    /// Whether a vCPU could run, and its [cap](crate::Cap) does not let it now.
    #[must_use]
    pub fn is_held_back(&self, vcpu: VcpuId) -> bool {
        (self.vcpus.get(vcpu.index())).is_some_and(|vcpu| vcpu.state == State::HeldBack)
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
        let p = self.pokes.first()?;
        self.pokes.remove(p);
        Some(Pcpu::new(p as u32))
    }

    // --- events of a vCPU ----------------------------------------------------------------------

    /// A vCPU that never ran, has blocked or has halted can run: at boot, or because a device has something
    /// for it. For one that runs or waits it is remembered: its next halt or block ends at once, so an
    /// interrupt that comes between a guest's last look and its halt is not lost.
    pub fn start(&mut self, now: u64, vcpu: VcpuId) {
        self.advance(now);
        if let Some(state) = self.vcpus.get_mut(vcpu.index()) {
            match state.state {
                State::Idle | State::Halted => self.wake_from_outside(vcpu),
                State::Held(Then::Halt | Then::Sleep) => state.state = State::Held(Then::Wait),
                State::Running(_) | State::Waiting | State::HeldBack => {
                    state.interrupt_pending = true;
                }
                State::Held(Then::Wait) | State::Ended => {}
            }
        }
        self.finish();
    }

    /// The driver's safety net: wakes a vCPU that has been halted for far too long, and counts
    /// it as a bug. False, and nothing done, if it is not halted.
    pub fn halt_timeout(&mut self, now: u64, vcpu: VcpuId) -> bool {
        self.advance(now);
        let halted = |vcpu: &&mut Vcpu| vcpu.state == State::Halted;
        let Some(state) = self.vcpus.get_mut(vcpu.index()).filter(halted) else {
            return false;
        };
        state.stats.halt_timeouts += 1;
        self.wake_from_outside(vcpu);
        self.finish();
        true
    }

    // --- events of a pCPU ----------------------------------------------------------------------

    /// A pCPU asks what to run: at boot, after a poke, and when [`Run::until`] has come.
    pub fn reschedule(&mut self, now: u64, pcpu: Pcpu) -> Run {
        let Some(p) = self.enter_online(now, pcpu) else {
            return Run::IDLE;
        };
        if core::mem::take(&mut self.pcpus[p].poked) {
            self.pokes.remove(p);
            self.idle_unpoked.set(p, self.idle.contains(p));
        }
        if !self.held_back.is_empty() && self.keeps_time(p) {
            self.let_due_go_on();
        }
        self.decide(p);
        self.leave(p)
    }

    fn decide(&mut self, p: usize) {
        let clock = self.clock;
        let preempt = core::mem::take(&mut self.pcpus[p].preempt);
        let expelled = core::mem::take(&mut self.pcpus[p].expelled);
        let recalled = core::mem::take(&mut self.pcpus[p].recalled);
        let reserved = self.pcpus[p].reserved.take();
        let Some((current, slice)) = self.running(p) else {
            self.fresh_pick(p, None);
            return;
        };
        if self.vcpus[current.index()].hold {
            self.put_to_sleep(current, State::Held(Then::Wait));
            self.give_back(p);
        } else if expelled
            || slice.is_over(self.clock)
            || self.pcpus[p].epoch != self.policy.epoch()
        {
            self.fresh_pick(p, Some(Why::Over));
        } else if recalled && self.take_back(p) {
            self.run_current(p);
        } else if !reserved.is_some_and(|target| self.honour_reservation(p, target))
            && preempt
            && self.another_goes_before(p)
        {
            if slice.is_protected(clock) {
                // Asked again as soon as it is not: `leave` says when.
                self.pcpus[p].preempt = true;
            } else {
                self.fresh_pick(p, Some(Why::Displaced));
            }
        }
    }

    /// The vCPU on a pCPU makes a hypercall.
    pub fn hypercall(&mut self, now: u64, pcpu: Pcpu, call: Hypercall) -> Outcome {
        self.by_current(now, pcpu, |host, p, current| match call {
            Hypercall::Halt(hint) => host.halt(p, current, hint),
            Hypercall::Kick(cpu) => host.kick(p, current, cpu),
            Hypercall::YieldTo(hint) => host.yield_to(p, current, hint),
        })
    }

    /// The vCPU on a pCPU has nothing to do until [`start`](Self::start). It runs on if it was started
    /// since it ran last.
    pub fn block(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, current| {
            if !core::mem::take(&mut host.vcpus[current.index()].interrupt_pending) {
                host.put_to_sleep(current, State::Idle);
                host.give_back(p);
            }
            Status::Ran
        })
    }

    /// The vCPU on a pCPU has ended: for good, or until [`restart`](Self::restart).
    pub fn exit(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, current| {
            host.put_to_sleep(current, State::Ended);
            host.give_back(p);
            Status::Ran
        })
    }

    /// The vCPU on a pCPU loses it as if its slice ended now. For drivers that inject preemptions
    /// at chosen points; a slice that is really over is a matter of
    /// [`reschedule`](Self::reschedule).
    ///
    /// It runs on if none waits, or if it is still the one that has to run next.
    pub fn preempt(&mut self, now: u64, pcpu: Pcpu) -> Outcome {
        self.by_current(now, pcpu, |host, p, _| {
            host.fresh_pick(p, Some(Why::Over));
            Status::Ran
        })
    }

    fn by_current(
        &mut self,
        now: u64,
        pcpu: Pcpu,
        event: impl FnOnce(&mut Self, usize, VcpuId) -> Status,
    ) -> Outcome {
        let Some(p) = self.enter_online(now, pcpu) else {
            return Outcome::NO_SUCH_PCPU;
        };
        let status = match self.running(p) {
            Some((current, _)) => event(self, p, current),
            // None there, or it was killed: whatever it wanted, it is not its turn.
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
        let now = self.clock.max(now);
        if self.queues.len() > 0 {
            self.wanted_ns += now - self.clock;
        }
        self.clock = now;
        self.events += 1;
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

    /// The vCPU on a pCPU, if it has not been killed, and its slice.
    pub(crate) fn running(&self, p: usize) -> Option<(VcpuId, loan::Slice<VcpuId>)> {
        let slice = self.pcpus[p].slice?;
        let current = slice.current();
        let runs = matches!(self.vcpus[current.index()].state, State::Running(_));
        runs.then_some((current, slice))
    }
}
