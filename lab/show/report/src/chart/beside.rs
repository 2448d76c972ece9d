//! One point of several results files, side by side.

use super::axis::{Axis, SHORTEST_WAIT_NS};
use super::look::{Locks, Mark};
use super::plots::{longest, longest_name, over_bound, values_of};
use super::rows::{Row, Rows};
use super::{Chart, Plot};
use crate::aggregate::{AtPoint, Summary};
use crate::figures::{share, time};

/// One point as several files have it: throughput over bound, and the longest wait.
pub(crate) fn beside(at: &[(&str, &AtPoint)], locks: &Locks, place: &str) -> Vec<Chart> {
    const SIGNS: [Mark; 6] = [
        Mark::Disc,
        Mark::Frame,
        Mark::Up,
        Mark::Cross,
        Mark::Diamond,
        Mark::Plus,
    ];
    let signs: Vec<(Mark, String)> = at
        .iter()
        .zip(SIGNS.iter().cycle())
        .map(|((label, _), sign)| (*sign, (*label).to_owned()))
        .collect();
    let rows = |figure: fn(&Summary) -> f64| -> Vec<Row> {
        locks
            .iter()
            .enumerate()
            .filter_map(|(lock, look)| {
                let values: Vec<Option<f64>> = at
                    .iter()
                    .map(|(_, at)| at.lock(&look.name).map(figure))
                    .collect();
                let ratio = match (values.first(), values.last()) {
                    (Some(Some(first)), Some(Some(last))) if values.len() > 1 => {
                        crate::figures::times(last / first)
                    }
                    _ => "-".to_owned(),
                };
                let both = values.iter().flatten().count() > 1;
                both.then_some(Row {
                    lock,
                    values,
                    end: ratio,
                })
            })
            .collect()
    };
    let (speed, waiting) = (rows(over_bound), rows(longest));
    let chart = |name, title: &str, x: Axis, rows: Vec<Row>| Chart {
        name,
        title: title.to_owned(),
        place: place.to_owned(),
        plot: Plot::Rows(Rows {
            x,
            signs: signs.clone(),
            end: "last/first".to_owned(),
            joined: true,
            ranked: false,
            rows,
        }),
    };
    let points: Vec<&AtPoint> = at.iter().map(|(_, at)| *at).collect();
    vec![
        chart(
            "beside-throughput",
            "throughput over bound",
            Axis::linear("throughput over bound", values_of(&speed), 1.0, share),
            speed,
        ),
        chart(
            "beside-longest-wait",
            longest_name(&points),
            Axis::logarithmic("longest wait", values_of(&waiting), SHORTEST_WAIT_NS, time),
            waiting,
        ),
    ]
}
