//! Two drivers side by side: whether a model says what a machine does.
//!
//! Both ran the same locks at the same points. What is judged is throughput over bound, each
//! driver's own (so that sections that last a little longer on one do not count), and the order
//! of the locks, as far as the machine itself tells them apart.

use crate::aggregate::{AtPoint, Summary};
use crate::spread::Spread;

/// How far the model's throughput over bound may be from the machine's.
pub const TOLERANCE: f64 = 0.1;

/// Two locks that are closer than this, in throughput over bound, are level.
const LEVEL: f64 = 0.02;

/// One lock at one point, by both.
#[derive(Clone, Debug)]
pub struct Pair<'r> {
    /// What the machine did.
    pub real: &'r Summary,
    /// What the model says.
    pub model: &'r Summary,
}

impl Pair<'_> {
    /// By how much the model's throughput over bound is above the machine's.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.model.over_bound.median - self.real.over_bound.median
    }

    /// The same over what the machine did.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        self.difference() / self.real.over_bound.median.max(f64::MIN_POSITIVE)
    }

    /// Whether it is within [`TOLERANCE`].
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.difference().abs() <= TOLERANCE
    }
}

/// All locks at one point, by both.
#[derive(Clone, Debug)]
pub struct Agreement<'r> {
    /// The machine's point.
    pub at: &'r AtPoint,
    /// Every lock that both ran, in the machine's order.
    pub pairs: Vec<Pair<'r>>,
}

/// Two locks that the machine tells apart, and the model puts the other way round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inversion<'r> {
    /// The faster one on the machine.
    pub faster: &'r str,
    /// The slower one on the machine.
    pub slower: &'r str,
}

/// How the orders of two drivers compare at one point.
#[derive(Clone, PartialEq, Debug)]
pub struct Order<'r> {
    /// Pairs of locks that the machine tells apart.
    pub told_apart: usize,
    /// Those of them that the model puts the other way round.
    pub inversions: Vec<Inversion<'r>>,
    /// Those of them that are level in the model.
    pub level: usize,
}

impl Order<'_> {
    /// Kendall's tau over the pairs that the machine tells apart: 1 if all are in the same order,
    /// -1 if all are the other way round; `None` if there are no such pairs.
    #[must_use]
    pub fn tau(&self) -> Option<f64> {
        let (all, against) = (self.told_apart as f64, self.inversions.len() as f64);
        (self.told_apart > 0).then(|| (all - 2.0 * against - self.level as f64) / all)
    }
}

/// Puts two drivers' points side by side: those that both have.
#[must_use]
pub fn agreements<'r>(real: &'r [AtPoint], model: &'r [AtPoint]) -> Vec<Agreement<'r>> {
    let of = |at: &'r AtPoint| {
        let twin = model.iter().find(|other| other.point == at.point)?;
        let pairs = (at.locks.iter())
            .filter_map(|real| {
                let model = twin.lock(&real.lock)?;
                Some(Pair { real, model })
            })
            .collect();
        Some(Agreement { at, pairs })
    };
    real.iter().filter_map(of).collect()
}

impl<'r> Agreement<'r> {
    /// Compares the orders by throughput over bound.
    #[must_use]
    pub fn order(&self) -> Order<'r> {
        let mut order = Order {
            told_apart: 0,
            inversions: Vec::new(),
            level: 0,
        };
        for faster in &self.pairs {
            for slower in &self.pairs {
                if !is_above(&faster.real.over_bound, &slower.real.over_bound) {
                    continue;
                }
                order.told_apart += 1;
                let gap = faster.model.over_bound.median - slower.model.over_bound.median;
                if gap < -LEVEL {
                    order.inversions.push(Inversion {
                        faster: &faster.real.lock,
                        slower: &slower.real.lock,
                    });
                } else if gap <= LEVEL {
                    order.level += 1;
                }
            }
        }
        order
    }
}

/// Whether every repeat of one is above every repeat of the other, and not by a trifle.
fn is_above(a: &Spread, b: &Spread) -> bool {
    a.min > b.max && a.median > b.median + LEVEL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
    use crate::samples;
    use crate::schema::Record;

    fn points(figures: &[(&str, [f64; 2])]) -> Vec<AtPoint> {
        let mut records: Vec<Record> = Vec::new();
        for (lock, repeats) in figures {
            for (repeat, over_bound) in (0..).zip(repeats) {
                records.push(Record {
                    repeat,
                    throughput_over_bound: *over_bound,
                    ..samples::record(lock, 4, 1.0)
                });
            }
        }
        summarise(&records)
    }

    #[test]
    fn what_the_machine_cannot_tell_apart_is_not_held_against_the_model() {
        let real = points(&[("a", [0.9, 0.5]), ("b", [0.6, 0.6]), ("c", [0.2, 0.3])]);
        let model = points(&[("a", [0.5; 2]), ("b", [0.9; 2]), ("c", [0.95; 2])]);
        let all = agreements(&real, &model);
        let order = all[0].order();
        assert_eq!(order.told_apart, 2, "a and b overlap");
        let inverted: Vec<_> = (order.inversions.iter())
            .map(|one| (one.faster, one.slower))
            .collect();
        assert_eq!(inverted.len(), 2, "{inverted:?}");
        assert!(inverted.contains(&("a", "c")) && inverted.contains(&("b", "c")));
        assert_eq!(order.tau(), Some(-1.0));
    }

    #[test]
    fn level_in_the_model_is_neither_right_nor_wrong() {
        let real = points(&[("a", [0.9; 2]), ("b", [0.6; 2])]);
        let model = points(&[("a", [0.7; 2]), ("b", [0.71; 2])]);
        let all = agreements(&real, &model);
        let order = all[0].order();
        assert_eq!((order.told_apart, order.level), (1, 1));
        assert_eq!(order.tau(), Some(0.0));
        let alone = agreements(&real[..0], &model);
        assert!(alone.is_empty());
    }

    #[test]
    fn the_tolerance_is_absolute() {
        let real = points(&[("a", [0.5; 2]), ("b", [0.01; 2])]);
        let model = points(&[("a", [0.62; 2]), ("b", [0.1; 2])]);
        let all = agreements(&real, &model);
        let agrees: Vec<bool> = all[0].pairs.iter().map(Pair::agrees).collect();
        assert_eq!(agrees, [false, true]);
        assert!((all[0].pairs[0].relative_error() - 0.24).abs() < 1e-9);
    }
}
