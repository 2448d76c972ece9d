//! Armed faults: take a vCPU off its pCPU exactly where it hurts.
//!
//! A slice that ends in the link window, or between taking the lock and naming the holder, is
//! rare when it happens by chance: once in some million acquisitions. A test arms it instead, and
//! the vCPU loses its pCPU there as if its slice had ended.

use pvqspin::Point;
use pvqspin_abi::Cpu;

/// Which passings of a point a fault hits, counted for each vCPU from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passing {
    /// This one only.
    Nth(u32),
    /// Every so many. `Every(0)` hits none.
    Every(u32),
}

/// One armed fault.
///
/// ```
/// use pvqspin::Point;
/// use pvqspin_real_time::{Fault, Passing};
///
/// // Every vCPU, each hundredth time it has joined the queue and nobody knows yet.
/// let fault = Fault { point: Point::Joined, vcpu: None, passing: Passing::Every(100) };
/// # let _ = fault;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// Whom; `None`: every vCPU.
    pub vcpu: Option<Cpu>,
    /// When.
    pub passing: Passing,
}

/// All faults of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A bit for each point at which a vCPU may be hit.
    pub fn points_of(&self, cpu: Cpu) -> u32 {
        self.of(cpu)
            .fold(0, |points, fault| points | 1 << fault.point as u32)
    }

    /// Whether a vCPU is hit the `passing`th time it passes a point.
    pub fn hit(&self, cpu: Cpu, point: Point, passing: u32) -> bool {
        self.of(cpu)
            .filter(|fault| fault.point == point)
            .any(|fault| match fault.passing {
                Passing::Nth(nth) => passing == nth,
                Passing::Every(every) => every != 0 && passing.is_multiple_of(every),
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

    #[test]
    fn a_fault_hits_whom_it_names_when_it_says() {
        let cpu = |index| Cpu::new(index).expect("in range");
        let faults = Faults(vec![
            Fault {
                point: Point::Joined,
                vcpu: Some(cpu(1)),
                passing: Passing::Nth(3),
            },
            Fault {
                point: Point::Released,
                vcpu: None,
                passing: Passing::Every(2),
            },
        ]);
        let hits = |index, point| -> Vec<u32> {
            (1..=6)
                .filter(|&passing| faults.hit(cpu(index), point, passing))
                .collect()
        };
        assert_eq!(hits(1, Point::Joined), [3]);
        assert_eq!(hits(0, Point::Joined), []);
        assert_eq!(hits(0, Point::Released), [2, 4, 6]);
        assert_eq!(faults.points_of(cpu(0)), 1 << Point::Released as u32);
        assert_eq!(
            faults.points_of(cpu(1)),
            1 << Point::Joined as u32 | 1 << Point::Released as u32
        );
    }
}
