//! A VM leaves one host and comes to another, with its accounts.

use alloc::boxed::Box;

use pvqspin_abi::Generation;

use crate::budget::Budget;
use crate::config::{ConfigError, VmConfig};
use crate::fair::Sums;
use crate::host::Host;
use crate::ids::{VcpuId, VmId};
use crate::loan::{RunQueue, Waits};
use crate::pages::GuestPages;
use crate::state::account::Account;
use crate::state::vcpu::{State, Then, Vcpu};
use crate::stats::VcpuStats;
use crate::switch::Queue;

/// A VM on its way from one [`Host`] to another.
#[derive(Debug)]
pub struct Moved<P> {
    pages: P,
    vcpus: Box<[MovedVcpu]>,
}

#[derive(Debug)]
struct MovedVcpu {
    state: State,
    generation: Generation,
    kick_pending: bool,
    interrupt_pending: bool,
    account: Account,
    budget: Budget,
    stats: VcpuStats,
}

impl<P: GuestPages> Host<P> {
    /// Whether no pCPU runs a VM, nor uses a slice of it: then it can be [taken](Self::take_vm).
    #[must_use]
    pub fn is_off(&self, vm: VmId) -> bool {
        (self.vms.get(vm.index())).is_some_and(|vm| vm.pages.is_some() && vm.first_pcpu.is_none())
    }

    /// How many vCPUs have a pCPU or wait for one.
    #[must_use]
    pub fn active(&self) -> usize {
        self.online_pcpus() - self.idle.len() + self.ready
    }

    /// Whether some vCPU of a VM is held, or may run on some pCPUs only: such a VM stays where it is.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn is_bound(&self, vm: VmId) -> bool {
        self.ids_of(vm).any(|vcpu| {
            let vcpu = &self.vcpus[vcpu.index()];
            vcpu.class != 0 || vcpu.hold || matches!(vcpu.state, State::Held(_))
        })
    }

    /// Takes a VM away, for [`put_vm`](Self::put_vm) of another host with the same configuration and the same
    /// clock. From here on this host does not touch its pages, and its numbers come again. Allocates.
    ///
    /// `None`, and nothing done, unless it [is off](Self::is_off) ([`pause_vm`](Self::pause_vm) gets it there)
    /// and none of its vCPUs has an affinity, for pCPUs have other numbers elsewhere.
    pub fn take_vm(&mut self, now: u64, vm: VmId) -> Option<Moved<P>> {
        self.advance(now);
        let plain = |vcpu: VcpuId| self.vcpus[vcpu.index()].class == 0;
        if !self.is_off(vm) || !self.ids_of(vm).all(plain) {
            return None;
        }
        let clock = self.time_of_picks();
        let of = |vcpu: VcpuId| MovedVcpu::of(&self.vcpus[vcpu.index()], clock);
        let vcpus = self.ids_of(vm).map(of).collect();
        // Without pages first: what its guest sees does not change.
        let pages = self.vms[vm.index()].pages.take()?;
        self.drop_vcpus(vm);
        self.finish();
        Some(Moved { pages, vcpus })
    }

    /// Adds a VM that was taken from another host. Its vCPUs do what they did there, and stand as far before or
    /// behind the clock. Those that were held, to get it off its pCPUs, are held no more.
    ///
    /// # Errors
    ///
    /// If this host has no numbers left for it; it is lost then, as after [`remove_vm`](Self::remove_vm).
    pub fn put_vm(&mut self, now: u64, moved: Moved<P>) -> Result<VmId, ConfigError> {
        self.advance(now);
        let size = VmConfig {
            vcpus: moved.vcpus.len(),
            weight: (moved.vcpus.first()).map_or(1, |vcpu| vcpu.account.fair.weight),
        };
        let vm = self.add_vm(size, moved.pages)?;
        let clock = self.time_of_picks();
        for (vcpu, moved) in self.ids_of(vm).zip(moved.vcpus) {
            moved.put(&mut self.vcpus[vcpu.index()], clock);
            match moved.state {
                State::Waiting | State::HeldBack | State::Held(Then::Wait) | State::Running(_) => {
                    Queue(self).waits(vcpu, Waits::AfterSlice);
                }
                State::Halted | State::Held(Then::Halt) => self.set_state(vcpu, State::Halted),
                State::Ended => self.set_state(vcpu, State::Ended),
                State::Idle | State::Held(Then::Sleep) => {}
            }
            self.publish(vcpu);
        }
        self.tell(vm);
        self.finish();
        Ok(vm)
    }

    /// The virtual time that lag and debt are measured from.
    pub(crate) fn time_of_picks(&self) -> u64 {
        let average = || self.sums.as_ref().and_then(Sums::average);
        self.policy.clock().or_else(average).unwrap_or(0)
    }
}

impl MovedVcpu {
    fn of(vcpu: &Vcpu, clock: u64) -> Self {
        let mut account = vcpu.account;
        account.fair.vtime = account.fair.vtime.wrapping_sub(clock);
        Self {
            state: vcpu.state,
            generation: vcpu.generation,
            kick_pending: vcpu.kick_pending,
            interrupt_pending: vcpu.interrupt_pending,
            account,
            budget: vcpu.budget,
            stats: vcpu.stats,
        }
    }

    fn put(&self, vcpu: &mut Vcpu, clock: u64) {
        let gang = vcpu.account.gang;
        vcpu.account = Account {
            turn: 0,
            gang,
            ..self.account
        };
        vcpu.account.fair.vtime = self.account.fair.vtime.wrapping_add(clock);
        vcpu.generation = self.generation;
        vcpu.kick_pending = self.kick_pending;
        vcpu.interrupt_pending = self.interrupt_pending;
        vcpu.budget = self.budget;
        vcpu.stats = self.stats;
    }
}
