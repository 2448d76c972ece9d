//! What every picture promises, tested on the scene: the marks and names that were drawn, and where,
//! before they are pixels.

use std::collections::HashSet;

use super::sketch::{Room, Shown, Spot};
use super::tests::charts;
use super::*;
use crate::{samples, summarise};

/// The scene of a picture: how it was drawn, before it is pixels.
fn scene(chart: &Chart, locks: &Locks, size: Size) -> Vec<(usize, Shown)> {
    let sketch = chart.sketch(locks, size).expect("it can be drawn");
    sketch.shown().to_vec()
}

/// Every value of a picture, by its lock.
fn values(chart: &Chart) -> Vec<(usize, (f64, f64))> {
    match &chart.plot {
        Plot::Lines(lines) => (lines.lines.iter())
            .flat_map(|line| line.values.iter().map(|at| (line.lock, (at.x, at.y))))
            .collect(),
        Plot::Scatter(scatter) => (scatter.dots.iter())
            .map(|dot| (dot.lock, (dot.x, dot.y)))
            .collect(),
        Plot::Rows(rows) => (rows.rows.iter().enumerate())
            .flat_map(|(place, row)| {
                let values = row.values.iter().flatten();
                values.map(move |value| (row.lock, (*value, -(place as f64))))
            })
            .collect(),
    }
}

/// Many locks in one place, and a few elsewhere: what moves names away from their marks.
fn crowded() -> (Vec<Chart>, Locks) {
    let mut records = Vec::new();
    for lock in 0..21_u32 {
        for vcpus in [2, 4, 8] {
            let throughput = match lock {
                0..14 => 600_000.0 - f64::from(lock) * 500.0,
                _ => 20_000.0 * f64::from(lock - 13) / vcpus as f64,
            };
            let name = format!("lock-number-{lock}");
            let mut record = samples::record(&name, vcpus, throughput);
            record.wait_ns.max = 30_000 + u64::from(lock % 14) * 100;
            records.push(record);
        }
    }
    let points = summarise(&records);
    let locks = Locks::of(&points);
    let place = Place {
        setting: "crowded".to_owned(),
        crowd: "vCPUs for each pCPU",
    };
    let points: Vec<_> = points.iter().collect();
    (of_setting(&points, &locks, &place), locks)
}

#[test]
fn a_mark_is_a_value_and_lies_where_the_value_is() {
    for (charts, locks) in [charts(), crowded()] {
        for (chart, size) in charts
            .iter()
            .flat_map(|chart| [(chart, Size::Wide), (chart, Size::Narrow)])
        {
            let scene = scene(chart, &locks, size);
            let marks = scene.iter().filter_map(|(lock, shown)| match shown {
                Shown::Mark(at) => Some((*lock, *at)),
                Shown::Label(..) => None,
            });
            // One mark a value; and whatever is more in a figure lies farther along its axis.
            let mut marks: Vec<_> = marks.collect();
            let mut values = values(chart);
            assert_eq!(marks.len(), values.len(), "{}", chart.name);
            marks.sort_by_key(|(lock, (x, y))| (*lock, *x, -y));
            values.sort_by(|(a, (ax, ay)), (b, (bx, by))| {
                a.cmp(b).then(ax.total_cmp(bx)).then(ay.total_cmp(by))
            });
            let pairs: Vec<_> = marks.iter().zip(&values).collect();
            for (i, (mark, value)) in pairs.iter().enumerate() {
                assert_eq!(mark.0, value.0, "{}", chart.name);
                for (other, known) in &pairs[..i] {
                    let along = |a: f64, b: f64, spot: i32, than: i32| match a.total_cmp(&b) {
                        std::cmp::Ordering::Less => spot <= than,
                        std::cmp::Ordering::Equal => spot == than,
                        std::cmp::Ordering::Greater => spot >= than,
                    };
                    let (m, o, v, k) = (mark.1, other.1, value.1, known.1);
                    assert!(
                        along(v.0, k.0, m.0, o.0),
                        "{}: {mark:?} {other:?}",
                        chart.name
                    );
                    assert!(
                        along(v.1, k.1, -m.1, -o.1),
                        "{}: {mark:?} {other:?}",
                        chart.name
                    );
                }
            }
        }
    }
}

#[test]
fn every_name_stands_beside_a_mark_of_its_lock_or_a_line_leads_to_it() {
    for (charts, locks) in [charts(), crowded()] {
        for (chart, size) in charts
            .iter()
            .flat_map(|chart| [(chart, Size::Wide), (chart, Size::Narrow)])
        {
            let scene = scene(chart, &locks, size);
            let rows = matches!(chart.plot, Plot::Rows(_));
            let mut rooms: Vec<Room> = Vec::new();
            for (lock, shown) in &scene {
                let Shown::Label(room, leader) = shown else {
                    continue;
                };
                let own = |at: Spot| scene.contains(&(*lock, Shown::Mark(at)));
                match leader {
                    Some((from, _)) => assert!(own(*from), "{}: {lock}", chart.name),
                    // A row's name stands in the row, at its left.
                    None if rows => {}
                    None => {
                        let near = |(_, shown): &&(usize, Shown)| {
                            let Shown::Mark((x, y)) = shown else {
                                return false;
                            };
                            let square = (x - 14, y - 14, x + 14, y + 14);
                            labels::overlap(square, *room) > 0
                        };
                        let near: Vec<_> = scene.iter().filter(near).collect();
                        assert!(
                            near.iter().any(|(other, _)| other == lock),
                            "{}",
                            chart.name
                        );
                    }
                }
                for other in &rooms {
                    assert_eq!(
                        labels::overlap(*room, *other),
                        0,
                        "{}: {room:?}",
                        chart.name
                    );
                }
                rooms.push(*room);
            }
            let named: HashSet<usize> = values(chart).into_iter().map(|(lock, _)| lock).collect();
            assert_eq!(rooms.len(), named.len(), "{}: one name a lock", chart.name);
        }
    }
}

#[test]
fn a_bold_name_at_the_edge_of_a_narrow_picture_is_not_cut_off() {
    let locks = ["bounded", "fifo-holder", "fifo", "unfair-hinted"];
    let records: Vec<_> = (locks.iter().zip(0_u32..))
        .map(|(lock, number)| {
            let mut record = samples::record(lock, 16, 600_000.0);
            record.throughput_over_bound = 0.88 + 0.01 * f64::from(number);
            record.wait_ns.max = 10_u64.pow(number + 4);
            record
        })
        .collect();
    let points = summarise(&records);
    let locks = Locks::of(&points);
    let place = Place {
        setting: String::new(),
        crowd: "vCPUs for each pCPU",
    };
    let charts = of_setting(&points.iter().collect::<Vec<_>>(), &locks, &place);
    let sketch = charts[0]
        .sketch(&locks, Size::Narrow)
        .expect("it can be drawn");
    for (lock, shown) in sketch.shown() {
        if let Shown::Label(room, _) = shown {
            // A bold letter is a sixth wider than it is reckoned.
            let right = room.2 + (room.2 - room.0) / 6;
            assert!(
                right <= sketch.size.0 as i32,
                "{}: {room:?}",
                locks[*lock].name
            );
        }
    }
}
