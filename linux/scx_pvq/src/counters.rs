//! Statistics: what the BPF program counts, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use serde_json::{Map, Value, json};

use crate::requirements;
use crate::shared::COUNTERS;

/// The map of the BPF program.
pub(crate) const MAP: &str = "pvq_counters";

/// Their values, all CPUs together.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counters([u64; COUNTERS.len()]);

/// How they are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// A line for people.
    Text,
    /// An object on one line.
    Json,
}

impl Counters {
    /// What they are now.
    pub(crate) fn read(map: &impl MapCore) -> Result<Self> {
        let mut all = Self::default();
        for (index, value) in all.0.iter_mut().enumerate() {
            *value = read_one(map, index)?;
        }
        Ok(all)
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|index| {
            self.0[index].wrapping_add(other.0[index])
        }))
    }

    /// What came since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|index| {
            self.0[index].saturating_sub(before.0[index])
        }))
    }

    /// One of them, and no others.
    #[cfg(test)]
    pub(crate) fn of(name: &str, value: u64) -> Self {
        let mut all = Self::default();
        all.0[index_of(name).expect("a counter")] = value;
        all
    }

    fn get(&self, name: &str) -> u64 {
        index_of(name).map_or(0, |index| self.0[index])
    }

    /// Text or JSON of what was counted in so long a time.
    pub(crate) fn show(&self, time: Duration, style: Style) -> String {
        let asked = self.get("asked");
        let ran = self.get("ran");
        let charged = self.get("charged_ns");
        let mean_loan_ns = self.get("lent_ns").checked_div(ran).unwrap_or(0);
        match style {
            Style::Json => {
                let mut object = Map::new();
                object.insert("scheduler".into(), json!("scx_pvq"));
                object.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
                object.insert("duration_ns".into(), json!(time.as_nanos() as u64));
                for (name, value) in COUNTERS.iter().zip(self.0) {
                    object.insert((*name).into(), json!(value));
                }
                object.insert("mean_loan_ns".into(), json!(mean_loan_ns));
                Value::Object(object).to_string()
            }
            Style::Text => {
                let per_second = |value: u64| value as f64 / time.as_secs_f64().max(1e-9);
                let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
                let not_waiting = self.get("refused_not_waiting");
                let waited = asked.saturating_sub(not_waiting);
                let mut text = format!(
                    "asked {:.0}/s, target waited {:.0}/s, {:.1} % of these ran (loan {:.0} µs, {:.1} % of all time)",
                    per_second(asked),
                    per_second(waited),
                    percent(ran, waited),
                    mean_loan_ns as f64 / 1000.0,
                    percent(self.get("lent_ns"), charged),
                );
                for (name, why) in [
                    ("refused_affinity", "affinity"),
                    ("refused_moved", "target moved"),
                    ("refused_no_time", "no time left"),
                    ("refused_throttled", "CPU limit"),
                ] {
                    if self.get(name) > 0 {
                        // Writing to a string does not fail.
                        let _ = write!(text, ", refused {} ({why})", self.get(name));
                    }
                }
                if not_waiting > 0 {
                    let running = self.get("not_waiting_running");
                    let asleep = self.get("not_waiting_asleep");
                    let about_to = not_waiting.saturating_sub(running + asleep);
                    let _ = write!(
                        text,
                        "; target ran already {running}, slept {asleep}, was about to run elsewhere {about_to}",
                    );
                }
                let _ = write!(
                    text,
                    "; slices {:.0}/s, preemptions {:.0}/s, migrations {:.0}/s",
                    per_second(self.get("slices")),
                    per_second(self.get("preemptions")),
                    per_second(self.get("migrations")),
                );
                if self.get("throttled") > 0 {
                    let _ = write!(
                        text,
                        "; CPU limits held {:.0}/s back, {} for too long",
                        per_second(self.get("throttled")),
                        self.get("released_late"),
                    );
                }
                text
            }
        }
    }
}

fn index_of(name: &str) -> Option<usize> {
    COUNTERS.iter().position(|known| *known == name)
}

/// One of them, all CPUs together.
fn read_one(map: &impl MapCore, index: usize) -> Result<u64> {
    let each = map
        .lookup_percpu(&(index as u32).to_ne_bytes(), MapFlags::ANY)
        .context("cannot read the statistics")?
        .context("the program has other statistics than this loader knows")?;
    let value = |bytes: &Vec<u8>| {
        bytes
            .first_chunk()
            .map_or(0, |&bytes| u64::from_ne_bytes(bytes))
    };
    Ok(each.iter().map(value).sum())
}

/// The statistics of the scheduler that is loaded, maybe by another process.
pub(crate) struct Running {
    pub(crate) map: MapHandle,
    /// Another one for each time that it was loaded.
    pub(crate) id: u32,
}

impl Running {
    /// Fails if none is loaded, or if this user may not see it.
    pub(crate) fn find() -> Result<Self> {
        if !requirements::is_ours_loaded() {
            bail!("no scx_pvq is running");
        }
        // The last one is the youngest: one that has just ended may be there still.
        let id = libbpf_rs::query::MapInfoIter::default()
            .filter(|info| info.name.to_string_lossy() == MAP)
            .last()
            .context("the statistics of the running scx_pvq are not to be seen: only root may")?
            .id;
        let map =
            MapHandle::from_map_id(id).context("cannot open the statistics: only root may")?;
        Ok(Self { map, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_sums_are_by_counter() {
        let mut first = Counters::default();
        for (name, value) in [
            ("asked", 14),
            ("ran", 9),
            ("refused_moved", 1),
            ("refused_not_waiting", 4),
            ("not_waiting_running", 1),
            ("not_waiting_asleep", 1),
        ] {
            first.0[index_of(name).expect("a counter")] = value;
        }
        first.0[index_of("lent_ns").expect("a counter")] = 900_000;
        first.0[index_of("throttled").expect("a counter")] = 6;
        let twice = first.plus(&first);
        assert_eq!(twice.since(&first), first);
        let text = first.show(Duration::from_secs(2), Style::Text);
        assert!(
            text.starts_with("asked 7/s, target waited 5/s, 90.0 % of these ran (loan 100 µs"),
            "{text}"
        );
        assert!(text.contains("refused 1 (target moved)"), "{text}");
        let of_others = "target ran already 1, slept 1, was about to run elsewhere 2";
        assert!(text.contains(of_others), "{text}");
        assert!(text.ends_with("held 3/s back, 0 for too long"), "{text}");
        let json: Value =
            serde_json::from_str(&first.show(Duration::from_secs(2), Style::Json)).expect("JSON");
        assert_eq!(json["ran"], 9);
        assert_eq!(json["mean_loan_ns"], 100_000);
    }
}
