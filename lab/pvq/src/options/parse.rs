//! Names from the command line that a grid file does not have; the others are
//! [`pvqspin_sweep::words`].

use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;

use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::catalog::{self as workloads, Entry as Workload};
use pvqspin_load::{Distribution, NeighbourKind};
use pvqspin_rivals::choice::{self, Choice};
use pvqspin_sweep::words::{DISTRIBUTIONS, named, unknown};

pub(crate) use pvqspin_sweep::words::{
    LockChoice, at_least_one, chosen, lock, one_lock, overcommit, section, section_or_zero,
    simulated_lock, time, time_or_zero,
};

/// The arguments of a command line, in which a negative number is the value of the option before it. Else
/// it would be taken for an option that is unknown, and the error would not be about the number.
pub(crate) fn with_values(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        let negative = argument.to_str().is_some_and(|text| {
            let mut text = text.chars();
            text.next() == Some('-')
                && text
                    .next()
                    .is_some_and(|next| next.is_ascii_digit() || next == '.')
        });
        match joined.last_mut() {
            Some(option) if negative && is_bare_option(option) => {
                option.push("=");
                option.push(argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}

fn is_bare_option(argument: &OsString) -> bool {
    let text = argument.to_str().unwrap_or_default();
    text.len() > 2 && text.starts_with("--") && !text.contains('=')
}

/// A choice among the locks of ordinary threads.
pub(crate) type ThreadLockChoice = Choice<pvqspin_user_space::threads::Entry>;

/// Reads a lock of ordinary threads, or a group of them.
pub(crate) fn thread_lock(text: &str) -> Result<ThreadLockChoice, String> {
    let name = text.trim();
    let one = || {
        let mut entries = pvqspin_user_space::threads::CATALOG.iter();
        entries
            .find(|entry| entry.name == name)
            .map(Choice::One)
            .ok_or_else(|| {
                let names = pvqspin_user_space::threads::CATALOG
                    .iter()
                    .map(|entry| entry.name);
                unknown("lock", name, names.chain(choice::GROUPS))
            })
    };
    choice::group(name).map_or_else(one, Ok)
}

/// The locks of ordinary threads that a list of choices means.
pub(crate) fn chosen_for_threads(
    choices: &[ThreadLockChoice],
) -> Vec<&'static pvqspin_user_space::threads::Entry> {
    choice::chosen(pvqspin_user_space::threads::CATALOG.iter(), choices)
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

/// Reads a distribution.
pub(crate) fn distribution(text: &str) -> Result<Distribution, String> {
    named("distribution", text, DISTRIBUTIONS)
}

/// What reads a whole number from `least` to `most`.
pub(crate) fn whole<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Copy,
{
    move |text| {
        let number = text.trim().parse().ok();
        let number = number.filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
    }
}

/// Reads a share in per cent, such as `5` or `2.5%`.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>();
    match number {
        Ok(percent) if (0.0..=1_000.0).contains(&percent) => Ok(percent),
        _ => Err("a number of per cent from 0 to 1000 is expected, such as 5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_rivals::catalog;

    #[test]
    fn the_nearest_name_is_suggested() {
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
    fn a_negative_number_is_the_value_of_the_option_before_it() {
        let joined = |line: &str| {
            let words = line.split_whitespace().map(OsString::from);
            let joined: Vec<_> = (with_values(words).into_iter())
                .map(|word| word.into_string().expect("plain"))
                .collect();
            joined.join(" ")
        };
        assert_eq!(joined("pvq --repeats -1"), "pvq --repeats=-1");
        assert_eq!(
            joined("pvq --inside -3ms --quick"),
            "pvq --inside=-3ms --quick"
        );
        assert_eq!(joined("pvq --inside -.5us"), "pvq --inside=-.5us");
        for same in [
            "pvq --json -",
            "pvq report - -1",
            "pvq --seed=1 -1",
            "pvq -- -1",
            "pvq -V",
        ] {
            assert_eq!(joined(same), same);
        }
    }

    #[test]
    fn what_is_no_whole_number_is_told_what_one_is() {
        assert_eq!(whole(0, u64::MAX)(" 7 "), Ok(7));
        for (text, least) in [("-1", 0), ("0x10", 0), ("", 0), ("0", 1), ("5000000000", 1)] {
            let error = whole(least, u32::MAX)(text).expect_err(text);
            let expected = format!("a whole number from {least} to 4294967295");
            assert!(error.contains(&expected), "{error}");
        }
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
            names(&["pvqspin"]).len() + names(&["rivals"]).len(),
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
        let error = simulated_lock("ideel").expect_err("a typo");
        assert!(
            error.contains("did you mean 'ideal'? There are: fifo"),
            "{error}"
        );
        for several in ["fifo,ticket", "all"] {
            let error = one_lock(several).expect_err("several");
            assert!(error.contains("one lock at a time"), "{error}");
        }
    }
}
