//! The life of a VM: it comes and goes, is held and released, and its weights and pCPUs change.
//!
//! ```text
//!   add_vm --> its vCPUs are idle --> start ... --> kill_vm --> remove_vm --> its pages come back,
//!                                                                             and are not touched again
//! ```
//!
//! The numbers of a removed VM are used again once no pCPU runs it any more: each pCPU that did is
//! poked, and has let go with its next event.

use core::ops::Range;

use pvqspin_abi::{Cpu, Generation, RunSample, RunState};

use crate::bits::Bits;
use crate::config::{ConfigError, VmConfig};
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId, VmId};
use crate::pages::GuestPages;
use crate::state::account::Account;
use crate::state::vcpu::{State, Then, Vcpu};
use crate::state::vm::Vm;

impl<P: GuestPages> Host<P> {
    /// Adds a VM. None of its vCPUs runs before [`start`](Self::start). Its number and those of its
    /// vCPUs may be those of a VM that was removed.
    ///
    /// # Errors
    ///
    /// If the VM makes no sense; the error says why.
    pub fn add_vm(&mut self, vm: VmConfig, pages: P) -> Result<VmId, ConfigError> {
        vm.check()?;
        let too_many = ConfigError::TooManyVcpus { asked: vm.vcpus };
        let range = self.room_for(vm.vcpus);
        u32::try_from(range.end).map_err(|_| too_many)?;
        let free = |vm: &Vm<P>| vm.is_gone() && vm.vcpus == 0;
        let number = (self.has_gaps)
            .then(|| self.vms.iter().position(free))
            .flatten()
            .unwrap_or(self.vms.len());
        let id = VmId::new(number as u32);
        // Plain round robin knows no weights, and its hint mode must not either: who is eligible
        // there is a matter of time alone.
        let weight = self.policy.weight(vm.weight);
        let gangs = self.policy.add_vm(range.clone(), weight);
        let cpus = (0..vm.vcpus).filter_map(Cpu::new);
        for ((at, cpu), gang) in range.clone().zip(cpus).zip(gangs) {
            let vcpu = Vcpu::new(id, cpu, Account::new(weight, gang));
            match self.vcpus.get_mut(at) {
                Some(place) => *place = vcpu,
                None => self.vcpus.push(vcpu),
            }
            pages
                .vcpu(cpu)
                .set_run(RunSample::new(RunState::Idle, Generation::default()));
        }
        self.queues.make_room(self.vcpus.len());
        self.held_back.make_room(self.vcpus.len());
        let pressure = self.pressure();
        pages.vm().set_pressure(pressure);
        let vm = Vm {
            pages: Some(pages),
            base: range.start as u32,
            vcpus: vm.vcpus,
            told_pressure: pressure,
            held_back: 0,
            active: 0,
            first_pcpu: None,
        };
        match self.vms.get_mut(number) {
            Some(place) => *place = vm,
            None => self.vms.push(vm),
        }
        Ok(id)
    }

    /// Numbers for so many vCPUs: those of removed VMs, if they lie beside each other, or new ones.
    fn room_for(&self, vcpus: usize) -> Range<usize> {
        let mut free = 0;
        if !self.has_gaps {
            return self.vcpus.len()..self.vcpus.len() + vcpus;
        }
        for (at, vcpu) in self.vcpus.iter().enumerate() {
            free = if self.vms[vcpu.vm.index()].owns_number(at) {
                0
            } else {
                free + 1
            };
            if free == vcpus {
                return at + 1 - vcpus..at + 1;
            }
        }
        self.vcpus.len() - free..self.vcpus.len() - free + vcpus
    }

    /// Ends all vCPUs of a VM. The pCPUs that ran them are poked. It keeps its numbers and its pages until
    /// [`remove_vm`](Self::remove_vm).
    pub fn kill_vm(&mut self, now: u64, vm: VmId) {
        self.advance(now);
        if let Some(vm) = self.vms.get(vm.index()).filter(|vm| vm.pages.is_some()) {
            for vcpu in vm.ids() {
                self.end_vcpu(vcpu);
            }
        }
        self.finish();
    }

    /// Removes a VM, and returns its pages: from here on the host neither reads nor writes them. `None` if
    /// there is no such VM.
    ///
    /// Its vCPUs have ended, and the pCPUs that ran them are poked. Until such a pCPU has had its next event
    /// the guest may still execute there, so memory that *it* uses is free only then:
    /// [`is_gone`](Self::is_gone) says when. Its numbers come again afterwards.
    pub fn remove_vm(&mut self, now: u64, vm: VmId) -> Option<P> {
        self.kill_vm(now, vm);
        let pages = self.vms.get_mut(vm.index())?.pages.take()?;
        self.drop_vcpus(vm);
        self.finish();
        Some(pages)
    }

    /// The vCPUs of a VM end, and leave the policy and their queues.
    pub(crate) fn drop_vcpus(&mut self, vm: VmId) {
        self.has_gaps = true;
        for vcpu in self.ids_of(vm) {
            self.end_vcpu(vcpu);
            let vcpu = &self.vcpus[vcpu.index()];
            self.policy.remove(&vcpu.account);
            self.queues.depart(vcpu.class);
        }
        self.let_go(vm);
    }

    /// Whether a VM was removed, or never was, and no pCPU runs it any more.
    #[must_use]
    pub fn is_gone(&self, vm: VmId) -> bool {
        self.vms.get(vm.index()).is_none_or(Vm::is_gone)
    }

    /// Frees the numbers of a removed VM, once it is gone.
    fn let_go(&mut self, vm: VmId) {
        let state = &mut self.vms[vm.index()];
        if state.is_gone() {
            state.vcpus = 0;
        }
    }

    fn end_vcpu(&mut self, vcpu: VcpuId) {
        match self.vcpus[vcpu.index()].state {
            State::Ended => return,
            State::Running(pcpu) => {
                self.poke(pcpu.index());
            }
            State::Waiting => self.unqueue(vcpu),
            State::HeldBack => self.take_from_held_back(vcpu),
            State::Idle | State::Halted | State::Held(_) => {}
        }
        self.set_state(vcpu, State::Ended);
        self.publish(vcpu);
    }

    /// A vCPU that has [ended](Self::exit) can be started again: INIT and SIPI, or `CPU_ON`. It keeps its
    /// account, and no kick or interrupt from before. False, and nothing done, if it has not ended, or its VM
    /// is removed.
    pub fn restart(&mut self, now: u64, vcpu: VcpuId) -> bool {
        self.advance(now);
        let exists = self.locate(vcpu).is_some();
        let ended = |vcpu: &VcpuId| self.vcpus[vcpu.index()].state == State::Ended;
        if !exists || !ended(&vcpu) || self.is_on_a_pcpu(vcpu) {
            return false;
        }
        let state = &mut self.vcpus[vcpu.index()];
        (state.kick_pending, state.interrupt_pending) = (false, false);
        self.set_state(vcpu, State::Idle);
        self.wake_from_outside(vcpu);
        self.finish();
        true
    }

    /// Whether a killed vCPU is still on the pCPU that ran it.
    fn is_on_a_pcpu(&self, vcpu: VcpuId) -> bool {
        let home = self.vcpus[vcpu.index()].home;
        home.is_some_and(|home| self.pcpus[home.index()].current() == Some(vcpu))
    }

    // --- holding -------------------------------------------------------------------------------

    /// Takes a vCPU off from outside, until [`release`](Self::release). Kicks and interrupts that come
    /// meanwhile are remembered. Returns whether it is off already; if not, its pCPU is poked, and has taken
    /// it off with its next event.
    pub fn hold(&mut self, now: u64, vcpu: VcpuId) -> bool {
        self.advance(now);
        let Some(state) = self.vcpus.get_mut(vcpu.index()) else {
            return true;
        };
        let then = match state.state {
            State::Running(pcpu) => {
                state.hold = true;
                self.poke(pcpu.index());
                self.finish();
                return false;
            }
            State::Waiting | State::HeldBack => Then::Wait,
            State::Halted => Then::Halt,
            State::Idle => Then::Sleep,
            State::Held(_) | State::Ended => return true,
        };
        if then == Then::Wait {
            self.unqueue(vcpu);
            self.take_from_held_back(vcpu);
        }
        self.set_state(vcpu, State::Held(then));
        self.finish();
        true
    }

    /// Lets a held vCPU go on. False, and nothing done, if it is not held.
    pub fn release(&mut self, now: u64, vcpu: VcpuId) -> bool {
        self.advance(now);
        let Some(state) = self.vcpus.get_mut(vcpu.index()) else {
            return false;
        };
        let held = core::mem::take(&mut state.hold);
        let State::Held(then) = state.state else {
            return held;
        };
        let asleep = match then {
            Then::Halt => State::Halted,
            Then::Wait | Then::Sleep => State::Idle,
        };
        self.set_state(vcpu, asleep);
        if then == Then::Wait {
            self.wake_from_outside(vcpu);
        }
        self.finish();
        true
    }

    /// [Holds](Self::hold) all vCPUs of a VM. Returns whether all are off already.
    pub fn pause_vm(&mut self, now: u64, vm: VmId) -> bool {
        let mut off = true;
        for vcpu in self.ids_of(vm) {
            off &= self.hold(now, vcpu);
        }
        off
    }

    /// [Releases](Self::release) all vCPUs of a VM.
    pub fn resume_vm(&mut self, now: u64, vm: VmId) {
        for vcpu in self.ids_of(vm) {
            self.release(now, vcpu);
        }
    }

    pub(crate) fn ids_of(&self, vm: VmId) -> impl Iterator<Item = VcpuId> + use<P> {
        (self.vms.get(vm.index()).map(Vm::ids).into_iter()).flatten()
    }

    // --- what it is entitled to, and where ---------------------------------------------------------

    /// Changes the weight of the vCPUs of a VM. What they have got too much or too little in nanoseconds
    /// stays what it is. Round robin has no weights.
    ///
    /// # Errors
    ///
    /// If the weight makes no sense.
    pub fn set_weight(&mut self, now: u64, vm: VmId, weight: u32) -> Result<(), ConfigError> {
        VmConfig { vcpus: 1, weight }.check()?;
        self.advance(now);
        let weight = self.policy.weight(weight);
        for vcpu in self.ids_of(vm) {
            self.reweigh(vcpu, weight);
        }
        self.finish();
        Ok(())
    }

    fn reweigh(&mut self, vcpu: VcpuId, weight: u32) {
        if let Some(p) = self.vcpus[vcpu.index()].owns {
            self.charge(p);
        }
        let clock = self.time_of_picks();
        let state = &mut self.vcpus[vcpu.index()];
        let account = &mut state.account.fair;
        let mut sums = self.sums.as_mut().filter(|_| state.state.is_active());
        if let Some(sums) = &mut sums {
            sums.remove(account);
        }
        let lag = i128::from(account.vtime.wrapping_sub(clock) as i64);
        let scaled = lag * i128::from(account.weight) / i128::from(weight);
        account.vtime = clock.wrapping_add(scaled as u64);
        (account.weight, account.rest) = (weight, 0);
        if let Some(sums) = &mut sums {
            sums.add(account);
        }
        let account = state.account;
        self.policy.reweigh(&account, weight);
        self.rekey(vcpu);
    }

    /// Which pCPUs a vCPU may run on; empty: all. If it runs elsewhere now, that pCPU is poked.
    ///
    /// False, and nothing done, if there is no such vCPU, or if one of the pCPUs does not exist. A vCPU all of
    /// whose pCPUs are offline waits until one comes back. Strict co-scheduling ignores affinity.
    pub fn set_affinity(&mut self, now: u64, vcpu: VcpuId, pcpus: &[Pcpu]) -> bool {
        self.advance(now);
        let exist = pcpus.iter().all(|pcpu| pcpu.index() < self.pcpus.len());
        if self.locate(vcpu).is_none() || !exist {
            return false;
        }
        let mut set = Bits::new(self.pcpus.len());
        pcpus.iter().for_each(|pcpu| set.set(pcpu.index(), true));
        // Gangs ignore it, so their queue has to: pCPUs would be poked for one whose turn it is not, again and again.
        let anywhere = set.is_empty() || self.policy.is_strict();
        let class = self.queues.join((!anywhere).then_some(set));
        let queued = self.is_queued(vcpu);
        if queued {
            self.unqueue(vcpu);
        }
        let old = core::mem::replace(&mut self.vcpus[vcpu.index()].class, class);
        self.queues.depart(old);
        if queued {
            let key = self.policy.key(&self.vcpus[vcpu.index()].account);
            self.queues.insert(class, vcpu.index(), key);
        }
        if let State::Running(pcpu) = self.vcpus[vcpu.index()].state
            && !self.queues.allows(class, pcpu.index())
        {
            self.pcpus[pcpu.index()].expelled = true;
            self.poke(pcpu.index());
        }
        self.finish();
        true
    }

    // --- which pCPUs run a VM --------------------------------------------------------------------

    pub(crate) fn link(&mut self, p: usize, vcpu: VcpuId) {
        let vm = &mut self.vms[self.vcpus[vcpu.index()].vm.index()];
        let first = vm.first_pcpu.replace(p as u32);
        (self.pcpus[p].vm_prev, self.pcpus[p].vm_next) = (None, first);
        if let Some(first) = first {
            self.pcpus[first as usize].vm_prev = Some(p as u32);
        }
    }

    pub(crate) fn unlink(&mut self, p: usize, vcpu: VcpuId) {
        let id = self.vcpus[vcpu.index()].vm;
        let (prev, next) = (self.pcpus[p].vm_prev, self.pcpus[p].vm_next);
        match prev {
            Some(prev) => self.pcpus[prev as usize].vm_next = next,
            None => self.vms[id.index()].first_pcpu = next,
        }
        if let Some(next) = next {
            self.pcpus[next as usize].vm_prev = prev;
        }
        self.let_go(id);
    }
}
