//! A machine's costs and topology as a file.
//!
//! ```text
//!   profiles/NAME.toml --read--> Profile --apply--> SimConfig
//!   a measurement      --write-> the same file
//! ```

use serde::{Deserialize, Serialize};

use crate::config::SimConfig;
use crate::config_problem::ConfigProblem;
use crate::costs::Costs;
use crate::topology::Topology;

/// What a machine costs, and how it is arranged.
///
/// ```
/// use pvqspin_simulator::Profile;
///
/// let server = Profile::named("server-2x32").unwrap();
/// assert_eq!(server.pcpus(), Some(64));
/// assert_eq!(Profile::parse(&server.to_toml()).unwrap(), server);
///
/// let typo = server.to_toml().replace("switch_ns", "swich_ns");
/// let problem = Profile::parse(&typo).unwrap_err().to_string();
/// assert!(problem.contains("did you mean `costs.switch_ns`?"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// One line about where the figures come from.
    pub about: String,
    /// What everything costs.
    pub costs: Costs,
    /// How the pCPUs are arranged; `None`: any number of them, all equally far from each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
}

/// A profile that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum ProfileProblem {
    /// A key that means nothing.
    #[error("unknown key `{key}`{}; there are: {}", suggestion(.nearest), .known.join(", "))]
    UnknownKey {
        /// The key, with the tables that it stands in.
        key: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// All keys of that table.
        known: Vec<String>,
    },
    /// It is no TOML, or a value is missing or of the wrong kind.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// Its values make no sense.
    #[error("{0}")]
    Values(#[from] ConfigProblem),
}

fn suggestion(nearest: &Option<String>) -> String {
    let suggest = |name| format!(", did you mean `{name}`?");
    nearest.as_ref().map_or_else(String::new, suggest)
}

/// The profiles that are built in: the files in `profiles/`.
const BUILT_IN: [(&str, &str); 3] = [
    ("flat", include_str!("../../../sweep/profiles/flat.toml")),
    (
        "server-2x32",
        include_str!("../../../sweep/profiles/server-2x32.toml"),
    ),
    ("small", include_str!("../../../sweep/profiles/small.toml")),
];

impl Profile {
    /// The names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.into_iter().map(|(name, _)| name)
    }

    /// A built-in profile.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.into_iter().find(|(known, _)| *known == name)?;
        // A test reads every one of them.
        Self::parse(text).ok()
    }

    /// Reads the text of a profile file. Every key of `costs` has to be there.
    ///
    /// # Errors
    ///
    /// If it is no TOML, has a key too many or too few, or values that make no sense.
    pub fn parse(text: &str) -> Result<Self, ProfileProblem> {
        let found: toml::Table = text.parse()?;
        unknown_key("", &found, &Self::every_key()).map_or(Ok(()), Err)?;
        let profile: Self = toml::from_str(text)?;
        profile.check()?;
        Ok(profile)
    }

    /// The text of its file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Nothing in it that TOML cannot say: strings, numbers, truth values and tables.
        toml::to_string(self).unwrap_or_default()
    }

    /// How many pCPUs its machine has, if it says.
    #[must_use]
    pub fn pcpus(&self) -> Option<usize> {
        self.topology.and_then(|topology| topology.pcpus().ok())
    }

    /// Makes a simulation cost what this machine costs. The number of pCPUs stays.
    pub fn apply(&self, config: &mut SimConfig) {
        config.costs = self.costs;
        config.topology = self.topology;
    }

    fn check(&self) -> Result<(), ConfigProblem> {
        if let Some(topology) = self.topology {
            topology.pcpus()?;
        }
        Ok(())
    }

    fn every_key() -> toml::Table {
        let every = Self {
            about: String::new(),
            costs: Costs::default(),
            topology: Some(Topology {
                sockets: 1,
                cores: 1,
                threads: 1,
            }),
        };
        every.to_toml().parse().unwrap_or_default()
    }
}

/// The first key that is found and not known, depth first.
fn unknown_key(prefix: &str, found: &toml::Table, known: &toml::Table) -> Option<ProfileProblem> {
    let path = |key: &str| format!("{prefix}{key}");
    for (key, value) in found {
        match (known.get(key), value) {
            (None, _) => {
                let known: Vec<String> = known.keys().map(|key| path(key)).collect();
                let (key, nearest) = (path(key), nearest(key, prefix, &known));
                return Some(ProfileProblem::UnknownKey {
                    key,
                    nearest,
                    known,
                });
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(found)) => {
                let problem = unknown_key(&format!("{}.", path(key)), found, known);
                if problem.is_some() {
                    return problem;
                }
            }
            // Where a table should stand and does not, the types say so.
            _ => {}
        }
    }
    None
}

/// The most similar key, if one is similar at all.
fn nearest(key: &str, prefix: &str, known: &[String]) -> Option<String> {
    (known.iter())
        .map(|known| (strsim::jaro_winkler(key, &known[prefix.len()..]), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_ones_can_be_read_and_written() {
        for name in Profile::names() {
            let (_, text) = BUILT_IN
                .into_iter()
                .find(|(known, _)| *known == name)
                .expect("listed");
            let profile =
                Profile::parse(text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            assert_eq!(
                Profile::parse(&profile.to_toml()).expect("as written"),
                profile
            );
        }
        let flat = Profile::named("flat").expect("built in");
        assert_eq!((flat.costs, flat.topology), (Costs::default(), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = Profile::named("small").expect("built in").to_toml();
        for (was, becomes, reason) in [
            ("poke_ns", "pokens", "did you mean `costs.poke_ns`?"),
            ("[topology]", "[topologie]", "did you mean `topology`?"),
            (
                "sockets",
                "xyzzy",
                "unknown key `topology.xyzzy`; there are: topology.cores",
            ),
            ("sockets = 1", "sockets = 0", "at least one of each"),
            ("sockets = 1\n", "", "missing field `sockets`"),
            ("poke_ns = ", "poke_ns = -", "poke_ns"),
            ("word_travels = true", "word_travels = 3", "word_travels"),
            ("[costs]", "[costs", "TOML parse error"),
        ] {
            assert!(good.contains(was), "{good}");
            let problem = Profile::parse(&good.replacen(was, becomes, 1)).expect_err(becomes);
            assert!(problem.to_string().contains(reason), "{becomes}: {problem}");
        }
    }
}
