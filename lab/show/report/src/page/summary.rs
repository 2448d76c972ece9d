//! What there is to know, in plain words: what is doubtful, and how ours did.

use maud::{Markup, html};

use crate::aggregate::AtPoint;
use crate::comparison::Comparison;
use crate::figures::count;
use crate::repeats::Evidence;
use crate::sentences::sentences;
use crate::sets::Set;
use crate::table::warnings;

/// The policy that is the default on threads.
const OURS_ON_THREADS: &str = "bounded";

/// More sets than this are told one by one only if the reader asks.
const MOST_SETS: usize = 4;

/// More doubts than this are counted; the rest is there for the reader who asks.
const MOST_DOUBTS: usize = 3;

/// The sentences, set by set.
pub(super) fn html(sets: &[Set]) -> Markup {
    html! {
        section aria-labelledby="summary" {
            h2 id="summary" { "In short" }
            @for (i, set) in sets.iter().enumerate() {
                @if i < MOST_SETS {
                    @if sets.len() > 1 { h3 { (set.label) } }
                    (told(set))
                } @else {
                    details {
                        summary { (set.label) }
                        (told(set))
                    }
                }
            }
        }
    }
}

fn told(set: &Set) -> Markup {
    html! { @for sentence in words(set) { p.told { (sentence) } } }
}

/// What comes before everything else on a page.
pub(super) fn warning(sets: &[Set]) -> Markup {
    let several = sets.len() > 1;
    let label = |set: &Set, doubt: String| match several {
        true => format!("{}: {doubt}", set.label),
        false => doubt,
    };
    let doubts: Vec<String> = sets
        .iter()
        .flat_map(|set| doubts(set).into_iter().map(move |doubt| label(set, doubt)))
        .collect();
    let (first, more) = doubts.split_at(doubts.len().min(MOST_DOUBTS));
    html! {
        @if !first.is_empty() {
            div.warnings {
                ul { @for doubt in first { li { (doubt) } } }
                @if !more.is_empty() {
                    details {
                        summary { "and " (more.len()) " more" }
                        ul { @for doubt in more { li { (doubt) } } }
                    }
                }
            }
        }
    }
}

/// What must not be overlooked.
fn doubts(set: &Set) -> Vec<String> {
    let about = &set.about;
    let mut doubts: Vec<String> = set
        .points
        .iter()
        .flat_map(|at| {
            let place = format!("{} {}", count(at.point.overcommit()), set.crowd());
            let lines = warnings(at);
            let lines = lines.lines().map(|line| format!("{line} ({place})"));
            lines.collect::<Vec<_>>()
        })
        .collect();
    if !about.complete {
        let planned = about
            .planned
            .map_or_else(String::new, |planned| format!(" of {planned}"));
        doubts.push(format!(
            "INCOMPLETE: {}{planned} runs were finished.",
            about.runs
        ));
    }
    let locks = || set.points.iter().flat_map(|at| &at.locks);
    let disturbed: usize = locks().map(|lock| lock.disturbed).sum();
    if disturbed > 0 {
        let all: usize = locks().map(|lock| lock.repeats).sum();
        doubts.push(format!(
            "DISTURBED: in {disturbed} of {all} runs other work took CPU time that the locks should have had. A \
             lock in strict order loses most by that."
        ));
    }
    doubts
}

fn evidence(set: &Set) -> Evidence {
    Evidence::of_driver(&set.about.driver)
}

fn words(set: &Set) -> Vec<String> {
    if !set.is_threads() {
        return sentences(&set.points, evidence(set)).to_vec();
    }
    let points: Vec<&AtPoint> = set.points.iter().collect();
    match Comparison::with_the_best(&points, OURS_ON_THREADS, evidence(set)) {
        Some(told) => vec![told.to_string()],
        None => vec![format!(
            "{OURS_ON_THREADS} did not run beside any other crate's lock."
        )],
    }
}
