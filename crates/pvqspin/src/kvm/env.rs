//! [`Env`] on KVM: what a waiter sees of its vCPUs, and what it tells the host.

use core::cell::Cell;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::compiler_fence;

use super::features::Transport;
use super::instructions::Instructions;
use super::{HC_KICK_CPU, HC_SCHED_YIELD, Kernel, Kvm};
use crate::env::{Budget, Env, Sleep};
use crate::nodes::CpuNodes;
use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, RunSample, RunState, Status};

/// How often a spinning waiter looks at its condition between two looks at the clock.
const LOOKS_PER_TICK: u32 = 16;

/// How many vCPUs a yield looks at on its way along the chain. Each is a cache line of another CPU:
/// so many take about as long as the hypercall. A vCPU that far on names the next stretch itself.
const LONGEST_WALK: usize = 64;

impl<K: Kernel, I: Instructions> Env for Kvm<K, I> {
    const MAX_CPUS: usize = K::MAX_CPUS;
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

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut began = None;
        loop {
            for _ in 0..LOOKS_PER_TICK {
                if condition() {
                    return true;
                }
                core::hint::spin_loop();
            }
            if let Some(budget) = budget.get() {
                let now = Self::own_ns();
                // A clock that differs a little between CPUs must not make a budget endless.
                let spent = now.wrapping_sub(*began.get_or_insert(now)) as i64;
                if spent >= budget.into() {
                    return condition();
                }
            }
        }
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
        let target = match Self::end_of_chain(hint) {
            Ok(target) => target,
            Err(status) => return status,
        };
        let Some(apic_id) = K::vcpu(target).apic_id() else {
            return Status::Refused;
        };
        let vcpu = K::vcpu(K::cpu());
        let before = Self::sample(target);
        vcpu.begin_yield();
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
    /// The running CPU's own time in ns: the clock without what was stolen. Only differences count.
    fn own_ns() -> u64 {
        let record = K::record(K::cpu());
        loop {
            // The host adds to the record while this vCPU is off, so it stands still between two
            // equal looks, and the clock was read in the same run.
            let stolen = record.steal_ns();
            compiler_fence(SeqCst);
            let now = K::now_ns();
            compiler_fence(SeqCst);
            if record.steal_ns() == stolen {
                return now.wrapping_sub(stolen);
            }
        }
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

    /// The CPU to run for a hint, as far as the guest can tell.
    fn end_of_chain(hint: Hint) -> Result<Cpu, Status> {
        let me = Self::cpu();
        let vcpus = K::cpu_count();
        if hint.cpu == me || hint.cpu.index() >= vcpus {
            return Err(Status::Refused);
        }
        if Self::run_sample(hint.cpu).generation() != hint.generation {
            return Err(Status::Stale);
        }
        let looks = Cell::new(0);
        let (end, _) = chain::follow(vcpus, me.index(), hint.cpu.index(), |index| {
            looks.set(looks.get() + 1);
            // Every index is below the number of CPUs, all of which have a number.
            let cpu = Cpu::new(index).unwrap_or(hint.cpu);
            Look {
                state: Self::sample(cpu).state(),
                waits_for: K::vcpu(cpu)
                    .waiting_for()
                    .map(Cpu::index)
                    .filter(|_| looks.get() < LONGEST_WALK),
            }
        });
        match end {
            End::Run(index) => Cpu::new(index).ok_or(Status::Refused),
            End::Running => Err(Status::AlreadyRunning),
            End::NoTarget => Err(Status::Refused),
        }
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
