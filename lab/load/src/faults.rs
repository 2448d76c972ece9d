//! Armed faults: a driver takes a vCPU off its pCPU exactly where it hurts.
//!
//! A slice that ends in the link window, or between taking the lock and naming the holder, is
//! rare when it happens by chance: once in some million acquisitions. A test arms it instead, and
//! the vCPU loses its pCPU there as if its slice had ended.

use alloc::vec::Vec;

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
///
/// ```
/// use pvqspin::Point;
/// use pvqspin_load::{Fault, Passing};
///
/// // Every vCPU, each hundredth time it has joined the queue and no other vCPU knows yet.
/// let fault = Fault { point: Point::Joined, vcpu: None, passing: Passing::Every(100) };
/// # let _ = fault;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// The vCPU; `None`: every vCPU of the VM that locks.
    pub vcpu: Option<Cpu>,
    /// When.
    pub passing: Passing,
}

/// All faults of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A bit for each point at which a vCPU may be hit.
    #[must_use]
    pub fn points_of(&self, cpu: Cpu) -> u32 {
        self.of(cpu)
            .fold(0, |points, fault| points | 1 << fault.point as u32)
    }

    /// Whether a vCPU is hit the `passing`th time it passes a point. `chance` says whether a
    /// one-in-so-many event happens; of 0 none does.
    pub fn hit(
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

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
        assert_eq!(
            faults.points_of(cpu(0)),
            1 << Point::Released as u32 | 1 << Point::Taken as u32
        );
    }
}
