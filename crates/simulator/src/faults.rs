//! Preemptions where they hurt: at chosen points, by chance, and anywhere at all.
//!
//! Two kinds. A [`Fault`] takes a vCPU off its pCPU at a [`Point`] of the slow path. [`Jitter`]
//! disturbs any call of the environment: between two atomics of the lock there usually is one, so
//! it opens windows that no checkpoint names.

use pvqspin::Point;
use pvqspin_abi::Cpu;

/// Which passings of a point a fault hits, counted for each vCPU from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passing {
    /// This one only.
    Nth(u32),
    /// Every so many. `Every(0)` hits none.
    Every(u32),
    /// One in so many, drawn from the run's seed. `OneIn(0)` hits none.
    OneIn(u32),
}

/// One armed fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// Whom; `None`: every vCPU of the VM that locks.
    pub vcpu: Option<Cpu>,
    /// When.
    pub passing: Passing,
}

/// All faults of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A bit for each point at which a vCPU may be hit.
    pub(crate) fn points_of(&self, cpu: Cpu) -> u32 {
        self.of(cpu)
            .fold(0, |points, fault| points | 1 << fault.point as u32)
    }

    /// Whether a vCPU is hit the `passing`th time it passes a point. `chance` says whether a
    /// one-in-so-many event happens.
    pub(crate) fn hit(
        &self,
        cpu: Cpu,
        point: Point,
        passing: u32,
        mut chance: impl FnMut(u32) -> bool,
    ) -> bool {
        self.of(cpu)
            .filter(|fault| fault.point == point)
            .any(|fault| match fault.passing {
                Passing::Nth(nth) => passing == nth,
                Passing::Every(every) => every != 0 && passing.is_multiple_of(every),
                Passing::OneIn(many) => chance(many),
            })
    }

    fn of(&self, cpu: Cpu) -> impl Iterator<Item = &Fault> {
        self.0
            .iter()
            .filter(move |fault| fault.vcpu.is_none_or(|vcpu| vcpu == cpu))
    }
}

/// Disturbances at any call of the environment, drawn from the run's seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Jitter {
    /// One call in so many takes some time, up to `longest_ns`. 0: none.
    pub delay_one_in: u32,
    /// The longest such delay, in nanoseconds.
    pub longest_ns: u32,
    /// One call in so many costs the vCPU its pCPU. 0: none.
    pub preempt_one_in: u32,
    /// One call in so many is interrupted by a handler that takes a lock of its own, and may be
    /// interrupted in turn, four deep. 0: none. Only locks of ours are made for that.
    pub interrupt_one_in: u32,
    /// One timer in so many is late: the end of a slice is noticed up to a whole slice after it. As
    /// late as the next tick of a machine whose timer was lost. 0: none.
    pub late_timer_one_in: u32,
}

impl Jitter {
    /// Nothing is disturbed.
    pub const NONE: Self = Self {
        delay_one_in: 0,
        longest_ns: 0,
        preempt_one_in: 0,
        interrupt_one_in: 0,
        late_timer_one_in: 0,
    };

    pub(crate) fn is_none(&self) -> bool {
        *self
            == Self {
                longest_ns: self.longest_ns,
                ..Self::NONE
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_whom_it_names_when_it_says() {
        let cpu = |index| Cpu::new(index).expect("in range");
        let fault = |point, vcpu, passing| Fault {
            point,
            vcpu,
            passing,
        };
        let faults = Faults(vec![
            fault(Point::Joined, Some(cpu(1)), Passing::Nth(3)),
            fault(Point::Released, None, Passing::Every(2)),
            fault(Point::Taken, None, Passing::OneIn(9)),
        ]);
        let hits = |index, point, lucky| -> Vec<u32> {
            (1..=6)
                .filter(|&passing| faults.hit(cpu(index), point, passing, |_| lucky))
                .collect()
        };
        assert_eq!(hits(1, Point::Joined, true), [3]);
        assert_eq!(hits(0, Point::Joined, true), []);
        assert_eq!(hits(0, Point::Released, false), [2, 4, 6]);
        assert_eq!(hits(0, Point::Taken, false), []);
        assert_eq!(hits(0, Point::Taken, true), [1, 2, 3, 4, 5, 6]);
    }
}
