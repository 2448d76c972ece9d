//! What may be concluded from a lock's repeats.

use crate::aggregate::Summary;
use crate::estimate::{Estimate, Evidence, LEAST};
use crate::repeats::{Figure, Repeat};

impl Summary {
    /// The repeats that may be judged.
    pub fn quiet(&self) -> impl Iterator<Item = &Repeat> {
        self.each.iter().filter(|repeat| !repeat.disturbed)
    }

    /// The longest wait of the repeats that may be judged, or of all if there is none, in ns.
    #[must_use]
    pub fn longest_wait_ns(&self) -> f64 {
        let quiet = self.quiet().map(|repeat| repeat.wait_max_ns);
        quiet.max_by(f64::total_cmp).unwrap_or(self.wait_max_ns.max)
    }

    /// Whether there are enough repeats to judge anything.
    #[must_use]
    pub fn is_judged(&self, evidence: Evidence) -> bool {
        let quiet = self.quiet().count();
        quiet >= LEAST || (evidence == Evidence::Simulated && quiet > 0)
    }

    /// The median of a figure, with the interval that holds it; `None` if nothing can be said.
    #[must_use]
    pub fn estimate(&self, figure: Figure, evidence: Evidence) -> Option<Estimate> {
        let values: Vec<f64> = self.quiet().map(figure).collect();
        Estimate::of_by(&values, evidence)
    }

    /// A figure over the same of another lock at the same point, repeat by repeat; `None` if
    /// nothing can be said.
    #[must_use]
    pub fn ratio_to(&self, other: &Self, figure: Figure, evidence: Evidence) -> Option<Estimate> {
        let ratios: Vec<f64> = self
            .quiet()
            .filter_map(|mine| {
                let theirs = other.quiet().find(|theirs| theirs.number == mine.number)?;
                let ratio = figure(mine) / figure(theirs);
                (ratio.is_finite() && ratio > 0.0).then_some(ratio)
            })
            .collect();
        Estimate::of_ratios_by(&ratios, evidence)
    }
}
