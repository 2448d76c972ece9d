//! An episode as lanes of characters, for a terminal: who did what, with the steps lettered above.
//!
//! ```text
//!            a       b  c                              d e
//!   cpu0   ──████████··································██───
//!   cpu1             ──░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░··████
//! ```

use std::fmt::Write as _;

use pvqspin_report::figures::time;

use crate::episode::Episode;
use crate::scene::{Doing, Lane, Place, Scene, Span};
use crate::story::{Step, steps, verdict};

/// Which characters a terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    /// Only those of 1963.
    Ascii,
    /// Blocks and lines.
    Unicode,
}

/// Lanes that took no part are left out beyond so many.
const MOST_LANES: usize = 12;

/// Narrower than this, and there is nothing to see.
const NARROWEST: usize = 40;

impl Charset {
    fn of(self, span: &Span) -> char {
        let (ascii, unicode) = match (span.place, span.doing) {
            (Place::Unknown | Place::Ended, _) => (' ', ' '),
            (Place::Running(_), Doing::Outside) => ('-', '─'),
            (Place::Running(_), Doing::Waits) => ('~', '░'),
            (Place::Running(_), Doing::Holds) => ('#', '█'),
            (Place::Preempted(_), Doing::Holds) => ('!', '▒'),
            (Place::Preempted(_), _) => ('.', '·'),
            (Place::Halted, _) => ('z', 'z'),
        };
        match self {
            Self::Ascii => ascii,
            Self::Unicode => unicode,
        }
    }

    fn legend(self) -> &'static str {
        match self {
            Self::Ascii => {
                "# holds   ! holds, but is off its pCPU   ~ spins   - runs outside   . preempted   z halted"
            }
            Self::Unicode => {
                "█ holds   ▒ holds, but is off its pCPU   ░ spins   ─ runs outside   · preempted   z halted"
            }
        }
    }
}

/// The episode, as wide as the terminal.
#[must_use]
pub fn render(scene: &Scene, episode: &Episode, width: usize, charset: Charset) -> String {
    let steps = steps(scene, episode);
    let lanes = lanes(scene, episode);
    let names: Vec<String> = lanes.iter().map(|&(vcpu, _)| scene.name(vcpu)).collect();
    let label = names.iter().map(String::len).max().unwrap_or(0) + 2;
    let columns = width.max(NARROWEST) - label;
    let window = window(scene, episode, &steps);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:label$}{}",
        "",
        letters(&steps, window, columns).trim_end()
    );
    for ((_, lane), name) in lanes.iter().zip(&names) {
        let drawn = row(lane, window, columns, charset);
        let _ = writeln!(text, "{name:label$}{}", drawn.trim_end());
    }
    let length = time((window.1 - window.0) as f64);
    let rule = match charset {
        Charset::Ascii => ('|', '-'),
        Charset::Unicode => ('├', '─'),
    };
    let dashes = columns.saturating_sub(length.len() + 4);
    let line: String = core::iter::repeat_n(rule.1, dashes).collect();
    let _ = writeln!(text, "{:label$}{}{line} {length}", "", rule.0);
    let _ = writeln!(text, "{}\n", fitted(charset.legend(), width));
    for (letter, step) in alphabet().zip(&steps) {
        let since = step.at_ns as f64 - episode.off_ns as f64;
        let sign = if since < 0.0 { '-' } else { '+' };
        let at = format!("{sign}{}", time(since.abs()));
        let _ = writeln!(text, "{letter} {at:>10}  {}", step.words);
    }
    let _ = writeln!(text, "\n{}", verdict(scene, episode));
    match charset {
        // The only letter that times need and ASCII lacks.
        Charset::Ascii => text.replace('µ', "u"),
        Charset::Unicode => text,
    }
}

/// The legend on several lines, if it has to be.
fn fitted(legend: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for part in legend.split("   ") {
        let last = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 3 + part.chars().count() <= width
        });
        match last {
            Some(line) if line.is_empty() => line.push_str(part),
            Some(line) => {
                line.push_str("   ");
                line.push_str(part);
            }
            None => lines.push(part.to_owned()),
        }
    }
    lines.join("\n")
}

fn alphabet() -> impl Iterator<Item = char> {
    ('a'..='z').chain('A'..='Z').chain(core::iter::repeat('*'))
}

/// What is shown: the episode, with a little before and after.
fn window(scene: &Scene, episode: &Episode, steps: &[Step]) -> (u64, u64) {
    let last = steps.last().map_or(episode.ended_ns, |step| step.at_ns);
    let core = last - episode.off_ns;
    // A vCPU that began to wait a rotation ago would leave no room for the episode.
    let before = (episode.off_ns - episode.began_ns).min(core / 2);
    let margin = core / 12 + 200;
    let from = episode.off_ns.saturating_sub(before + margin);
    (from.max(scene.from_ns), (last + margin).min(scene.to_ns))
}

/// The one that it is about first, then those that did something, then the others.
fn lanes<'a>(scene: &'a Scene, episode: &Episode) -> Vec<(u32, &'a Lane)> {
    let vm = scene.lanes[episode.vcpu as usize].vm;
    let mut lanes: Vec<(u32, &Lane)> = scene.lanes_of(vm).collect();
    let took_part = |lane: &Lane| {
        (lane.between(episode.began_ns, episode.ended_ns + 1))
            .any(|span| span.place.runs() || span.place == Place::Halted)
    };
    lanes.sort_by_key(|&(vcpu, lane)| (vcpu != episode.vcpu, !took_part(lane), vcpu));
    lanes.truncate(MOST_LANES);
    lanes
}

fn letters(steps: &[Step], (from, to): (u64, u64), columns: usize) -> String {
    let mut row = vec![' '; columns];
    for (letter, step) in alphabet().zip(steps) {
        if step.at_ns < from || step.at_ns > to {
            continue;
        }
        let wanted = column(step.at_ns, (from, to), columns);
        // Several at once stand beside each other, as far as there is room.
        if let Some(free) = (wanted..columns).find(|&at| row[at] == ' ') {
            row[free] = letter;
        }
    }
    row.into_iter().collect()
}

fn column(at_ns: u64, (from, to): (u64, u64), columns: usize) -> usize {
    let share = (at_ns - from) as f64 / (to - from).max(1) as f64;
    ((share * columns as f64) as usize).min(columns.saturating_sub(1))
}

/// In each column what lasted longest in its time.
fn row(lane: &Lane, (from, to): (u64, u64), columns: usize, charset: Charset) -> String {
    let edge = |column: usize| from + (to - from) * column as u64 / columns as u64;
    (0..columns)
        .map(|column| {
            let (start, end) = (edge(column), edge(column + 1).max(edge(column) + 1));
            (lane.between(start, end))
                .max_by_key(|span| span.to_ns.min(end) - span.from_ns.max(start))
                .map_or(' ', |span| charset.of(span))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn lanes_show_who_held_and_who_was_off() {
        let scene = samples::scene();
        let episode = scene.episodes()[0];
        for (charset, holds, off) in [(Charset::Ascii, '#', '!'), (Charset::Unicode, '█', '▒')]
        {
            let text = render(&scene, &episode, 80, charset);
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[1].starts_with("cpu0") && lines[2].starts_with("cpu1"));
            let count = |line: &str, wanted| line.chars().filter(|&c| c == wanted).count();
            // Held for 4 µs on a pCPU, for 16 µs off it.
            let (on, gone) = (count(lines[1], holds), count(lines[1], off));
            assert!(gone > 3 * on && on > 0, "{on} {gone}\n{text}");
            assert!(text.contains("Cost: for"));
            assert!(
                text.lines().take(6).all(|line| line.chars().count() <= 80),
                "{text}"
            );
            assert_eq!(text.is_ascii(), charset == Charset::Ascii, "{text}");
        }
    }

    #[test]
    fn no_terminal_is_too_narrow() {
        let scene = samples::scene();
        for width in [0, 1, 39, 41, 300] {
            let text = render(&scene, &scene.episodes()[1], width, Charset::Ascii);
            assert!(text.contains("cpu1"), "{text}");
        }
    }
}
