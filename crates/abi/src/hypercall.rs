//! The hypercalls, and the status that comes back.

use crate::cpu::Cpu;
use crate::page::Generation;

/// The vCPU that a waiter waits for, and what the waiter saw of it.
///
/// Preemption cannot be latched: between the look and the hypercall the target may have run and
/// stopped again. The hint therefore carries the target's run count as the caller sampled it, and
/// the host drops a hint whose count has moved on ([`Status::Stale`]). Power's `H_CONFER` carries
/// a yield count for the same reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hint {
    /// The virtual CPU to run.
    pub cpu: Cpu,
    /// Its generation when the caller saw it off its pCPU.
    pub generation: Generation,
}

/// A call from the guest to the hypervisor.
///
/// ```
/// use pvqspin_abi::{Cpu, Hypercall};
///
/// let call = Hypercall::Kick(Cpu::new(5).unwrap());
/// let [number, cpu, generation] = call.to_registers();
/// assert_eq!(Hypercall::from_registers(number, cpu, generation), Some(call));
/// assert_eq!(Hypercall::from_registers(99, 0, 0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hypercall {
    /// Stop this virtual CPU until it is kicked; run the hinted one instead, at once.
    ///
    /// A kick that arrived before the halt is remembered, and ends it at once.
    Halt(Option<Hint>),
    /// Wake this virtual CPU if it has halted, or remember the kick for its next halt.
    Kick(Cpu),
    /// Lend this pCPU to the hinted virtual CPU, or to the one that it waits for in the end. The
    /// caller stays runnable.
    YieldTo(Hint),
}

const HALT: u64 = 1;
const KICK: u64 = 2;
const YIELD_TO: u64 = 3;

impl Hypercall {
    /// Call number, `cpu + 1` (0 for none), generation: the three registers of the call.
    #[must_use]
    pub const fn to_registers(self) -> [u64; 3] {
        match self {
            Self::Halt(None) => [HALT, 0, 0],
            Self::Halt(Some(hint)) => [
                HALT,
                hint.cpu.plus_one() as u64,
                hint.generation.get() as u64,
            ],
            Self::Kick(cpu) => [KICK, cpu.plus_one() as u64, 0],
            Self::YieldTo(hint) => [
                YIELD_TO,
                hint.cpu.plus_one() as u64,
                hint.generation.get() as u64,
            ],
        }
    }

    /// Reads the three registers of a call; `None` if the number or the CPU makes no sense.
    ///
    /// The registers come from a guest and may hold anything. A halt whose hint makes no sense is
    /// a halt without a hint: the guest asked to sleep, and may.
    #[must_use]
    pub fn from_registers(number: u64, cpu: u64, generation: u64) -> Option<Self> {
        let cpu = u32::try_from(cpu).ok().and_then(Cpu::from_plus_one);
        let hint = cpu.map(|cpu| Hint {
            cpu,
            generation: Generation::new(generation as u32),
        });
        match number {
            HALT => Some(Self::Halt(hint)),
            KICK => cpu.map(Self::Kick),
            YIELD_TO => hint.map(Self::YieldTo),
            _ => None,
        }
    }
}

/// What became of a hypercall. A guest may ignore it; the lock uses it to back off.
///
/// The register that carries it holds the number of the variant.
///
/// ```
/// use pvqspin_abi::Status;
///
/// assert_eq!(Status::from_register(Status::Stale as u64), Status::Stale);
/// assert_eq!(Status::from_register(99), Status::Refused);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Status {
    /// The target, or the one that it waits for, was put on a pCPU.
    Ran = 0,
    /// What it all waits for is running already. Asking again soon gains nothing.
    AlreadyRunning = 1,
    /// The target has run since the caller looked, so the hint says nothing any more.
    Stale = 2,
    /// The host would not: no such virtual CPU, nothing runnable, or no right to it.
    Refused = 3,
}

impl Status {
    /// Reads a status register. Anything unknown is [`Status::Refused`].
    #[must_use]
    pub const fn from_register(raw: u64) -> Self {
        match raw {
            0 => Self::Ran,
            1 => Self::AlreadyRunning,
            2 => Self::Stale,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(cpu: usize, generation: u32) -> Hint {
        Hint {
            cpu: Cpu::new(cpu).expect("in range"),
            generation: Generation::new(generation),
        }
    }

    #[test]
    fn every_call_survives_its_registers() {
        for call in [
            Hypercall::Halt(None),
            Hypercall::Halt(Some(hint(0, 7))),
            Hypercall::Kick(hint(16_381, 0).cpu),
            Hypercall::YieldTo(hint(4_094, u32::MAX)),
        ] {
            let [number, cpu, generation] = call.to_registers();
            assert_eq!(
                Hypercall::from_registers(number, cpu, generation),
                Some(call)
            );
        }
    }

    #[test]
    fn a_hostile_guest_gets_no_call_out_of_nonsense() {
        assert_eq!(Hypercall::from_registers(KICK, 0, 0), None);
        assert_eq!(Hypercall::from_registers(YIELD_TO, u64::MAX, 0), None);
        assert_eq!(Hypercall::from_registers(YIELD_TO, 1 << 32 | 1, 0), None);
        assert_eq!(
            Hypercall::from_registers(HALT, u64::MAX, 3),
            Some(Hypercall::Halt(None))
        );
    }

    #[test]
    fn an_unknown_status_promises_nothing() {
        for raw in 0..4 {
            assert_eq!(Status::from_register(raw) as u64, raw);
        }
        assert_eq!(Status::from_register(u64::MAX), Status::Refused);
    }
}
