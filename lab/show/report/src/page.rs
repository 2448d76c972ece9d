//! One HTML page of results: words, pictures, tables and how it was made.
//!
//! The page is whole by itself: it asks for nothing over a network, works from a disk, is light or
//! dark as the reader prefers, can be printed, and can be read without seeing or pointing. What it
//! needs a script for (sorting, filtering, hiding locks, changing the colours) is left out where
//! there is none. A policy in its head forbids everything that does not stand in it.
//!
//! ```text
//!   Set ... ──> Page ──┬── X.html
//!                      └── X-charts/1-throughput.svg, 1-throughput.png, ...
//! ```

mod about;
mod grid;
mod panels;
mod runs;
mod summary;
mod write;

use anyhow::{Result, ensure};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::look::Locks;
use crate::chart::theme::{DARK, LIGHT, Theme, hex};
use crate::sets::Set;

use self::panels::Panel;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A page and its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    html: String,
    /// Names without endings, and SVG files.
    pictures: Vec<(String, String)>,
}

impl Page {
    /// The page of some sets. `pictures` tells where its pictures will be, if they are written.
    ///
    /// # Errors
    ///
    /// If there is nothing to show, or the drawing library fails.
    pub fn new(sets: &[Set], pictures: Option<&str>) -> Result<Self> {
        let locks = Locks::of(sets.iter().flat_map(|set| &set.points));
        ensure!(locks.iter().len() > 0, "there is no result to show");
        let (panels, left_out) = panels::panels(sets, &locks);
        let beside = panels::beside(sets, &locks, panels.len() + 1);
        let html = document(sets, &locks, (&panels, left_out), &beside, pictures)?;
        let mut files = Vec::new();
        for panel in panels.iter().chain(&beside) {
            for chart in &panel.charts {
                let name = format!("{}-{}", panel.number, chart.name);
                files.push((name, chart.file(&locks)?));
            }
        }
        Ok(Self {
            html,
            pictures: files,
        })
    }

    /// The HTML.
    #[must_use]
    pub fn html(&self) -> &str {
        &self.html
    }
}

fn document(
    sets: &[Set],
    locks: &Locks,
    (panels, left_out): (&[Panel], usize),
    beside: &[Panel],
    pictures: Option<&str>,
) -> Result<String> {
    let title = title(sets);
    let draw = |panels: &[Panel]| -> Result<Vec<Markup>> {
        panels.iter().map(|panel| panel.html(locks)).collect()
    };
    let (drawn, drawn_beside) = (draw(panels)?, draw(beside)?);
    let first = panels.first().map(|panel| panel.first(locks)).transpose()?;
    let figures = runs::grid(sets, locks);
    let legend = panels::legend(locks, &figures.choices())?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                             img-src data:; base-uri 'none'; form-action 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("pvq ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(style())) }
            }
            body {
                a.skip href="#main" { "to the results" }
                header {
                    h1 { (title) }
                    button.needs-js type="button" id="dark" aria-pressed="false" { "dark" }
                }
                nav aria-label="parts of this page" {
                    ul {
                        @if sets.len() > 1 { li { a href="#side-by-side" { "Side by side" } } }
                        li { a href="#pictures" { "Pictures" } }
                        li { a href="#all" { "All figures" } }
                        li { a href="#made" { "How it was made" } }
                        li { a href="#meanings" { "What the words mean" } }
                    }
                }
                main id="main" {
                    (summary::warning(sets))
                    section.start aria-label="the first picture" {
                        @if let Some(first) = &first { (first) }
                        (legend)
                    }
                    (summary::html(sets))
                    @if sets.len() > 1 { (side_by_side(sets, locks, &drawn_beside)) }
                    section aria-labelledby="pictures" {
                        h2 id="pictures" { "Pictures" }
                        @for panel in &drawn { (panel) }
                        @if left_out > 0 {
                            p { "There are " (left_out) " more settings; their figures stand in the table below. For their pictures, give fewer of them to " code { "pvq report" } "." }
                        }
                        @if let Some(folder) = pictures {
                            p.note { "As SVG and PNG files: " code { (folder) } }
                        }
                    }
                    section aria-labelledby="all" {
                        h2 id="all" { "All figures" }
                        (figures.html())
                    }
                    (about::html(sets))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(page.into_string())
}

fn side_by_side(sets: &[Set], locks: &Locks, drawn: &[Markup]) -> Markup {
    html! {
        section aria-labelledby="side-by-side" {
            h2 id="side-by-side" { "Side by side" }
            @match panels::beside_table(sets, locks) {
                Some(table) => {
                    @for panel in drawn { (panel) }
                    (table.html())
                }
                None => {
                    p { "These have no point in common: workload, host, CPUs, sections and slice must be the same." }
                }
            }
        }
    }
}

/// What the browser's tab shows.
fn title(sets: &[Set]) -> String {
    let labels: Vec<&str> = sets.iter().map(|set| set.label.as_str()).collect();
    match labels.as_slice() {
        [one] => format!("Spinlocks under overcommit: {one}"),
        [first, .., last] if labels.len() > 3 => {
            format!(
                "Spinlocks under overcommit: {first} to {last} ({})",
                labels.len()
            )
        }
        several => format!("Spinlocks under overcommit: {}", several.join(", ")),
    }
}

/// The style sheet, with the greys that the pictures have, too.
fn style() -> String {
    let greys = |theme: Theme| {
        format!(
            "--paper:{};--ink:{};--faint:{};--grid:{}",
            hex(theme.paper),
            hex(theme.ink),
            hex(theme.faint),
            hex(theme.grid)
        )
    };
    let drawn = |grey, name: &str| {
        let grey = hex(grey);
        format!(
            ".chart [fill=\"{grey}\"]{{fill:var(--{name})}}.chart [stroke=\"{grey}\"]{{stroke:var(--{name})}}"
        )
    };
    format!(
        ":root{{color-scheme:light;{light}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root:not([data-colours=light]){{color-scheme:dark;{dark}}}}}\n\
         @media screen{{:root[data-colours=dark]{{color-scheme:dark;{dark}}}}}\n\
         {}{}{}{}\n{STYLE}",
        drawn(LIGHT.paper, "paper"),
        drawn(LIGHT.ink, "ink"),
        drawn(LIGHT.faint, "faint"),
        drawn(LIGHT.grid, "grid"),
        light = greys(LIGHT),
        dark = greys(DARK),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Source;
    use crate::samples;

    #[test]
    fn many_settings_have_figures_only() {
        let mut report = samples::report();
        report.results = (1..=panels::MOST as u64 + 3)
            .map(|inside_us| {
                let mut record = samples::record("fifo", 4, 1_000.0);
                record.inside_ns = inside_us * 1_000;
                record
            })
            .collect();
        let source = Source::of_report(&report, "many").expect("our own");
        let page = Page::new(&Set::of(vec![source]), None).expect("there is something to show");
        assert!(page.html().contains("There are 3 more settings"));
        assert_eq!(page.html().matches("class=\"panel\"").count(), panels::MOST);
        assert!(page.html().contains("15 of 15 rows"));
        assert!(
            page.pictures
                .iter()
                .all(|(name, _)| !name.starts_with("13-"))
        );
    }

    #[test]
    fn doubts_stand_on_top() {
        let mut report = samples::report();
        report.complete = false;
        report.planned = 9;
        report.results[0].exclusion_violations = 3;
        let source = Source::of_report(&report, "bad").expect("our own");
        let page = Page::new(&Set::of(vec![source]), None).expect("there is something to show");
        for doubt in [
            "INCOMPLETE: 2 of 9 runs",
            "BUG: fifo let two in at once, 3 times",
        ] {
            let at = page.html().find(doubt);
            assert!(at < page.html().find("<figure"), "{doubt}: {at:?}");
            assert!(at.is_some(), "{doubt}");
        }
    }

    #[test]
    fn nothing_is_not_shown() {
        assert!(Page::new(&[], None).is_err());
    }
}
