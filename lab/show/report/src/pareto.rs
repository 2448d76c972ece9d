//! One picture for a document: throughput over bound against the longest wait, every lock a point.

use anyhow::{Context, Result};

use crate::aggregate::{Summary, summarise};
use crate::chart;
use crate::chart::look::Locks;
use crate::schema::Record;

/// A picture for a document.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The file.
    pub svg: String,
    /// What there is to see, for readers who do not see it: one line.
    pub words: String,
}

/// The picture: every lock of these records, which are of one point, and a line through
/// those of the policy `joined`, from the shortest wait to the longest.
///
/// Throughput is the median of the repeats, the wait the longest of all.
///
/// # Errors
///
/// If there are no records, or it cannot be drawn.
pub fn draw(records: &[Record], place: &str, joined: &str) -> Result<Drawn> {
    let points = summarise(records);
    let locks = Locks::of(&points);
    let at = points.first().context("there is nothing to draw")?;
    let longest = |lock: &Summary| lock.wait_max_ns.max;
    let one = |lock: &Summary| lock.policy.as_deref() == Some(joined);
    let chart = chart::pareto(at, &locks, place, ("longest wait", longest), one);
    Ok(Drawn {
        svg: chart.file(&locks)?,
        words: format!(
            "{}, {place}. {}",
            sentence(&chart.title),
            chart.reading(&locks)
        ),
    })
}

/// The same as the beginning of a sentence.
fn sentence(title: &str) -> String {
    let mut letters = title.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn every_lock_is_a_point_and_one_policy_is_a_line() {
        let locks = ["bounded@wait=50us", "bounded@wait=1ms", "linux-pv"];
        let mut records = Vec::new();
        for (lock, max) in locks.into_iter().zip([60_000, 1_000_000, 400_000]) {
            let mut record = samples::record(lock, 4, 600_000.0);
            record.policy = lock.starts_with("bounded").then(|| "bounded".to_owned());
            record.wait_ns.max = max;
            records.push(record);
        }
        let Drawn { svg, words } = draw(&records, "here & now", "bounded").expect("drawn");
        let with_line = svg;
        assert!(
            words.starts_with("Throughput")
                && words.contains(", here & now. Of 3 locks, not beaten in both"),
            "{words}"
        );
        for said in locks
            .into_iter()
            .chain(["here &amp; now", "not beaten in both"])
        {
            assert!(with_line.contains(said), "no {said}");
        }
        let without = draw(&records, "here & now", "no such policy")
            .expect("drawn")
            .svg;
        let lines = |svg: &str| svg.matches("<polyline").count();
        assert_eq!(lines(&with_line), lines(&without) + 1);
        assert!(draw(&[], "nowhere", "bounded").is_err());
    }
}
