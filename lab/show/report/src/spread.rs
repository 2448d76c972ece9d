//! The middle and both ends of some values.

/// The middle and both ends of a figure over the repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The middle one; between the two middle ones if their number is even.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// The spread of some values; all zero if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Self {
            // Not the half of the sum, which may be too large for a number.
            median: lower.midpoint(upper),
            min,
            max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        let even = Spread::of([4.0, 1.0, 2.0, 100.0]);
        assert_eq!((even.min, even.median, even.max), (1.0, 3.0, 100.0));
        assert_eq!(Spread::of([]), Spread::default());
    }
}
