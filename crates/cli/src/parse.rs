//! Times, names and lists from the command line, with errors that say what would be right.

use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_peers::catalog::{self, Entry};
use pvqspin_workload::catalog::{self as workloads, Entry as Workload};
use pvqspin_workload::{Distribution, NeighbourKind};

/// Reads a time: a number with `ns`, `us`, `ms`, `s`, `m` or nothing (ns). More than nothing.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    match time_or_zero(text)? {
        0 => Err("it must be more than 0, for example 1us or 3ms".to_owned()),
        ns => Ok(ns),
    }
}

/// As [`time`], but nothing is fine.
pub(crate) fn time_or_zero(text: &str) -> Result<u64, String> {
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
pub(crate) fn section(text: &str) -> Result<u32, String> {
    in_section(time(text)?)
}

/// As [`section`], but nothing is fine.
pub(crate) fn section_or_zero(text: &str) -> Result<u32, String> {
    in_section(time_or_zero(text)?)
}

fn in_section(ns: u64) -> Result<u32, String> {
    u32::try_from(ns).map_err(|_| "a section is 4 s at most".to_owned())
}

/// How many vCPUs there are for each pCPU.
pub(crate) fn overcommit(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(0.0) => Err(
            "that would be zero vCPUs, or threads; 1 gives every one a CPU of its own".to_owned(),
        ),
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("an overcommit is a number above 0: 1, 2, 4, 8, also 1.5".to_owned()),
    }
}

/// A number of things of which there must be one at least.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(0) => Err("it must be 1 at least".to_owned()),
        Ok(value) => Ok(value),
        Err(_) => Err("it must be a whole number, 1 at least".to_owned()),
    }
}

/// One entry of `--lock`: a lock, or a group of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<T: 'static> {
    /// One lock.
    One(&'static T),
    /// Those that are compared if nobody says otherwise.
    Default,
    /// Everything.
    All,
    /// Every policy and word format of our lock.
    Ours,
    /// Everything else.
    Peers,
}

/// A choice among the locks of guests.
pub(crate) type LockChoice = Choice<Entry>;

/// A choice among the locks of ordinary threads.
pub(crate) type ThreadLockChoice = Choice<pvqspin_threads::Entry>;

/// What both catalogues say about a lock.
pub(crate) trait Listed: 'static {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether it is one of ours.
    fn is_ours(&self) -> bool;
    /// Whether it is compared if nobody says otherwise.
    fn is_default(&self) -> bool;
    /// Whether only its own name means it, and no group.
    fn is_apart(&self) -> bool;
}

impl Listed for Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_ours(&self) -> bool {
        self.policy.is_some()
    }

    fn is_default(&self) -> bool {
        catalog::DEFAULT.contains(&self.id)
    }

    fn is_apart(&self) -> bool {
        self.id == catalog::IDEAL.id
    }
}

impl Listed for pvqspin_threads::Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_ours(&self) -> bool {
        self.policy.is_some()
    }

    fn is_default(&self) -> bool {
        true
    }

    fn is_apart(&self) -> bool {
        false
    }
}

/// The names of the groups.
pub(crate) const LOCK_GROUPS: [&str; 4] = ["default", "all", "ours", "peers"];

/// Reads a lock or a group of locks, of those that a real machine can run.
pub(crate) fn lock(text: &str) -> Result<LockChoice, String> {
    group(text).map_or_else(|| real_lock(text, &LOCK_GROUPS).map(Choice::One), Ok)
}

/// Reads a lock or a group of locks for the simulator, which can also have the ideal one.
pub(crate) fn simulated_lock(text: &str) -> Result<LockChoice, String> {
    match catalog::find_or_ideal(text.trim()) {
        Some(entry) => Ok(Choice::One(entry)),
        None => lock(text),
    }
}

/// Reads a lock of ordinary threads, or a group of them.
pub(crate) fn thread_lock(text: &str) -> Result<ThreadLockChoice, String> {
    let one = |name: &str| {
        let mut entries = pvqspin_threads::CATALOG.iter();
        entries
            .find(|entry| entry.name == name)
            .map(Choice::One)
            .ok_or_else(|| {
                let names = pvqspin_threads::CATALOG.iter().map(|entry| entry.name);
                unknown("lock", name, names.chain(LOCK_GROUPS))
            })
    };
    group(text).map_or_else(|| one(text.trim()), Ok)
}

fn group<T>(text: &str) -> Option<Choice<T>> {
    match text.trim() {
        "default" => Some(Choice::Default),
        "all" => Some(Choice::All),
        "ours" => Some(Choice::Ours),
        "peers" => Some(Choice::Peers),
        _ => None,
    }
}

/// Reads exactly one lock, of those that a real machine can run.
pub(crate) fn one_lock(text: &str) -> Result<&'static Entry, String> {
    real_lock(text, &[])
}

fn real_lock(text: &str, groups: &[&'static str]) -> Result<&'static Entry, String> {
    let name = text.trim();
    if name == catalog::IDEAL.name {
        return Err(format!(
            "no real machine can run it: it knows everything and pays nothing; \
             `pvq simulate --lock {name}` does"
        ));
    }
    catalog::find(name).ok_or_else(|| {
        let names = catalog::CATALOG.iter().map(|entry| entry.name);
        unknown("lock", name, names.chain(groups.iter().copied()))
    })
}

/// The locks that a list of choices means, in the catalogue's order, each once. The ideal comes
/// last, and only if it was asked for by name.
pub(crate) fn chosen(choices: &[LockChoice]) -> Vec<&'static Entry> {
    let all = catalog::CATALOG.iter().chain([&catalog::IDEAL]);
    chosen_from(all, choices)
}

/// The same among the locks of ordinary threads.
pub(crate) fn chosen_for_threads(
    choices: &[ThreadLockChoice],
) -> Vec<&'static pvqspin_threads::Entry> {
    chosen_from(pvqspin_threads::CATALOG.iter(), choices)
}

fn chosen_from<T: Listed>(
    catalog: impl Iterator<Item = &'static T>,
    choices: &[Choice<T>],
) -> Vec<&'static T> {
    let choices = if choices.is_empty() {
        &[Choice::Default]
    } else {
        choices
    };
    let means = |choice: &Choice<T>, entry: &T| match choice {
        Choice::One(one) => one.name() == entry.name(),
        Choice::Default => entry.is_default(),
        Choice::All => !entry.is_apart(),
        Choice::Ours => entry.is_ours(),
        Choice::Peers => !entry.is_ours() && !entry.is_apart(),
    };
    catalog
        .filter(|entry| choices.iter().any(|choice| means(choice, entry)))
        .collect()
}

/// Reads the name of a workload.
pub(crate) fn workload(text: &str) -> Result<&'static Workload, String> {
    workloads::find(text.trim()).ok_or_else(|| {
        let names = workloads::CATALOG.iter().map(|entry| entry.name);
        unknown("workload", text, names)
    })
}

/// Reads what a neighbour does.
pub(crate) fn neighbour(text: &str) -> Result<NeighbourKind, String> {
    named(
        "kind of neighbour",
        text,
        NeighbourKind::ALL.map(|one| (one.name(), one)),
    )
}

/// Reads a scheduling policy of the host.
pub(crate) fn scheduling(text: &str) -> Result<Scheduling, String> {
    named(
        "scheduling",
        text,
        Scheduling::ALL.map(|one| (one.name(), one)),
    )
}

/// Reads what a directed yield is.
pub(crate) fn yields(text: &str) -> Result<YieldMode, String> {
    named(
        "kind of yield",
        text,
        YieldMode::ALL.map(|one| (one.name(), one)),
    )
}

/// The distributions with their names.
pub(crate) const DISTRIBUTIONS: [(&str, Distribution); 3] = [
    ("fixed", Distribution::Fixed),
    ("uniform", Distribution::Uniform),
    ("exponential", Distribution::Exponential),
];

/// Reads a distribution.
pub(crate) fn distribution(text: &str) -> Result<Distribution, String> {
    named("distribution", text, DISTRIBUTIONS)
}

/// The name of a distribution.
pub(crate) fn distribution_name(distribution: Distribution) -> &'static str {
    DISTRIBUTIONS
        .iter()
        .find(|(_, one)| *one == distribution)
        .map_or("unknown", |(name, _)| name)
}

fn named<T: Copy, const N: usize>(
    what: &str,
    text: &str,
    known: [(&'static str, T); N],
) -> Result<T, String> {
    let text = text.trim();
    known
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| unknown(what, text, known.iter().map(|(name, _)| *name)))
}

/// Says that a name is unknown, which one was probably meant, and which there are.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest =
        nearest(name, &known).map_or_else(String::new, |near| format!("did you mean '{near}'? "));
    format!(
        "no {what} of that name; {nearest}There are: {}",
        known.join(", ")
    )
}

/// The most similar name, if one is similar at all.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase().replace('_', "-");
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(&name, known), *known))
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
        let error = lock("zzz").expect_err("nothing like it");
        assert!(!error.contains("did you mean"), "{error}");
        assert!(
            scheduling("roundrobin")
                .expect_err("a typo")
                .contains("'round-robin'")
        );
        assert!(yields("hints").expect_err("a typo").contains("'hint'"));
        assert!(
            workload("hotlock")
                .expect_err("a typo")
                .contains("'hot-lock'")
        );
    }

    #[test]
    fn groups_of_locks_are_the_catalogue() {
        let names = |text: &[&str]| -> Vec<&str> {
            let choices: Vec<LockChoice> =
                text.iter().map(|one| lock(one).expect("known")).collect();
            chosen(&choices).iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(&["all"]).len(), catalog::CATALOG.len());
        assert_eq!(names(&[]), names(&["default"]));
        assert_eq!(names(&[]).len(), catalog::DEFAULT.len());
        assert_eq!(
            names(&["ours"]).len() + names(&["peers"]).len(),
            names(&["all"]).len()
        );
        assert_eq!(
            names(&["test-and-set", "fifo", "fifo"]),
            ["fifo", "test-and-set"]
        );
    }

    #[test]
    fn the_ideal_is_for_the_simulator_and_for_who_asks_for_it() {
        for parsed in [lock("ideal").err(), one_lock("ideal").err()] {
            let error = parsed.expect("no real machine has it");
            assert!(error.contains("`pvq simulate --lock ideal`"), "{error}");
        }
        let choices = ["ideal", "all"].map(|one| simulated_lock(one).expect("it can have it"));
        let names: Vec<&str> = chosen(&choices).iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), catalog::CATALOG.len() + 1);
        assert_eq!(names.last(), Some(&"ideal"));
        assert!(simulated_lock("fofo").is_err());
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
