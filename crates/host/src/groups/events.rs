//! Events of pCPUs, and VMs that are stolen in them.

use core::sync::atomic::Ordering::Relaxed;

use pvqspin_abi::{Hypercall, Status};

use super::directory::Place;
use super::shard::Shard;
use super::{GroupRun, Groups, Locked};
use crate::host::{Host, Outcome, Run};
use crate::ids::Pcpu;
use crate::pages::GuestPages;

impl<L> Groups<L> {
    /// As [`Host::reschedule`]: a pCPU asks what to run. One that would idle looks for a VM to steal.
    pub fn reschedule<P: GuestPages>(
        &self,
        now: u64,
        pcpu: Pcpu,
        mut poke: impl FnMut(Pcpu),
    ) -> GroupRun
    where
        L: Locked<Shard<P>>,
    {
        let (run, _) = self.on(pcpu, now, &mut poke, |host, pcpu| Outcome {
            status: Status::Ran,
            run: host.reschedule(now, pcpu),
        });
        run
    }

    /// As [`Host::hypercall`]. The status is for the caller, when it runs again: `answer` is called with it while
    /// the group is locked, for then no other pCPU runs the caller yet.
    pub fn hypercall<P: GuestPages>(
        &self,
        now: u64,
        pcpu: Pcpu,
        call: Hypercall,
        mut poke: impl FnMut(Pcpu),
        answer: impl FnOnce(Status),
    ) -> GroupRun
    where
        L: Locked<Shard<P>>,
    {
        let (run, _) = self.on(pcpu, now, &mut poke, |host, pcpu| {
            let outcome = host.hypercall(now, pcpu, call);
            answer(outcome.status);
            outcome
        });
        run
    }

    /// As [`Host::block`].
    pub fn block<P: GuestPages>(&self, now: u64, pcpu: Pcpu, mut poke: impl FnMut(Pcpu)) -> GroupRun
    where
        L: Locked<Shard<P>>,
    {
        self.on(pcpu, now, &mut poke, |host, pcpu| host.block(now, pcpu))
            .0
    }

    /// As [`Host::exit`].
    pub fn exit<P: GuestPages>(&self, now: u64, pcpu: Pcpu, mut poke: impl FnMut(Pcpu)) -> GroupRun
    where
        L: Locked<Shard<P>>,
    {
        self.on(pcpu, now, &mut poke, |host, pcpu| host.exit(now, pcpu))
            .0
    }

    /// An event of a pCPU, in its group.
    fn on<P: GuestPages>(
        &self,
        pcpu: Pcpu,
        now: u64,
        poke: &mut impl FnMut(Pcpu),
        event: impl FnOnce(&mut Host<P>, Pcpu) -> Outcome,
    ) -> (GroupRun, Status)
    where
        L: Locked<Shard<P>>,
    {
        let (at, within) = self.place_of(pcpu);
        let Some(group) = self.groups.get(at) else {
            let run = GroupRun {
                vcpu: None,
                until: None,
            };
            return (run, Status::Refused);
        };
        let (outcome, vcpu, leaves) = group.lock.with(|shard| {
            let outcome = event(&mut shard.host, within);
            self.end(at, shard, poke);
            let vcpu = outcome.run.vcpu.and_then(|vcpu| shard.name(vcpu));
            (outcome, vcpu, shard.leaves())
        });
        if let Some(to) = leaves {
            self.carry(at, to, now, poke);
        }
        if vcpu.is_none() {
            self.steal(at, now, poke);
        }
        let Outcome { status, run } = outcome;
        let Run { until, .. } = run;
        (GroupRun { vcpu, until }, status)
    }

    /// The end of each piece of work in a group: pokes go out, and others may know how full it is.
    pub(super) fn end<P: GuestPages>(
        &self,
        at: usize,
        shard: &mut Shard<P>,
        poke: &mut impl FnMut(Pcpu),
    ) {
        let first = at * self.config.pcpus;
        while let Some(pcpu) = shard.host.next_poke() {
            poke(Pcpu::new((first + pcpu.index()) as u32));
        }
        self.groups[at].active.store(shard.host.active(), Relaxed);
    }

    // --- stealing ------------------------------------------------------------------------------

    /// A pCPU of a group idles: a VM of the fullest group is to come here, if that makes both closer.
    fn steal<P: GuestPages>(&self, to: usize, now: u64, poke: &mut impl FnMut(Pcpu))
    where
        L: Locked<Shard<P>>,
    {
        let active = |at: usize| self.groups[at].active.load(Relaxed);
        let Some(from) = (0..self.groups.len()).max_by_key(|&at| active(at)) else {
            return;
        };
        // Where none waits, nothing is gained.
        if from == to || active(from) <= self.config.pcpus {
            return;
        }
        let apart = active(from).saturating_sub(active(to));
        let leaves = self.groups[from].lock.with(|shard| {
            shard.choose(now, to, apart);
            self.end(from, shard, poke);
            shard.leaves()
        });
        if let Some(to) = leaves {
            self.carry(from, to, now, poke);
        }
    }

    /// Moves the VM that is to leave a group, now that no pCPU runs it.
    fn carry<P: GuestPages>(&self, from: usize, to: usize, now: u64, poke: &mut impl FnMut(Pcpu))
    where
        L: Locked<Shard<P>>,
    {
        let mut pass = |source: &mut Shard<P>, target: &mut Shard<P>| {
            let Some((vm, moved, vcpus)) = source.take(now, to) else {
                return;
            };
            let id = target.put(now, vm, moved);
            self.directory.set(vm, id.map(|id| Place { group: to, id }));
            self.groups[from].vcpus.fetch_sub(vcpus, Relaxed);
            self.groups[to].vcpus.fetch_add(vcpus, Relaxed);
            self.end(from, source, poke);
            self.end(to, target, poke);
        };
        // The lower number first, or two that carry in opposite directions would wait for each other.
        let (low, high) = (from.min(to), from.max(to));
        self.groups[low].lock.with(|a| {
            self.groups[high].lock.with(|b| match from < to {
                true => pass(a, b),
                false => pass(b, a),
            });
        });
    }
}
