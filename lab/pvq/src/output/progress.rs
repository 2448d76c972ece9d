//! How far it is: a bar with the time left on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::failure::note;

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How often the bar is drawn at most while one run goes on.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Into how many parts the bar divides a run.
const PARTS: f64 = 1_000.0;

/// Of so many runs and fewer, one is a part that is worth a percentage.
const FEW: usize = 100;

/// Progress through a number of runs, on standard error.
pub(crate) struct Progress {
    /// What a run is called, in the plural.
    called: &'static str,
    runs: usize,
    done: usize,
    /// Which part is done of the runs that go on.
    part: f64,
    /// What goes on.
    name: String,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Bar { bar: ProgressBar, drawn: Instant },
    Lines { last: Instant },
}

impl Progress {
    /// Nothing is done yet.
    pub(crate) fn new(runs: usize) -> Self {
        Self::called("runs", runs)
    }

    /// The same for what is called something else.
    pub(crate) fn called(called: &'static str, runs: usize) -> Self {
        let started = Instant::now();
        let shown = if io::stderr().is_terminal() {
            Shown::Bar {
                bar: bar(runs),
                drawn: started,
            }
        } else {
            Shown::Lines { last: started }
        };
        Self {
            called,
            runs,
            done: 0,
            part: 0.0,
            name: String::new(),
            started,
            shown,
        }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        self.draw();
    }

    /// Which part is done of the run that goes on, or how much of those that go on at once. May be
    /// called often.
    pub(crate) fn within(&mut self, part: f64) {
        self.part = part;
        match &self.shown {
            Shown::Bar { drawn, .. } if drawn.elapsed() < DRAW_EVERY => {}
            Shown::Lines { last } if last.elapsed() < LINE_EVERY => {}
            _ => self.draw(),
        }
    }

    /// A run is done.
    pub(crate) fn end(&mut self) {
        self.done += 1;
        self.part = 0.0;
        let (so_far, place) = (self.so_far(), self.place());
        if let Shown::Bar { bar, .. } = &self.shown {
            bar.set_prefix(so_far);
            bar.set_position(place);
        }
    }

    fn draw(&mut self) {
        let (left, so_far, place) = (self.left(), self.so_far(), self.place());
        match &mut self.shown {
            // Drawn here and never by a thread of its own: that would run beside what is measured.
            Shown::Bar { bar, drawn } => {
                *drawn = Instant::now();
                bar.set_prefix(so_far);
                bar.set_position(place);
                bar.set_message(match left {
                    Some(left) => format!("{} left  {}", in_words(left), self.name),
                    None => self.name.clone(),
                });
            }
            Shown::Lines { last } => {
                if let Some(line) = line(last, &so_far, left, &self.name) {
                    note(&line);
                }
            }
        }
    }

    /// How many are done, and which part of a single one.
    fn so_far(&self) -> String {
        let Self { called, runs, .. } = self;
        if self.part > 0.0 && *runs <= FEW {
            let percent = 100.0 * (self.done as f64 + self.part) / *runs as f64;
            return format!("{} of {runs} {called}, {percent:.0} %", self.done);
        }
        format!("{} of {runs} {called}", self.done)
    }

    /// Where the bar stands, in parts of a run.
    fn place(&self) -> u64 {
        ((self.done as f64 + self.part) * PARTS) as u64
    }

    /// All runs take the same time, so what is done tells what is left.
    fn left(&self) -> Option<Duration> {
        let done = self.done as f64 + self.part;
        let left = self.started.elapsed().as_secs_f64() / done * (self.runs as f64 - done).max(0.0);
        Duration::try_from_secs_f64(left).ok()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar { bar, .. } = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// The next line, if there is anything to tell and the last one is long enough ago.
fn line(last: &mut Instant, so_far: &str, left: Option<Duration>, name: &str) -> Option<String> {
    let left = left.filter(|_| last.elapsed() >= LINE_EVERY)?;
    *last = Instant::now();
    let left = in_words(left);
    Some(format!("{so_far}, {left} left: {name}"))
}

fn bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new((runs as f64 * PARTS) as u64);
    // The template is a constant and a test parses it; a plain bar would do as well.
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar
}

const TEMPLATE: &str = "[{bar:30}] {prefix}  {msg}";

/// How long something takes, for people: a second more than is known, and seconds only while they
/// count.
pub(crate) fn in_words(time: Duration) -> String {
    let s = time.as_secs().saturating_add(1);
    match s {
        ..120 => format!("{s} s"),
        120..7_200 => format!("{} min", s.div_ceil(60)),
        _ => {
            let minutes = s.div_ceil(60);
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        ProgressStyle::with_template(TEMPLATE).expect("indicatif takes it");
    }

    #[test]
    fn a_line_comes_now_and_then() {
        let left = Some(Duration::from_secs(8));
        let mut last = Instant::now() - LINE_EVERY;
        assert_eq!(
            line(&mut last, "0 of 4 runs", None, "fifo"),
            None,
            "nothing is known yet"
        );
        let first = line(&mut last, "2 of 4 runs", left, "fifo");
        assert_eq!(first.as_deref(), Some("2 of 4 runs, 9 s left: fifo"));
        assert_eq!(
            line(&mut last, "3 of 4 runs", left, "fifo"),
            None,
            "so soon after the first"
        );
    }

    #[test]
    fn the_time_left_follows_what_is_done() {
        let mut progress = Progress::new(4);
        assert!(progress.left().is_none(), "nothing is known yet");
        progress.started = Instant::now() - Duration::from_secs(8);
        progress.end();
        progress.end();
        assert_eq!(progress.left().expect("known").as_secs(), 8);
    }

    #[test]
    fn times_are_told_in_a_unit_that_fits() {
        let words = |s| in_words(Duration::from_secs(s));
        assert_eq!(words(0), "1 s");
        assert_eq!(words(118), "119 s");
        assert_eq!(words(119), "2 min");
        assert_eq!(words(9_280), "2 h 35 min");
    }
}
