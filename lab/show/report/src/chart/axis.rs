//! One scale type for every picture: linear, logarithmic, in steps, or rows.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Waits below this are drawn there, in ns: about what one atomic instruction takes.
pub(super) const SHORTEST_WAIT_NS: f64 = 100.0;

/// About how many lines of the grid a scale has.
const MOST_TICKS: usize = 9;

/// How values lie along an axis.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Linear,
    Logarithmic,
    /// At equal distances, with these labels.
    Steps(Vec<String>),
    /// Nines of a share: 1 is 90 %, 2 is 99 %, 3 is 99.9 %.
    Nines,
    /// One below the other, labelled by the picture itself.
    Rows,
}

/// An axis: its title, and where values lie.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) title: String,
    kind: Kind,
    low: f64,
    high: f64,
    show: fn(f64) -> String,
}

impl Axis {
    /// From 0 to the highest value, or to `at_least`.
    pub(crate) fn linear(
        title: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        at_least: f64,
        show: fn(f64) -> String,
    ) -> Self {
        let high = values.into_iter().fold(at_least, f64::max);
        Self {
            title: title.into(),
            kind: Kind::Linear,
            low: 0.0,
            high: high * 1.02,
            show,
        }
    }

    /// From the lowest value to the highest, with room around them; values below `floor` lie there.
    pub(crate) fn logarithmic(
        title: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        floor: f64,
        show: fn(f64) -> String,
    ) -> Self {
        let (low, high) = values
            .into_iter()
            .map(|value| value.max(floor))
            .fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = if low > high {
            (floor, floor * 10.0)
        } else {
            (low, high)
        };
        Self {
            title: title.into(),
            kind: Kind::Logarithmic,
            low: low / 1.5,
            high: high * 1.5,
            show,
        }
    }

    /// Labels at equal distances, and ticks nowhere else. Values are their places, from 0.
    pub(crate) fn steps(title: impl Into<String>, labels: Vec<String>) -> Self {
        Self {
            title: title.into(),
            low: -0.25,
            high: labels.len() as f64 - 0.75,
            kind: Kind::Steps(labels),
            show: |_| String::new(),
        }
    }

    /// Shares on a logarithmic scale, as percentiles are drawn: values are [`nines`], from 0 to the
    /// highest, or to 1 at least.
    pub(crate) fn nines(title: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Self {
        Self {
            title: title.into(),
            low: 0.0,
            high: values.into_iter().fold(1.0, f64::max) + 0.05,
            kind: Kind::Nines,
            show: percentile,
        }
    }

    /// So many rows, the first at the top.
    pub(crate) fn rows(count: usize) -> Self {
        Self {
            title: String::new(),
            kind: Kind::Rows,
            // Upside down: scales grow upwards.
            low: 0.5 - count as f64,
            high: 0.5,
            show: |_| String::new(),
        }
    }

    /// The same with more behind its title.
    pub(crate) fn titled(&self, more: &str) -> Self {
        let title = format!("{}{more}", self.title);
        Self {
            title,
            ..self.clone()
        }
    }

    /// A value as this axis writes it.
    pub(crate) fn text(&self, value: f64) -> String {
        (self.show)(value)
    }

    /// The labels of a scale in steps.
    pub(crate) fn labels(&self) -> &[String] {
        match &self.kind {
            Kind::Steps(labels) => labels,
            _ => &[],
        }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    fn share(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Logarithmic => {
                let value = value.max(self.low);
                (value / self.low).ln() / (self.high / self.low).ln()
            }
            _ => (value - self.low) / (self.high - self.low),
        };
        if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// What lies on this axis there, in words.
    #[cfg(test)]
    pub(crate) fn words(&self, value: f64) -> String {
        match &self.kind {
            Kind::Steps(_) => self.format_ext(&value),
            _ => self.text(value),
        }
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 6.0;
        if !rough.is_normal() {
            return vec![self.low];
        }
        let decade = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * decade)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let count = ((self.high - first as f64 * step) / step).floor() as i64;
        (0..=count.clamp(0, 20))
            .map(|i| (first + i) as f64 * step)
            .collect()
    }

    fn logarithmic_ticks(&self) -> Vec<f64> {
        let (first, last) = (
            self.low.log10().ceil() as i32,
            self.high.log10().floor() as i32,
        );
        let decades = (last - first + 1).max(0) as usize;
        let factors: &[f64] = if decades < 3 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let every = decades.div_ceil(MOST_TICKS).max(1);
        (first - 1..=last)
            .step_by(every)
            .flat_map(|exponent| factors.iter().map(move |f| f * 10_f64.powi(exponent)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.share(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let ticks = match &self.kind {
            Kind::Linear => self.linear_ticks(),
            Kind::Logarithmic => self.logarithmic_ticks(),
            Kind::Steps(labels) => (0..labels.len()).map(|step| step as f64).collect(),
            Kind::Nines => (0..=self.high as u32).map(f64::from).collect(),
            Kind::Rows => Vec::new(),
        };
        let every = ticks.len().div_ceil(hint.bold_points().max(1)).max(1);
        ticks.into_iter().step_by(every).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        match &self.kind {
            Kind::Steps(labels) => {
                let step = value.round().max(0.0) as usize;
                labels.get(step).cloned().unwrap_or_default()
            }
            Kind::Nines => self.text(*value),
            _ => without_zeros(&self.text(*value)),
        }
    }
}

/// Where a share of all lies on an axis of [`Axis::nines`].
pub(crate) fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-12).log10()
}

/// A place on such an axis in words: `99.9 %`.
fn percentile(nines: f64) -> String {
    // Two digits behind those that are all nines.
    let digits = (nines.round().max(0.0) as usize).saturating_sub(2);
    let percent = 100.0 * (1.0 - 10_f64.powf(-nines));
    format!("{percent:.digits$} %")
}

/// The label of a tick: `1 ms` for `1.0 ms`, `0.2` for `0.20`.
fn without_zeros(text: &str) -> String {
    let (number, unit) = text.split_at(text.find(' ').unwrap_or(text.len()));
    if !number.contains('.') {
        return text.to_owned();
    }
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::time;
    use plotters::coord::ranged1d::BoldPoints;

    fn ticks(axis: &Axis) -> Vec<f64> {
        axis.key_points(BoldPoints(10))
    }

    #[test]
    fn waits_have_decades() {
        let axis = Axis::logarithmic("wait", [20_000.0, 200_000_000.0], 100.0, time);
        assert_eq!(ticks(&axis), [1e5, 1e6, 1e7, 1e8]);
        assert_eq!(
            axis.map(&0.0, (300, 0)),
            300,
            "what is too low lies at the end"
        );
        assert_eq!(axis.map(&3e8, (300, 0)), 0);
        let middle = (20_000.0_f64 * 200_000_000.0).sqrt();
        assert_eq!(axis.map(&middle, (300, 0)), 150);
        let narrow = Axis::logarithmic("wait", [3e6, 4e6], 100.0, time);
        assert_eq!(ticks(&narrow), [2e6, 5e6]);
    }

    #[test]
    fn percentiles_have_a_tick_for_each_nine() {
        let axis = Axis::nines("waits", [nines(0.5), nines(0.9999)]);
        let labels: Vec<String> = ticks(&axis).iter().map(|at| axis.format_ext(at)).collect();
        assert_eq!(labels, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(axis.words(nines(0.5)), "50 %");
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
        let few = axis.key_points(BoldPoints(3));
        assert_eq!(few, [0.0, 2.0, 4.0]);
        assert!(nines(1.0).is_finite());
    }

    #[test]
    fn shares_have_round_ticks_and_start_at_nothing() {
        let axis = Axis::linear("share", [0.3], 1.0, |value| format!("{value:.1}"));
        assert_eq!(ticks(&axis).len(), 6);
        assert_eq!(axis.map(&0.0, (0, 100)), 0);
        assert_eq!(axis.format_ext(&0.6), "0.6");
        assert_eq!(axis.format_ext(&1.0), "1");
        let written = ["1.0 ms", "10 ms", "1 000", "0.010", "2e-5"].map(without_zeros);
        assert_eq!(written, ["1 ms", "10 ms", "1 000", "0.01", "2e-5"]);
    }

    #[test]
    fn no_value_breaks_a_scale() {
        for values in [vec![], vec![0.0], vec![1e300, 1e-300], vec![5.0, 5.0]] {
            let axes = [
                Axis::linear("", values.iter().copied(), 0.0, time),
                Axis::logarithmic("", values.iter().copied(), 1e-6, time),
            ];
            for axis in axes {
                assert!(ticks(&axis).len() < 40);
                for value in [0.0, 1.0, 1e308] {
                    assert!((0..=100).contains(&axis.map(&value, (0, 100))));
                }
            }
        }
    }

    #[test]
    fn rows_go_down() {
        let axis = Axis::rows(3);
        let places = [0.0, -1.0, -2.0].map(|row| axis.map(&row, (90, 0)));
        assert_eq!(places, [15, 45, 75]);
    }
}
