//! Which locks of a catalogue a list of names means.

use alloc::vec::Vec;

use crate::catalog::{self, Entry};

/// A lock of a catalogue, or a group of them.
#[derive(Clone, Copy, Debug)]
pub enum Choice<T: 'static> {
    /// One lock.
    One(&'static T),
    /// Those that a command compares by default.
    Default,
    /// Everything.
    All,
    /// Every policy and word format of `pvqspin`.
    Own,
    /// Everything else.
    Rivals,
}

/// The names of the groups.
pub const GROUPS: [&str; 4] = ["default", "all", "pvqspin", "rivals"];

/// What every catalogue says about a lock.
pub trait Listed: 'static {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether it is a policy of `pvqspin`.
    fn is_own(&self) -> bool;
    /// Whether a command compares it by default.
    fn is_default(&self) -> bool {
        true
    }
    /// Whether only its own name means it, and no group.
    fn is_apart(&self) -> bool {
        false
    }
}

impl Listed for Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_own(&self) -> bool {
        self.policy.is_some()
    }

    fn is_default(&self) -> bool {
        catalog::DEFAULT.contains(&self.id)
    }

    fn is_apart(&self) -> bool {
        self.id == catalog::IDEAL.id
    }
}

/// The name that a group had before, and the one that it has now.
pub const FORMER_GROUP: (&str, &str) = ("ours", "pvqspin");

/// The group of this name.
///
/// ```
/// use pvqspin_rivals::catalog::Entry;
/// use pvqspin_rivals::choice::{Choice, group};
///
/// assert!(matches!(group::<Entry>("pvqspin"), Some(Choice::Own)));
/// assert!(matches!(group::<Entry>("peers"), Some(Choice::Rivals)));
/// assert!(group::<Entry>("theirs").is_none());
/// ```
#[must_use]
pub fn group<T>(name: &str) -> Option<Choice<T>> {
    match name {
        "default" => Some(Choice::Default),
        "all" => Some(Choice::All),
        "pvqspin" => Some(Choice::Own),
        // The second name is a former one.
        "rivals" | "peers" => Some(Choice::Rivals),
        _ => None,
    }
}

/// The locks that a list of choices means, in the catalogue's order, each once. An empty list means
/// the default.
#[must_use]
pub fn chosen<T: Listed>(
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
        Choice::Own => entry.is_own(),
        Choice::Rivals => !entry.is_own() && !entry.is_apart(),
    };
    catalog
        .filter(|entry| choices.iter().any(|choice| means(choice, entry)))
        .collect()
}
