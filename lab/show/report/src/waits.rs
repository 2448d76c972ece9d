//! All waits of a run, or of several: the histogram behind a few quantiles.
//!
//! Guests count into buckets of their own ([`pvqspin_load::histogram`]): they run without an operating
//! system, and recording must not allocate. What they counted becomes an
//! [HdrHistogram](https://hdrhistogram.org) here, in whose form files hold it, so that other tools
//! can read it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize, de, ser};

/// Significant decimal digits: far finer than the buckets of the guests.
const DIGITS: u8 = 3;

/// How many points a curve has each time that the share of longer waits halves.
const POINTS_PER_HALF: u32 = 4;

/// Waits in ns, and how often each occurred. In JSON: Base64 of the compressed V2 form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits(Option<Histogram<u64>>);

impl Waits {
    /// From lengths and how often each occurred.
    #[must_use]
    pub fn of(counts: &[(u64, u64)]) -> Self {
        if counts.iter().all(|(_, count)| *count == 0) {
            return Self(None);
        }
        let mut histogram = Histogram::new(DIGITS).ok();
        for (value, count) in counts {
            if let Some(histogram) = &mut histogram {
                // A histogram that resizes itself takes every value that has 63 bits.
                let _ = histogram.record_n((*value).min(i64::MAX as u64), *count);
            }
        }
        Self(histogram)
    }

    /// All of several. Empty if one of them is: a part would look like the whole.
    #[must_use]
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum: Option<Histogram<u64>> = None;
        for waits in all {
            let Some(waits) = &waits.0 else {
                return Self(None);
            };
            let sum = sum.get_or_insert_with(|| {
                let mut empty = waits.clone();
                empty.reset();
                empty.auto(true);
                empty
            });
            if sum.add(waits).is_err() {
                return Self(None);
            }
        }
        Self(sum)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many waits there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The wait that this share of all waits does not exceed, in ns; 0 if nothing is known.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let at = |histogram: &Histogram<u64>| histogram.value_at_quantile(share);
        self.0.as_ref().map_or(0, at)
    }

    /// The curve of its quantiles: shares of all waits, and the wait in ns that the share does not
    /// exceed. The share of longer waits halves every few points; the last point is the longest wait,
    /// at the share of all waits but one.
    #[must_use]
    pub fn curve(&self) -> Vec<(f64, u64)> {
        let Some(histogram) = &self.0 else {
            return Vec::new();
        };
        let longest = 1.0 - 1.0 / histogram.len() as f64;
        let mut curve: Vec<(f64, u64)> = histogram
            .iter_quantiles(POINTS_PER_HALF)
            .map(|at| (at.quantile_iterated_to(), at.value_iterated_to()))
            .take_while(|(share, _)| *share < longest)
            .collect();
        curve.push((longest, histogram.max()));
        curve
    }

    fn to_base64(&self) -> Result<String, String> {
        let Some(histogram) = &self.0 else {
            return Ok(String::new());
        };
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .map_err(|error| error.to_string())?;
        Ok(STANDARD.encode(bytes))
    }

    fn from_base64(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let said = |error: &dyn std::fmt::Display| format!("it is no HdrHistogram: {error}");
        let bytes = STANDARD.decode(text).map_err(|error| said(&error))?;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| said(&error))?;
        Ok(Self((!histogram.is_empty()).then_some(histogram)))
    }
}

impl Serialize for Waits {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_base64().map_err(ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Waits {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::from_base64(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 000 waits: 1 of 1 ms, 99 of 10 µs, 9 900 of 1 µs.
    const COUNTS: [(u64, u64); 3] = [(1_000, 9_900), (10_000, 99), (1_000_003, 1)];

    fn near(a: u64, b: u64) -> bool {
        a.abs_diff(b) * 1_000 <= b
    }

    #[test]
    fn what_was_counted_comes_back_from_a_file() {
        let waits = Waits::of(&COUNTS);
        let json = serde_json::to_string(&waits).expect("text");
        assert!(
            json.starts_with("\"HISTFA"),
            "the cookie of the format: {json}"
        );
        let back: Waits = serde_json::from_str(&json).expect("our own");
        assert_eq!(back, waits);
        assert_eq!(back.len(), 10_000);
        for (share, wait) in [
            (0.5, 1_000),
            (0.99, 1_000),
            (0.995, 10_000),
            (1.0, 1_000_003),
        ] {
            let found = back.quantile(share);
            assert!(near(found, wait), "{share}: {found}, not {wait}");
        }
        let none: Waits = serde_json::from_str("\"\"").expect("nothing");
        assert!(none.is_empty() && none.curve().is_empty());
    }

    #[test]
    fn a_sum_holds_all_waits_or_none() {
        let (one, other) = (Waits::of(&COUNTS), Waits::of(&[(5_000_000, 3)]));
        let sum = Waits::sum([&one, &other]);
        assert_eq!(sum.len(), 10_003);
        assert!(near(sum.quantile(1.0), 5_000_000));
        assert!(Waits::sum([&one, &Waits::default()]).is_empty());
        assert!(Waits::sum([]).is_empty() && Waits::of(&[(7, 0)]).is_empty());
        // A file that another tool wrote may have a histogram that does not resize itself.
        let read: Waits =
            serde_json::from_str(&serde_json::to_string(&one).expect("text")).expect("our own");
        assert!(!Waits::sum([&read, &other]).is_empty());
    }

    #[test]
    fn a_curve_rises_from_the_shortest_wait_to_the_longest() {
        let curve = Waits::of(&COUNTS).curve();
        assert!(
            curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{curve:?}"
        );
        let (first, last) = (curve[0], curve[curve.len() - 1]);
        assert!(near(first.1, 1_000) && first.0 < 0.3, "{first:?}");
        assert!(
            near(last.1, 1_000_003) && (last.0 - 0.9999).abs() < 1e-9,
            "{last:?}"
        );
        assert!(curve.len() < 80, "{} points", curve.len());
        assert!(
            Waits::of(&[(u64::MAX, 1)]).curve().len() == 1,
            "one wait is one point"
        );
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for bad in ["\"x\"", "\"AAAA\"", "\"SElTVEZB\"", "7"] {
            assert!(serde_json::from_str::<Waits>(bad).is_err(), "{bad}");
        }
    }
}
