//! Many pCPUs at once: a [`Host`] for each group of pCPUs, each behind a lock of its own, and VMs that
//! move from group to group.
//!
//! ```text
//!   group 0: lock, Host, pCPUs 0..16        group 1: lock, Host, pCPUs 16..32       ...
//!            VMs, queue, clock                       VMs, queue, clock
//!                  ^                                       |
//!                  +----- a pCPU idles: steal a VM --------+
//!   directory: VM -> group and number there, one atomic word each
//! ```
//!
//! An event takes the lock of one group. Loans and chains never leave a VM, and a VM is in one group, so all that
//! [`Host`] promises holds in each group, invariants included, and shares are those of a group.
//!
//! **Stealing.** A pCPU that finds nothing to run looks for the group with the most vCPUs that run or wait. If one
//! of its VMs is small enough that the two groups are closer afterwards than before, that VM is paused; as soon
//! as no pCPU runs it, it is moved with its accounts, and goes on. Both locks are held for that, the lower number
//! first. Each move brings two groups closer, so as long as nothing wakes or sleeps moves come to an end. A VM rests
//! for eight slices after a move. What is moved is a whole VM: one with more vCPUs than a group has pCPUs does
//! not spread, so a group should be as large as the largest VM, and is as well a NUMA node.
//!
//! **What is not promised.** Shares across groups: VMs in a full group have less than VMs in one that is less full,
//! unless moves can level that.
//!
//! The lock is the adopter's: see [`Locked`].

mod directory;
mod events;
mod shard;

use alloc::boxed::Box;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use pvqspin_abi::Cpu;

use crate::config::{Config, ConfigError, VmConfig};
use crate::groups::directory::{Directory, Place};
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId, VmId};
use crate::pages::GuestPages;

pub use shard::Shard;

/// A lock around a value: an adopter's, for this crate has none.
///
/// ```
/// use pvqspin_abi::Cpu;
/// use pvqspin_host::groups::{Groups, Locked, Shard};
/// use pvqspin_host::{Config, HeapPages, VmConfig};
/// use std::sync::Mutex;
///
/// struct Lock<T>(Mutex<T>);
///
/// impl<T> Locked<T> for Lock<T> {
///     fn new(value: T) -> Self {
///         Self(Mutex::new(value))
///     }
///     fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
///         work(&mut self.0.lock().unwrap())
///     }
/// }
///
/// // Four groups of 16 pCPUs, each a host with a lock of its own.
/// let config = Config { pcpus: 16, ..Config::default() };
/// let groups: Groups<Lock<Shard<HeapPages>>> = Groups::new(4, config, 1_000)?;
/// let vm = groups.add_vm(VmConfig { vcpus: 1, weight: 1 }, HeapPages::new(1))?;
/// let mut poked = None;
/// groups.start(0, vm, Cpu::ZERO, |pcpu| poked = Some(pcpu));
/// let run = groups.reschedule(0, poked.unwrap(), |_| {});
/// assert_eq!(run.vcpu, Some((vm, Cpu::ZERO)));
/// # Ok::<(), pvqspin_host::ConfigError>(())
/// ```
pub trait Locked<T> {
    /// The value, not locked.
    fn new(value: T) -> Self;

    /// Does some work while no other does any.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

/// A VM of [`Groups`]: the same number for as long as it lives, in whichever group it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupVm(u32);

impl GroupVm {
    /// The number, from 0 and below what [`Groups::new`] was told.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a pCPU shall do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a pCPU that does not follow it runs something else than its group believes"]
pub struct GroupRun {
    /// The vCPU to run; `None`: wait for a poke.
    pub vcpu: Option<(GroupVm, Cpu)>,
    /// As [`Run::until`](crate::Run::until).
    pub until: Option<u64>,
}

/// One group.
#[derive(Debug)]
struct Group<L> {
    lock: L,
    /// How many vCPUs run or wait, as of its latest event: advice for those that steal.
    active: AtomicUsize,
    /// How many vCPUs it has: where the next VM is placed.
    vcpus: AtomicUsize,
}

/// Groups of pCPUs. All times are nanoseconds on one monotonic clock; all methods may be called from all threads.
///
/// `poke` is called for each pCPU that has to call [`reschedule`](Self::reschedule) soon, with a group's lock held:
/// it sends an interrupt, and calls nothing here.
#[derive(Debug)]
pub struct Groups<L> {
    config: Config,
    groups: Box<[Group<L>]>,
    directory: Directory,
}

impl<L> Groups<L> {
    /// So many groups, each with the pCPUs of this configuration, for at most `most_vms` VMs at a time. The pCPUs of
    /// the first group are the first ones.
    ///
    /// # Errors
    ///
    /// If the configuration makes no sense; the error says why.
    pub fn new<P: GuestPages>(
        groups: usize,
        config: Config,
        most_vms: usize,
    ) -> Result<Self, ConfigError>
    where
        L: Locked<Shard<P>>,
    {
        let total = groups.saturating_mul(config.pcpus);
        match groups {
            0 => return Err(ConfigError::NoPcpus),
            _ if total > crate::MAX_PCPUS => {
                return Err(ConfigError::TooManyPcpus { asked: total });
            }
            _ => {}
        }
        let group = || {
            Ok(Group {
                lock: L::new(Shard::new(Host::new(config)?)),
                active: AtomicUsize::new(0),
                vcpus: AtomicUsize::new(0),
            })
        };
        Ok(Self {
            config,
            groups: (0..groups).map(|_| group()).collect::<Result<_, _>>()?,
            directory: Directory::new(most_vms),
        })
    }

    /// Which group a pCPU is in, and its number there.
    pub(super) fn place_of(&self, pcpu: Pcpu) -> (usize, Pcpu) {
        let (group, within) = (
            pcpu.index() / self.config.pcpus,
            pcpu.index() % self.config.pcpus,
        );
        (group, Pcpu::new(within as u32))
    }

    // --- VMs -----------------------------------------------------------------------------------

    /// Adds a VM to the group with the fewest vCPUs. None of its vCPUs runs before [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// If the VM makes no sense, or there are as many as there may be ([`ConfigError::TooManyVms`]).
    pub fn add_vm<P: GuestPages>(&self, size: VmConfig, pages: P) -> Result<GroupVm, ConfigError>
    where
        L: Locked<Shard<P>>,
    {
        let vm = self.directory.claim().ok_or(ConfigError::TooManyVms)?;
        let least = |group: &&Group<L>| group.vcpus.load(Relaxed);
        let at = (self.groups.iter().enumerate())
            .min_by_key(|(_, group)| least(group))
            .map_or(0, |(at, _)| at);
        let group = &self.groups[at];
        group.vcpus.fetch_add(size.vcpus, Relaxed);
        let added = group.lock.with(|shard| {
            let added = shard.add(vm, size, pages);
            let place = added.ok().map(|id| Place { group: at, id });
            self.directory.set(vm, place);
            added
        });
        if let Err(error) = added {
            group.vcpus.fetch_sub(size.vcpus, Relaxed);
            return Err(error);
        }
        Ok(GroupVm(vm))
    }

    /// Removes a VM, and returns its pages, as [`Host::remove_vm`] does.
    pub fn remove_vm<P: GuestPages>(
        &self,
        now: u64,
        vm: GroupVm,
        poke: impl FnMut(Pcpu),
    ) -> Option<P>
    where
        L: Locked<Shard<P>>,
    {
        self.with_vm(now, vm, poke, |host, id| {
            let vcpus = host.ids_of(id).count();
            let pages = host.remove_vm(now, id)?;
            // Under the lock of its group: nothing finds it any more.
            if let Some(place) = self.directory.get(vm.0) {
                self.groups[place.group].vcpus.fetch_sub(vcpus, Relaxed);
            }
            self.directory.set(vm.0, None);
            Some(pages)
        })?
    }

    /// Does something with a VM in the group where it is, with that group's lock held: weights, caps, holding,
    /// killing, looking. If it was to move, it stays. `None` if there is no such VM.
    pub fn with_vm<P: GuestPages, R>(
        &self,
        now: u64,
        vm: GroupVm,
        poke: impl FnMut(Pcpu),
        work: impl FnOnce(&mut Host<P>, VmId) -> R,
    ) -> Option<R>
    where
        L: Locked<Shard<P>>,
    {
        self.at_home(vm, poke, |shard, id| {
            shard.stay(now, id);
            work(&mut shard.host, id)
        })
    }

    /// As [`Host::start`]: a vCPU can run.
    pub fn start<P: GuestPages>(&self, now: u64, vm: GroupVm, cpu: Cpu, poke: impl FnMut(Pcpu))
    where
        L: Locked<Shard<P>>,
    {
        self.at_home(vm, poke, |shard, id| {
            if let Some(vcpu) = shard.host.vcpu_id(id, cpu) {
                shard.host.start(now, vcpu);
            }
        });
    }

    /// Works in the group where a VM is.
    fn at_home<P: GuestPages, R>(
        &self,
        vm: GroupVm,
        mut poke: impl FnMut(Pcpu),
        work: impl FnOnce(&mut Shard<P>, VmId) -> R,
    ) -> Option<R>
    where
        L: Locked<Shard<P>>,
    {
        let mut work = Some(work);
        loop {
            let place = self.directory.get(vm.0)?;
            let group = self.groups.get(place.group)?;
            let result = group.lock.with(|shard| {
                // It may have moved on the way here. While its group is locked it does not.
                if self.directory.get(vm.0) != Some(place) {
                    return None;
                }
                let result = work.take()?(shard, place.id);
                self.end(place.group, shard, &mut poke);
                Some(result)
            });
            if result.is_some() {
                return result;
            }
        }
    }

    /// Looks at a vCPU in the group where it is, with that group's lock held: `None` if there is none.
    pub fn look<P: GuestPages, R>(
        &self,
        vm: GroupVm,
        cpu: Cpu,
        look: impl FnOnce(&Host<P>, VcpuId) -> R,
    ) -> Option<R>
    where
        L: Locked<Shard<P>>,
    {
        // A look makes no pokes.
        self.at_home(
            vm,
            |_| {},
            |shard, id| {
                let vcpu = shard.host.vcpu_id(id, cpu)?;
                Some(look(&shard.host, vcpu))
            },
        )?
    }

    /// Which group a VM is in.
    #[must_use]
    pub fn group_of(&self, vm: GroupVm) -> Option<usize> {
        self.directory.get(vm.0).map(|place| place.group)
    }
}
