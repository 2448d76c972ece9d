//! The pictures of a page: those of each setting, and those that put several files side by side.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use crate::aggregate::AtPoint;
use crate::chart::look::{Lock, Locks};
use crate::chart::sketch::{Sketch, mark, path};
use crate::chart::{self, Better, Chart, Size};
use crate::figures::{count, share, time, times};
use crate::sets::Set;
use plotters::style::Color;

use super::grid::{Cell, Column, Grid, Line};
use super::runs;

/// More settings than this have no pictures: a reader would not look at them all, and a browser
/// would draw them.
pub(super) const MOST: usize = 12;

/// The pictures of one setting.
pub(super) struct Panel {
    /// From 1: the beginning of file names, and part of ids.
    pub(super) number: usize,
    pub(super) title: String,
    pub(super) charts: Vec<Chart>,
    /// By what it is chosen, in the order of the filters; `None` goes with every choice.
    keys: Vec<Option<String>>,
    /// Charts that stand elsewhere on the page.
    elsewhere: usize,
}

/// The panels of all settings, but not more than [`MOST`]; and how many are left out.
pub(super) fn panels(sets: &[Set], locks: &Locks) -> (Vec<Panel>, usize) {
    let mut panels = Vec::new();
    let mut left_out = 0;
    for set in sets {
        for setting in set.settings() {
            let Some(first) = setting.points.first() else {
                continue;
            };
            let number = panels.len() + 1;
            if number > MOST {
                left_out += 1;
                continue;
            }
            let words = set.setting_words(&first.point);
            let label = match sets.len() {
                1 => String::new(),
                _ => format!("{}: ", set.label),
            };
            let place = chart::Place {
                setting: format!("{label}{words}"),
                crowd: set.crowd(),
            };
            panels.push(Panel {
                number,
                title: place.setting.clone(),
                charts: chart::of_setting(&setting.points, locks, &place),
                keys: runs::keys_of_setting(sets, set, &setting.points),
                // The first of the first panel is the first of the page.
                elsewhere: usize::from(number == 1),
            });
        }
    }
    (panels, left_out)
}

/// A point that several sets have: each with what they are called.
type Common<'a> = Vec<(&'a str, &'a AtPoint)>;

fn common(sets: &[Set]) -> Vec<Common<'_>> {
    let mut common: Vec<Common<'_>> = Vec::new();
    for set in sets {
        for at in &set.points {
            match common.iter_mut().find(|there| there[0].1.point == at.point) {
                Some(there) => there.push((&set.label, at)),
                None => common.push(vec![(&set.label, at)]),
            }
        }
    }
    common.retain(|there| there.len() > 1);
    common
}

/// The pictures of what several sets have in common: one panel for each setting, at its highest
/// overcommit. Numbers go on from `first`.
pub(super) fn beside(sets: &[Set], locks: &Locks, first: usize) -> Vec<Panel> {
    let mut highest: Vec<Common<'_>> = Vec::new();
    for there in common(sets) {
        let point = &there[0].1.point;
        let same = |other: &&mut Common<'_>| other[0].1.point.same_but_overcommit(point);
        match highest.iter_mut().find(same) {
            Some(other) if other[0].1.point.vcpus < point.vcpus => *other = there,
            Some(_) => {}
            None => highest.push(there),
        }
    }
    let panels = highest.into_iter().take(MOST).zip(first..);
    panels
        .map(|(there, number)| {
            let point = &there[0].1.point;
            let set = sets.iter().find(|set| set.label == there[0].0);
            let words = set.map_or_else(String::new, |set| {
                format!(
                    "{}, {} {}",
                    set.setting_words(point),
                    count(point.overcommit()),
                    set.crowd()
                )
            });
            Panel {
                number,
                charts: chart::beside(&there, locks, &words),
                title: words,
                keys: Vec::new(),
                elsewhere: 0,
            }
        })
        .collect()
}

/// The table of what several sets have in common.
pub(super) fn beside_table(sets: &[Set], locks: &Locks) -> Option<Grid> {
    let common = common(sets);
    if common.is_empty() {
        return None;
    }
    let number = |title: String, hint, better| Column {
        title,
        hint,
        number: true,
        better: Some(better),
    };
    let word = |title: &str, hint| Column {
        title: title.to_owned(),
        hint,
        number: false,
        better: None,
    };
    let mut columns = vec![word("lock", "its name"), word("where", "the point")];
    for set in sets {
        columns.push(number(
            format!("{}: thr/bound", set.label),
            "critical sections per second over the most that any lock could do",
            Better::Higher,
        ));
    }
    for set in sets {
        columns.push(number(
            format!("{}: longest wait", set.label),
            "the longest wait of all repeats",
            Better::Lower,
        ));
    }
    columns.push(number(
        "throughput, last/first".to_owned(),
        "critical sections per second of the last file over those of the first",
        Better::Higher,
    ));
    let mut rows = Vec::new();
    for there in &common {
        let point = &there[0].1.point;
        let place = sets[0].setting_words(point);
        let place = format!("{place}, {} {}", count(point.overcommit()), sets[0].crowd());
        for (lock, look) in locks.iter().enumerate() {
            let of = |set: &Set| {
                let (_, at) = there.iter().find(|(label, _)| *label == set.label)?;
                at.lock(&look.name)
            };
            let found: Vec<_> = sets.iter().map(of).collect();
            if found.iter().flatten().count() < 2 {
                continue;
            }
            let cell = |value: Option<f64>, show: fn(f64) -> String| Cell {
                text: value.map_or_else(|| "-".to_owned(), show),
                value,
            };
            let text = |text: &str| Cell {
                text: text.to_owned(),
                value: None,
            };
            let mut cells = vec![text(&look.name), text(&place)];
            let speeds = found
                .iter()
                .map(|lock| lock.map(|lock| lock.over_bound.median));
            cells.extend(speeds.map(|value| cell(value, share)));
            let waits = found
                .iter()
                .map(|lock| lock.map(|lock| lock.wait_max_ns.max));
            cells.extend(waits.map(|value| cell(value, time)));
            let ends = (
                found.first().copied().flatten(),
                found.last().copied().flatten(),
            );
            let ratio = match ends {
                (Some(first), Some(last)) if first.throughput_per_s.median > 0.0 => {
                    Some(last.throughput_per_s.median / first.throughput_per_s.median)
                }
                _ => None,
            };
            cells.push(cell(ratio, times));
            rows.push(Line {
                lock: Some(lock),
                keys: Vec::new(),
                cells,
            });
        }
    }
    Some(Grid {
        id: "beside",
        caption: "What the files have in common, side by side".to_owned(),
        columns,
        filters: Vec::new(),
        rows,
    })
}

impl Panel {
    pub(super) fn html(&self, locks: &Locks) -> Result<Markup> {
        let mut figures = Vec::new();
        for chart in self.charts.iter().skip(self.elsewhere) {
            figures.push(self.figure(chart, locks, &[Size::Narrow])?);
        }
        let keys = serde_json::to_string(&self.keys).unwrap_or_default();
        Ok(html! {
            section.panel data-keys=(keys) {
                h3 { (self.title) }
                div.charts { @for figure in &figures { (figure) } }
            }
        })
    }

    /// The first picture of the page, as large as there is room for.
    pub(super) fn first(&self, locks: &Locks) -> Result<Markup> {
        match self.charts.first() {
            Some(chart) => self.figure(chart, locks, &[Size::Wide, Size::Narrow]),
            None => Ok(html! {}),
        }
    }

    fn figure(&self, chart: &Chart, locks: &Locks, sizes: &[Size]) -> Result<Markup> {
        let mut drawn = Vec::new();
        for size in sizes {
            let wide = if *size == Size::Wide { "-wide" } else { "" };
            let id = format!("chart-{}-{}{wide}", self.number, chart.name);
            drawn.push(chart.inline(locks, &id, *size)?);
        }
        let data = chart.data(locks);
        Ok(html! {
            figure class=[(sizes.len() > 1).then_some("first")] {
                @if sizes.len() > 1 {
                    h2 { (chart.title) }
                    p.note { (chart.place) }
                } @else {
                    h4 { (chart.title) }
                }
                @for svg in &drawn { (PreEscaped(svg)) }
                figcaption { (chart.reading(locks)) }
                details {
                    summary { "the figures of this picture" }
                    div.scroll tabindex="0" role="region" aria-label=(data.caption) {
                        table {
                            caption { span { (data.caption) } }
                            thead {
                                tr {
                                    th scope="col" { "lock" }
                                    @for column in &data.columns {
                                        th.number scope="col" { (column) }
                                    }
                                }
                            }
                            tbody {
                                @for (name, cells) in &data.rows {
                                    tr data-lock=[locks.number(name)] {
                                        th scope="row" { (name) }
                                        @for cell in cells { td.number { (cell) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        })
    }
}

/// What every lock looks like, and what of all this is shown.
pub(super) fn legend(locks: &Locks, choices: &Markup) -> Result<Markup> {
    let mut samples = Vec::new();
    for lock in locks.iter() {
        samples.push((sample(lock)?, lock));
    }
    Ok(html! {
        fieldset.legend {
            legend { "What is shown" }
            (choices)
            div.needs-js.buttons {
                button type="button" data-locks="all" { "show all" }
                button type="button" data-locks="none" { "hide all" }
                button type="button" data-locks="ours" { "ours only" }
            }
            div.samples {
                @for (number, (svg, lock)) in samples.iter().enumerate() {
                    label title=(lock.kind()) {
                        input.needs-js type="checkbox" checked autocomplete="off"
                            name=(lock.name) data-shows=(number) data-ours=[lock.ours.then_some("")];
                        (PreEscaped(svg))
                        span { (lock.name) }
                    }
                }
            }
            p.note {
                "Solid lines: ours; dashed: unfair; dotted: in order."
                span.needs-js { " A lock that is hidden here is hidden everywhere; the address keeps what you chose." }
            }
        }
    })
}

fn sample(lock: &Lock) -> Result<String> {
    let mut sketch = Sketch::new(48, 16);
    let line = lock.colour.stroke_width(lock.width());
    sketch.dashed(lock.dashes(), |area| {
        path(area, vec![(2, 8), (46, 8)], line)
    })?;
    sketch.draw(|area| mark(area, lock.mark, (24, 8), lock.colour))?;
    let svg = html! {
        svg.sample width="48" height="16" viewBox="0 0 48 16" aria-hidden="true" {
            (PreEscaped(sketch.into_parts()))
        }
    };
    Ok(svg.into_string())
}
