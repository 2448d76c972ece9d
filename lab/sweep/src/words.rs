//! Times, numbers and names as people write them, with errors that say what would be right.
//!
//! The command line and grid files use the same words.

use pvqspin_load::Distribution;
use pvqspin_report::figures::counted;
use pvqspin_rivals::catalog::{self, Entry};
use pvqspin_rivals::choice::{self, Choice};

/// Reads a time: a number with `ns`, `us`, `ms`, `s`, `m` or nothing (ns). More than nothing.
///
/// ```
/// use pvqspin_sweep::words::time;
///
/// assert_eq!(time("1.5us"), Ok(1_500));
/// assert!(time("0").unwrap_err().contains("more than 0"));
/// ```
///
/// # Errors
///
/// Says what a time looks like.
pub fn time(text: &str) -> Result<u64, String> {
    match time_or_zero(text)? {
        0 => Err("it must be more than 0, for example 1us or 3ms".to_owned()),
        ns => Ok(ns),
    }
}

/// As [`time`], but nothing is fine.
///
/// # Errors
///
/// Says what a time looks like.
pub fn time_or_zero(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("", 1.0),
    ];
    let text = text.trim();
    let end_of_number = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end_of_number);
    let (unit, number) = (unit.trim(), number.parse::<f64>());
    let (Some((_, size)), Ok(number)) = (UNITS.iter().find(|(name, _)| *name == unit), number)
    else {
        return Err("a time is a number and a unit: 500ns, 1us, 3ms, 2s (no unit: ns)".to_owned());
    };
    let ns = number * size;
    // An hour is more than any of these times can sensibly be, and far from where sums of a few
    // of them would overflow.
    if ns > 3_600e9 {
        return Err("it is longer than an hour".to_owned());
    }
    if ns > 0.0 && ns < 1.0 {
        return Err("it is shorter than 1 ns, the smallest time there is here".to_owned());
    }
    Ok(ns.round() as u64)
}

/// A mean section length; the generator of the workload takes 32 bits of ns.
///
/// # Errors
///
/// Says what a section can be.
pub fn section(text: &str) -> Result<u32, String> {
    in_section(time(text)?)
}

/// As [`section`], but nothing is fine.
///
/// # Errors
///
/// Says what a section can be.
pub fn section_or_zero(text: &str) -> Result<u32, String> {
    in_section(time_or_zero(text)?)
}

fn in_section(ns: u64) -> Result<u32, String> {
    u32::try_from(ns).map_err(|_| "a section is 4 s at most".to_owned())
}

/// How many vCPUs there are for each pCPU.
///
/// # Errors
///
/// Says what an overcommit can be.
pub fn overcommit(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(0.0) => Err("that would be zero vCPUs; 1 gives every vCPU a CPU of its own".to_owned()),
        Ok(value) if value.is_finite() && value > 1e9 => {
            Err("no machine has so many vCPUs; 1, 2, 4 or 8 is usual".to_owned())
        }
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("an overcommit is a number above 0: 1, 2, 4, 8, also 1.5".to_owned()),
    }
}

/// How many vCPUs an overcommit means on so many pCPUs. A lock word names `most` of them.
///
/// ```
/// use pvqspin_sweep::words::vcpus;
///
/// assert_eq!(vcpus(1.5, 2, 100), Ok(3));
/// assert!(vcpus(1.5, 1, 100).unwrap_err().contains("they come whole"));
/// ```
///
/// # Errors
///
/// If they do not come whole, or if there are too many.
pub fn vcpus(overcommit: f64, pcpus: usize, most: usize) -> Result<usize, String> {
    let exact = overcommit * pcpus as f64;
    let vcpus = exact.round();
    if (exact - vcpus).abs() >= 1e-6 || vcpus < 1.0 {
        return Err(format!(
            "{overcommit} on {} would be {exact} vCPUs, and they come whole; multiples of {} are possible",
            counted(pcpus, "pCPU"),
            1.0 / pcpus as f64
        ));
    }
    if vcpus > most as f64 {
        return Err(format!(
            "{overcommit} on {} is {vcpus} vCPUs, and a lock word names {most} at most{}",
            counted(pcpus, "pCPU"),
            or_less(most / pcpus)
        ));
    }
    Ok(vcpus as usize)
}

/// What to ask for instead of a number that is too high.
///
/// ```
/// use pvqspin_sweep::words::or_less;
///
/// assert_eq!(or_less(8), "; ask for 8 or less");
/// assert_eq!(or_less(0), "; no overcommit is possible on so many");
/// ```
#[must_use]
pub fn or_less(most: usize) -> String {
    match most {
        0 => "; no overcommit is possible on so many".to_owned(),
        most => format!("; ask for {most} or less"),
    }
}

/// A number of things of which there must be one at least.
///
/// # Errors
///
/// If it is none.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(0) => Err("it must be 1 at least".to_owned()),
        Ok(value) => Ok(value),
        Err(_) => Err("it must be a whole number, 1 at least".to_owned()),
    }
}

/// A choice among the locks of guests.
pub type LockChoice = Choice<Entry>;

/// Reads a lock or a group of locks, of those that a real machine can run.
///
/// # Errors
///
/// Names the nearest one that there is.
pub fn lock(text: &str) -> Result<LockChoice, String> {
    let name = text.trim();
    choice::group(name).map_or_else(|| real_lock(name, &choice::GROUPS).map(Choice::One), Ok)
}

/// Reads a lock or a group of locks for the simulator, which can also have the ideal one.
///
/// # Errors
///
/// Names the nearest one that there is.
pub fn simulated_lock(text: &str) -> Result<LockChoice, String> {
    let name = text.trim();
    let others = [&[catalog::IDEAL.name], &choice::GROUPS[..]].concat();
    match catalog::find_or_ideal(name) {
        Some(entry) => Ok(Choice::One(entry)),
        None => choice::group(name).map_or_else(|| real_lock(name, &others).map(Choice::One), Ok),
    }
}

/// Reads exactly one lock, of those that a real machine can run.
///
/// # Errors
///
/// Names the nearest one that there is.
pub fn one_lock(text: &str) -> Result<&'static Entry, String> {
    let name = text.trim();
    if name.contains(',') || choice::GROUPS.contains(&name) {
        return Err("it takes one lock at a time".to_owned());
    }
    real_lock(name, &[])
}

/// `others` are the names that could have been given as well.
fn real_lock(name: &str, others: &[&'static str]) -> Result<&'static Entry, String> {
    let (former, now) = choice::FORMER_GROUP;
    if name == former {
        return Err(format!("this group of locks is called `{now}` now"));
    }
    if name == catalog::IDEAL.name {
        return Err(format!(
            "no real machine can run it: it knows everything and pays nothing; \
             `pvq simulate --lock {name}` does"
        ));
    }
    catalog::find(name).ok_or_else(|| {
        let names = catalog::CATALOG.iter().map(|entry| entry.name);
        unknown("lock", name, names.chain(others.iter().copied()))
    })
}

/// The locks that a list of choices means, in the catalogue's order, each once. The ideal comes
/// last, and only if it was asked for by name. An empty list means the default.
#[must_use]
pub fn chosen(choices: &[LockChoice]) -> Vec<&'static Entry> {
    choice::chosen(catalog::CATALOG.iter().chain([&catalog::IDEAL]), choices)
}

/// The distributions with their names.
pub const DISTRIBUTIONS: [(&str, Distribution); 3] = [
    ("fixed", Distribution::Fixed),
    ("uniform", Distribution::Uniform),
    ("exponential", Distribution::Exponential),
];

/// The name of a distribution.
#[must_use]
pub fn distribution_name(distribution: Distribution) -> &'static str {
    DISTRIBUTIONS
        .iter()
        .find(|(_, one)| *one == distribution)
        .map_or("unknown", |(name, _)| name)
}

/// Finds what a name stands for.
///
/// ```
/// use pvqspin_sweep::words::named;
///
/// let known = [("yes", true), ("no", false)];
/// assert_eq!(named("answer", "yes", known), Ok(true));
/// assert!(named("answer", "yess", known).unwrap_err().contains("did you mean 'yes'?"));
/// ```
///
/// # Errors
///
/// Names the nearest one, and all that there are.
pub fn named<T: Copy>(
    what: &str,
    text: &str,
    known: impl IntoIterator<Item = (&'static str, T)>,
) -> Result<T, String> {
    let text = text.trim();
    let known: Vec<(&'static str, T)> = known.into_iter().collect();
    known
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| unknown(what, text, known.iter().map(|(name, _)| *name)))
}

/// Says that a name is unknown, which one was probably meant, and which there are.
pub fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    let meant = match nearest(name, &known) {
        Some(near) => format!("did you mean '{near}'? There"),
        None => "there".to_owned(),
    };
    format!("no {what} of that name; {meant} are: {}", known.join(", "))
}

/// The most similar name, if one is similar at all.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let like = |text: &str| text.to_lowercase().replace('_', "-");
    let name = like(name);
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name, &like(known)), *known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ns) in [
            ("500", 500),
            ("500ns", 500),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("0.2us", 200),
            ("3 ms", 3_000_000),
            ("2s", 2_000_000_000),
            ("1m", 60_000_000_000),
        ] {
            assert_eq!(time(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (text, why) in [
            ("", "a number and a unit"),
            ("fast", "a number and a unit"),
            ("3 lightyears", "a number and a unit"),
            ("-3ms", "a number and a unit"),
            ("1e9s", "a number and a unit"),
            ("0", "more than 0"),
            ("0ms", "more than 0"),
            ("0.1ns", "shorter than 1 ns"),
            ("99999999999999999999s", "longer than an hour"),
        ] {
            let error = time(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(time_or_zero("0"), Ok(0));
        assert!(section("5s").expect_err("too long").contains("4 s at most"));
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        for (typed, meant) in [
            ("test_and_set", "test-and-set"),
            ("fofo", "fifo"),
            ("unfair-hint", "unfair-hinted"),
            ("linuxpv", "linux-pv"),
            ("FIFO", "fifo"),
        ] {
            let error = lock(typed).expect_err(typed);
            assert!(
                error.contains(&format!("did you mean '{meant}'?")),
                "{typed}: {error}"
            );
            assert!(
                error.contains("native-queued"),
                "the known ones are listed: {error}"
            );
        }
        let error = lock("ours").expect_err("a former name");
        assert!(error.contains("`pvqspin`"), "{error}");
        let error = lock("zzz").expect_err("nothing like it");
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn overcommit_is_a_positive_number() {
        assert_eq!(overcommit("1.5"), Ok(1.5));
        assert!(overcommit("0").expect_err("none").contains("zero vCPUs"));
        for text in ["-1", "NaN", "inf", "many", ""] {
            assert!(overcommit(text).is_err(), "{text}");
        }
    }
}
