//! A median and the interval that holds it, and what may be concluded from it.
//!
//! Two ways, by the number of repeats, since a bootstrap cannot make up what three values do not
//! hold: the interval of their median would be their range, which misses in one case of four.
//!
//! | repeats | interval |
//! | --- | --- |
//! | 1, 2 | none: nothing is judged |
//! | 3 to 5 | Student's t of the mean; of ratios, of the mean of their logarithms |
//! | 6 and more | bootstrap of the median, percentiles widened for small samples |
//!
//! `docs/decisions/0031` has the measured coverage of both.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::spread::Spread;

/// Fewer repeats than this are not judged.
pub const LEAST: usize = 3;

/// How often an interval holds the true figure, unless something else is said.
pub const CONFIDENCE: f64 = 0.95;

/// Within this share of each other, two figures count as the same.
pub const LEVEL: f64 = 0.05;

/// From so many repeats on, the median is bootstrapped.
const BOOTSTRAP: usize = 6;

/// How many samples are drawn for a bootstrap.
const RESAMPLES: usize = 2_000;

/// What is behind the figures: it decides what may be concluded from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A machine measured, and every repeat comes out differently.
    Measured,
    /// A simulation in virtual time: the same on every machine, so one run is exact. Several
    /// repeats have seeds of their own, and are judged as if they had been measured.
    Simulated,
}

impl Evidence {
    /// What results of this driver are.
    #[must_use]
    pub fn of_driver(driver: &str) -> Self {
        match driver {
            "simulator" => Self::Simulated,
            _ => Self::Measured,
        }
    }
}

/// A figure and the interval that holds its true value with [`CONFIDENCE`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median of the repeats.
    pub middle: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many repeats it comes from.
    pub repeats: usize,
}

/// How a figure compares with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Less, beyond the noise.
    Less,
    /// The same, within [`LEVEL`].
    Same,
    /// More, beyond the noise.
    More,
    /// The interval allows more than one of these.
    Unclear,
}

impl Estimate {
    /// Of a figure; `None` of fewer than [`LEAST`] values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        interval(values, CONFIDENCE)
    }

    /// Of a ratio, or of anything else that is above 0 and is compared by factors.
    #[must_use]
    pub fn of_ratios(values: &[f64]) -> Option<Self> {
        interval(&logarithms(values)?, CONFIDENCE).map(Self::exponential)
    }

    /// Of the ratio of two figures that were not measured beside each other: `after` over
    /// `before`. `confidence` is how often it holds.
    #[must_use]
    pub fn of_change(before: &[f64], after: &[f64], confidence: f64) -> Option<Self> {
        let (before, after) = (logarithms(before)?, logarithms(after)?);
        let repeats = before.len().min(after.len());
        if repeats < LEAST {
            return None;
        }
        let middle = median(&after) - median(&before);
        let (low, high) = if repeats < BOOTSTRAP {
            welch(&before, &after, confidence)
        } else {
            let mut random = Pcg64Mcg::seed_from_u64(SEED);
            let draws = || {
                let drawn = median(&resampled(&after, &mut random));
                drawn - median(&resampled(&before, &mut random))
            };
            percentiles(draws, repeats, confidence)
        };
        Some(Self::around(middle, (low, high), repeats).exponential())
    }

    /// The same as [`of`](Self::of), of figures with this behind them.
    pub(crate) fn of_by(values: &[f64], evidence: Evidence) -> Option<Self> {
        match evidence {
            Evidence::Simulated if values.len() < LEAST => Self::exact(values),
            _ => Self::of(values),
        }
    }

    /// The same as [`of_ratios`](Self::of_ratios), of figures with this behind them.
    pub(crate) fn of_ratios_by(values: &[f64], evidence: Evidence) -> Option<Self> {
        match evidence {
            Evidence::Simulated if values.len() < LEAST => Self::exact(values),
            _ => Self::of_ratios(values),
        }
    }

    /// A figure without noise: the median of what there is.
    fn exact(values: &[f64]) -> Option<Self> {
        let middle = (!values.is_empty()).then(|| median(values))?;
        Some(Self::around(middle, (middle, middle), values.len()))
    }

    fn around(middle: f64, (low, high): (f64, f64), repeats: usize) -> Self {
        Self {
            middle,
            low: low.min(middle),
            high: high.max(middle),
            repeats,
        }
    }

    fn exponential(self) -> Self {
        Self {
            middle: self.middle.exp(),
            low: self.low.exp(),
            high: self.high.exp(),
            ..self
        }
    }

    /// What a ratio says: whether there is more, less or as much of it as of what it is over.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict_within(LEVEL)
    }

    /// The same, where another share counts as the same.
    #[must_use]
    pub fn verdict_within(&self, level: f64) -> Verdict {
        if self.low >= 1.0 / (1.0 + level) && self.high <= 1.0 + level {
            Verdict::Same
        } else if self.low > 1.0 {
            Verdict::More
        } else if self.high < 1.0 {
            Verdict::Less
        } else {
            Verdict::Unclear
        }
    }
}

/// Draws are the same in every run of the program: a page is made twice, and says the same.
const SEED: u64 = 0x7076_7173_7069_6e21;

fn logarithms(values: &[f64]) -> Option<Vec<f64>> {
    let logarithm = |value: &f64| (*value > 0.0 && value.is_finite()).then(|| value.ln());
    values.iter().map(logarithm).collect()
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values.iter().copied()).median
}

fn interval(values: &[f64], confidence: f64) -> Option<Estimate> {
    let repeats = values.len();
    if repeats < LEAST || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let ends = if repeats < BOOTSTRAP {
        student(values, confidence)
    } else {
        let mut random = Pcg64Mcg::seed_from_u64(SEED);
        percentiles(
            || median(&resampled(values, &mut random)),
            repeats,
            confidence,
        )
    };
    Some(Estimate::around(median(values), ends, repeats))
}

/// Mean, and variance of that mean.
fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n - 1.0) / n)
}

/// How many standard errors an interval is wide, to each side.
fn student_factor(freedom: f64, confidence: f64) -> f64 {
    // Only a freedom that is not above 0 is refused, and then there is no interval.
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |student| {
        student.inverse_cdf(0.5 + confidence / 2.0)
    })
}

fn student(values: &[f64], confidence: f64) -> (f64, f64) {
    let (mean, variance) = mean_and_variance(values);
    let width = student_factor(values.len() as f64 - 1.0, confidence) * variance.sqrt();
    (mean - width, mean + width)
}

/// Welch's interval of a difference of means: the two need not scatter alike.
fn welch(before: &[f64], after: &[f64], confidence: f64) -> (f64, f64) {
    let ((mean_before, a), (mean_after, b)) = (mean_and_variance(before), mean_and_variance(after));
    let difference = mean_after - mean_before;
    if a + b <= 0.0 {
        return (difference, difference);
    }
    let share = |variance: f64, n: usize| variance * variance / (n as f64 - 1.0);
    let freedom = (a + b).powi(2) / (share(a, before.len()) + share(b, after.len()));
    let width = student_factor(freedom, confidence) * (a + b).sqrt();
    (difference - width, difference + width)
}

fn resampled(values: &[f64], random: &mut Pcg64Mcg) -> Vec<f64> {
    let n = values.len() as u64;
    // Of 32 bits, n is far too small for the remainder to be uneven.
    let drawn = |_| values[(u64::from(random.next_u32()) % n) as usize];
    (0..n).map(drawn).collect()
}

/// The interval between two percentiles of what is drawn.
///
/// Of few values a percentile interval is too narrow, for the same reasons for which Student's t is
/// wider than the normal distribution; the percentiles move outwards by as much.
fn percentiles(mut draw: impl FnMut() -> f64, repeats: usize, confidence: f64) -> (f64, f64) {
    let mut drawn: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    drawn.sort_by(f64::total_cmp);
    let n = repeats as f64;
    let widened = student_factor(n - 1.0, confidence) * (n / (n - 1.0)).sqrt();
    let tail = Normal::standard().cdf(-widened);
    let last = drawn.len() - 1;
    let skipped = (tail * drawn.len() as f64) as usize;
    (drawn[skipped.min(last)], drawn[last - skipped.min(last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws from distributions whose median is known.
    struct Source(Pcg64Mcg);

    impl Source {
        fn new() -> Self {
            Self(Pcg64Mcg::seed_from_u64(1))
        }

        fn uniform(&mut self) -> f64 {
            (self.0.next_u32() as f64 + 0.5) / 2f64.powi(32)
        }

        fn normal(&mut self) -> f64 {
            Normal::standard().inverse_cdf(self.uniform())
        }

        /// Three per cent of noise, and one run of ten that something made much slower.
        fn spoilt(&mut self) -> f64 {
            let scale = if self.uniform() < 0.1 { 0.5 } else { 0.03 };
            scale * self.normal()
        }
    }

    /// How many of these intervals do not hold the truth, in per cent.
    fn missed(repeats: usize, mut draw: impl FnMut() -> f64) -> f64 {
        // A bootstrap takes two thousand samples of its own.
        let trials = if repeats < BOOTSTRAP { 4_000 } else { 500 };
        let misses = (0..trials)
            .filter(|_| {
                let values: Vec<f64> = (0..repeats).map(|_| draw().exp()).collect();
                let held = Estimate::of_ratios(&values).expect("enough");
                held.low > 1.0 || held.high < 1.0
            })
            .count();
        100.0 * misses as f64 / trials as f64
    }

    #[test]
    fn an_interval_holds_the_truth_as_often_as_it_says() {
        for repeats in [3, 4, 5, 6, 9] {
            let mut source = Source::new();
            let normal = missed(repeats, || 0.03 * source.normal());
            let spoilt = missed(repeats, || source.spoilt());
            println!("{repeats:>3} repeats: missed {normal:.1} %, with outliers {spoilt:.1} %");
            assert!(normal < 6.5, "{repeats} repeats: {normal} %");
            assert!(spoilt < 6.5, "{repeats} repeats: {spoilt} %");
        }
    }

    #[test]
    fn what_is_the_same_is_seldom_called_different() {
        for (repeats, trials) in [(3, 4_000), (5, 4_000), (6, 300)] {
            let mut source = Source::new();
            let mut several =
                || -> Vec<f64> { (0..repeats).map(|_| source.spoilt().exp()).collect() };
            let wrong = (0..trials)
                .filter(|_| {
                    let change = Estimate::of_change(&several(), &several(), CONFIDENCE);
                    let verdict = change.expect("enough").verdict();
                    matches!(verdict, Verdict::More | Verdict::Less)
                })
                .count();
            let percent = 100.0 * wrong as f64 / trials as f64;
            println!("{repeats:>3} repeats of both: {percent:.1} % called different");
            assert!(percent < 6.5, "{repeats}: {percent} %");
        }
    }

    #[test]
    fn few_repeats_say_nothing() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[1.0, 1.0]), None);
        assert_eq!(Estimate::of_ratios(&[1.0, 0.0, 1.0]), None);
        assert_eq!(Estimate::of(&[1.0, f64::NAN, 1.0]), None);
        assert_eq!(Estimate::of_change(&[1.0; 3], &[1.0; 2], CONFIDENCE), None);
    }

    #[test]
    fn a_verdict_needs_an_interval_that_allows_only_one() {
        let verdict = |low: f64, high: f64| {
            let middle = (low * high).sqrt();
            Estimate::around(middle, (low, high), 3).verdict()
        };
        assert_eq!(verdict(0.97, 1.02), Verdict::Same);
        assert_eq!(verdict(1.01, 1.04), Verdict::Same, "too little to speak of");
        assert_eq!(verdict(1.01, 1.30), Verdict::More);
        assert_eq!(verdict(0.40, 0.99), Verdict::Less);
        assert_eq!(verdict(0.40, 1.01), Verdict::Unclear);
        assert_eq!(verdict(0.90, 1.01), Verdict::Unclear);
    }

    #[test]
    fn noise_widens_and_repeats_narrow() {
        let wide = Estimate::of_ratios(&[0.5, 1.0, 2.0]).expect("enough");
        assert_eq!(wide.verdict(), Verdict::Unclear);
        let same = Estimate::of_ratios(&[0.995, 1.0, 1.005]).expect("enough");
        assert_eq!(same.verdict(), Verdict::Same);
        let many = Estimate::of_ratios(&[1.3; 12]).expect("enough");
        assert!((many.low - 1.3).abs() < 1e-9 && (many.high - 1.3).abs() < 1e-9);
        assert_eq!(
            many,
            Estimate::of_ratios(&[1.3; 12]).expect("the same draws")
        );
    }
}
