//! How numbers are written for people: short, with a unit, never more digits than mean anything.

use std::fmt::Display;

use crate::spread::Spread;

/// A time in ns with a fitting unit.
///
/// ```
/// use pvqspin_report::figures::time;
///
/// assert_eq!(time(0.0), "0");
/// assert_eq!(time(850.0), "850 ns");
/// assert_eq!(time(1_000.0), "1.0 µs");
/// assert_eq!(time(23_400.0), "23 µs");
/// assert_eq!(time(3_000_000.0), "3.0 ms");
/// assert_eq!(time(1.25e9), "1.2 s");
/// ```
#[must_use]
pub fn time(ns: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    if ns < 0.5 {
        return "0".to_owned();
    }
    // Half of the last digit shown: 999.7 ns is "1.0 µs", not "1000 ns".
    let (size, unit) = UNITS
        .into_iter()
        .find(|(size, _)| ns >= size * 0.9995)
        .unwrap_or((1.0, "ns"));
    let value = ns / size;
    if unit == "ns" || value >= 9.95 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A time as it was asked for, exactly: no rounding, the largest unit that leaves no fraction.
///
/// ```
/// use pvqspin_report::figures::exact_time;
///
/// assert_eq!(exact_time(1_000), "1 µs");
/// assert_eq!(exact_time(1_500), "1500 ns");
/// assert_eq!(exact_time(3_000_000), "3 ms");
/// ```
#[must_use]
pub fn exact_time(ns: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    UNITS
        .into_iter()
        .find(|(size, _)| ns >= *size && ns.is_multiple_of(*size))
        .map_or_else(
            || format!("{ns} ns"),
            |(size, unit)| format!("{} {unit}", ns / size),
        )
}

/// A share of 1 in three digits at most; small ones keep a digit that means something.
///
/// ```
/// use pvqspin_report::figures::share;
///
/// assert_eq!(share(0.912), "0.91");
/// assert_eq!(share(0.0061), "0.006");
/// assert_eq!(share(0.00004), "4e-5");
/// assert_eq!(share(0.0), "0");
/// ```
#[must_use]
pub fn share(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        small if small.abs() < 0.0005 => format!("{small:.0e}"),
        small if small.abs() < 0.0995 => format!("{small:.3}"),
        _ => format!("{value:.2}"),
    }
}

/// How many times as much.
///
/// ```
/// use pvqspin_report::figures::times;
///
/// assert_eq!(times(1.043), "1.04x");
/// assert_eq!(times(24.4), "24x");
/// assert_eq!(times(0.000_2), "2e-4x");
/// assert_eq!(times(12_345.0), "12 000x");
/// ```
#[must_use]
pub fn times(value: f64) -> String {
    match value {
        v if !v.is_finite() => "-".to_owned(),
        v if v < 9.95 => format!("{}x", share(v)),
        v => format!("{}x", two_digits(v)),
    }
}

/// A percentage without digits that mean nothing.
///
/// ```
/// use pvqspin_report::figures::percent;
///
/// assert_eq!(percent(0.912), "91 %");
/// assert_eq!(percent(0.0042), "0.4 %");
/// assert_eq!(percent(0.00003), "<0.1 %");
/// assert_eq!(percent(0.0), "0 %");
/// ```
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value {
        0.0 => "0 %".to_owned(),
        small if small.abs() < 0.05 => "<0.1 %".to_owned(),
        small if small.abs() < 9.95 => format!("{small:.1} %"),
        _ => format!("{value:.0} %"),
    }
}

/// A count for each second, or any other large number: three digits at most, thousands grouped.
///
/// ```
/// use pvqspin_report::figures::count;
///
/// assert_eq!(count(4.0), "4");
/// assert_eq!(count(0.42), "0.42");
/// assert_eq!(count(666.4), "666");
/// assert_eq!(count(1_234_567.0), "1 234 567");
/// ```
#[must_use]
pub fn count(value: f64) -> String {
    match value {
        whole if whole.fract() == 0.0 => grouped(whole as u64),
        small if small.abs() < 9.95 => share(small),
        _ => grouped(value.round() as u64),
    }
}

/// So many things, whose word takes an s.
///
/// ```
/// use pvqspin_report::figures::counted;
///
/// assert_eq!(counted(1, "vCPU"), "1 vCPU");
/// assert_eq!(counted(1.5, "hour"), "1.5 hours");
/// assert_eq!(counted(0_u64, "run"), "0 runs");
/// ```
#[must_use]
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// The lowest and the highest of some values, or the only one.
///
/// ```
/// use pvqspin_report::figures::{percent, range};
///
/// assert_eq!(range(&[0.5, 0.3, 0.4], percent), "30 % to 50 %");
/// assert_eq!(range(&[0.301, 0.302], percent), "30 %");
/// ```
#[must_use]
pub fn range(values: &[f64], show: impl Fn(f64) -> String) -> String {
    let ends = Spread::of(values.iter().copied());
    let (low, high) = (show(ends.min), show(ends.max));
    if low == high {
        low
    } else {
        format!("{low} to {high}")
    }
}

fn two_digits(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.0}");
    }
    let scale = 10f64.powf(value.log10().floor() - 1.0);
    grouped(((value / scale).round() * scale).round() as u64)
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
