//! What the environments of real guests have in common: time that a vCPU had to itself, and the end of a
//! chain.

use core::cell::Cell;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::compiler_fence;

use crate::env::{Budget, Env};
use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, Status};

/// How often a spinning waiter looks at its condition between two looks at the clock.
const LOOKS_PER_TICK: u32 = 16;

/// How many vCPUs a yield looks at on its way along the chain. Each is a cache line of another CPU:
/// so many take about as long as the hypercall. A vCPU that far on names the next stretch itself.
const LONGEST_WALK: usize = 64;

/// Spins until `condition` holds or the budget is gone by a clock of the running vCPU.
pub(crate) fn spin(
    mut condition: impl FnMut() -> bool,
    budget: Budget,
    clock: impl Fn() -> u64,
) -> bool {
    let mut began = None;
    loop {
        for _ in 0..LOOKS_PER_TICK {
            if condition() {
                return true;
            }
            core::hint::spin_loop();
        }
        if let Some(budget) = budget.get() {
            let now = clock();
            // A clock that differs a little between CPUs must not make a budget endless.
            let spent = now.wrapping_sub(*began.get_or_insert(now)) as i64;
            if spent >= budget.into() {
                return condition();
            }
        }
    }
}

/// The running vCPU's own time in ns: the clock without what was stolen. Only differences count.
pub(crate) fn own_ns(now: impl Fn() -> u64, stolen: impl Fn() -> u64) -> u64 {
    loop {
        // The host adds to what was stolen while this vCPU is off, so it stands still between two equal
        // looks, and the clock was read in the same run.
        let before = stolen();
        compiler_fence(SeqCst);
        let now = now();
        compiler_fence(SeqCst);
        if stolen() == before {
            return now.wrapping_sub(before);
        }
    }
}

/// The CPU to run for a hint, as far as the guest can tell: for a host that takes a name and follows no
/// chain.
pub(crate) fn end_of_chain<E: Env>(hint: Hint) -> Result<Cpu, Status> {
    let (me, cpus) = (E::cpu(), E::cpu_count());
    if hint.cpu == me || hint.cpu.index() >= cpus {
        return Err(Status::Refused);
    }
    if E::run_sample(hint.cpu).generation() != hint.generation {
        return Err(Status::Stale);
    }
    let looks = Cell::new(0);
    let (end, _) = chain::follow(cpus, me.index(), hint.cpu.index(), |index| {
        looks.set(looks.get() + 1);
        // Every index is below the number of CPUs, all of which have a number.
        let cpu = Cpu::new(index).unwrap_or(hint.cpu);
        Look {
            state: E::run_sample(cpu).state(),
            waits_for: E::waiting_for(cpu)
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
