//! [`Env`] on KVM: what a waiter sees of its vCPUs, and what it tells the host.

use super::features::Transport;
use super::instructions::Instructions;
use super::{HC_KICK_CPU, HC_SCHED_YIELD, Kernel, Kvm};
use crate::env::{Budget, Env, Sleep};
use crate::guest::{end_of_chain, own_ns, spin};
use crate::nodes::CpuNodes;
use pvqspin_abi::{Cpu, Hint, RunSample, RunState, Status};

impl<K: Kernel, I: Instructions> Env for Kvm<K, I> {
    const MAX_CPUS: usize = K::MAX_CPUS;
    const LOOKS: u32 = K::LOOKS;
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline]
    fn cpu() -> Cpu {
        K::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        K::nodes(cpu)
    }

    #[inline]
    fn cpu_count() -> usize {
        K::cpu_count()
    }

    #[inline]
    fn now_ns() -> u64 {
        K::now_ns()
    }

    #[inline]
    fn may_lend() -> bool {
        K::may_lend()
    }

    fn self_deadlock(lock: usize) {
        K::self_deadlock(lock);
    }

    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        K::interrupt_state()
    }

    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        K::order_violation(violation);
    }

    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        spin(condition, budget, Self::own_ns)
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let sample = Self::sample(cpu);
        if Self::is_paravirtual() {
            sample
        } else {
            RunSample::new(RunState::Running, sample.generation())
        }
    }

    fn pressure() -> bool {
        if !Self::is_paravirtual() {
            return false;
        }
        // A host that does not tell may be short of pCPUs at any time.
        !K::host().has_steal_time() || {
            let cpu = K::cpu();
            K::vcpu(cpu).lacks_pcpu(K::record(cpu), K::now_ns())
        }
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        if !Self::is_paravirtual() {
            return None;
        }
        let vcpu = K::vcpu(K::cpu());
        let before = vcpu.waiting_for();
        vcpu.set_waiting_for(cpu);
        before
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        K::vcpu(cpu).waiting_for()
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        K::vcpu(cpu).set_waiting_for(to);
    }

    fn yield_to(hint: Hint) -> Status {
        if K::host().transport() < Transport::DirectedYield {
            return Status::Refused;
        }
        let target = match end_of_chain::<Self>(hint) {
            Ok(target) => target,
            Err(status) => return status,
        };
        let Some(apic_id) = K::vcpu(target).apic_id() else {
            return Status::Refused;
        };
        let cpu = K::cpu();
        let vcpu = K::vcpu(cpu);
        let before = Self::sample(target);
        vcpu.begin_yield(K::record(cpu));
        Self::hypercall(HC_SCHED_YIELD, apic_id.into(), 0);
        vcpu.end_yield();
        let after = Self::sample(target);
        if after.is_preempted() && after.generation() == before.generation() {
            Status::Refused
        } else {
            Status::Ran
        }
    }
}

impl<K: Kernel, I: Instructions> Kvm<K, I> {
    fn own_ns() -> u64 {
        let record = K::record(K::cpu());
        own_ns(K::now_ns, || record.steal_ns())
    }

    /// Whether the host is told anything at all.
    fn is_paravirtual() -> bool {
        K::host().transport() != Transport::Native
    }

    fn sample(cpu: Cpu) -> RunSample {
        K::vcpu(cpu).sample_with(K::record(cpu))
    }

    fn hypercall(number: u64, first: u64, second: u64) {
        // SAFETY: a CPU has started (`start_cpu`, which vouches for CPL 0 on KVM), or there would be
        // no APIC id to pass; and both calls only ever schedule.
        //
        // What it returns says nothing: 0 for all that is understood.
        let _ = unsafe { I::hypercall(K::host().call(), number, first, second) };
    }

    fn halt(hint: Option<Hint>) {
        let cpu = K::cpu();
        let vcpu = K::vcpu(cpu);
        // Nothing could wake a CPU that has not started, or that the host calls it does not wake.
        if !Self::is_paravirtual() || vcpu.apic_id().is_none() {
            return;
        }
        // The hint first, while there is a pCPU to give it: perhaps the kick comes meanwhile.
        if let Some(hint) = hint {
            let _ = Self::yield_to(hint);
        }
        // SAFETY: CPL 0, as `start_cpu` was promised. Each way below unmasks what was masked here.
        let were_enabled = unsafe { I::mask() };
        if vcpu.begin_halt(K::record(cpu)) {
            if were_enabled {
                // SAFETY: as for `mask`; they were enabled.
                unsafe { I::halt_unmasked() };
            } else {
                // SAFETY: as for `mask`. A CPU that sees this one halt and does not kick it breaks
                // the contract of the lock, which kicks each waiter that it finds halted.
                unsafe { I::halt_masked() };
            }
            vcpu.end_halt();
        } else if were_enabled {
            // SAFETY: as for `mask`; they were enabled.
            unsafe { I::unmask() };
        }
    }

    fn kick(cpu: Cpu) {
        if !Self::is_paravirtual() {
            return;
        }
        let vcpu = K::vcpu(cpu);
        let sleeps = vcpu.note_kick();
        // A preempted one has the host's favour from the same call.
        if (sleeps || Self::sample(cpu).is_preempted())
            && let Some(apic_id) = vcpu.apic_id()
        {
            Self::hypercall(HC_KICK_CPU, 0, apic_id.into());
        }
    }
}
