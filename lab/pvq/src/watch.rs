//! A comparison that is watched: the terminal is taken, drawn to, listened to, and given back.
//!
//! Drawing happens on the thread that conducts the run, which sleeps otherwise: no thread is added to
//! what is measured. No signal handler is installed either, since it might run on the stack of a
//! virtual CPU: keys are read from the terminal between two looks, and its size is asked for at each
//! drawing.

mod board;
mod screen;

use std::env;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use pvqspin_hypervisor::Snapshot;
use pvqspin_report::Record;
use pvqspin_timeline::strip::Charset;
use ratatui::DefaultTerminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::compare;
use crate::options::compare::CompareArgs;
use crate::output::failure::{Done, Failure, note};
use crate::output::terminal::{self, Characters};
use crate::runs::interrupt;
use crate::runs::plan::{Plan, PlannedRun};
use crate::runs::viewer::Viewer;
use crate::watch::board::Board;

/// How often the screen is drawn. Each time takes some 80 µs from a pCPU, if all CPUs are pCPUs.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What Ctrl-C sends when the terminal is read key by key.
const CTRL_C: u8 = 3;

/// Runs `pvq compare --watch`.
pub(crate) fn run(args: &CompareArgs) -> Done {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
    if dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        note("note: there is no terminal to draw on, so this prints progress instead");
        return compare::run(args);
    }
    compare::run_for(
        args,
        || interrupt::listen_with_screen(ratatui::restore),
        |plan| Ok(Box::new(Screen::new(plan)?)),
    )
}

/// The terminal while it is ours. Dropped, it is as it was.
struct Screen {
    terminal: DefaultTerminal,
    board: Board,
    charset: Charset,
    started: Instant,
}

impl Screen {
    fn new(plan: &Plan) -> Result<Self, Failure> {
        // It also sees to it that a panic gives the terminal back before it prints.
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            Failure::failed(format!("cannot draw on this terminal: {error}"))
        })?;
        Ok(Self {
            terminal,
            board: Board::new(plan),
            charset: terminal::charset(Characters::Auto),
            started: Instant::now(),
        })
    }

    /// Draws, and looks for keys. A terminal that has gone away is no reason to stop measuring.
    fn refresh(&mut self) {
        self.board.elapsed = self.started.elapsed();
        if stop_was_pressed() {
            interrupt::ask();
        }
        self.board.stopping = interrupt::asked();
        let board = &self.board;
        let charset = self.charset;
        let _ = self
            .terminal
            .draw(|frame| screen::draw(frame, board, charset));
    }
}

impl Viewer for Screen {
    fn begin(&mut self, name: &str, run: &PlannedRun) {
        self.board.begin(name, run);
        self.refresh();
    }

    fn looks_every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn show(&mut self, snapshot: &Snapshot) {
        self.board.show(snapshot, Instant::now());
        self.refresh();
    }

    fn end(&mut self, record: &Record) {
        self.board.end(record);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Whether a key that means "stop" was pressed since the last time.
fn stop_was_pressed() -> bool {
    let stdin = io::stdin();
    let mut pressed = false;
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        if !poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0) {
            return pressed;
        }
        let mut keys = [0; 64];
        match rustix::io::read(&stdin, &mut keys) {
            Ok(read) if read > 0 => {
                pressed |= keys[..read]
                    .iter()
                    .any(|key| matches!(key, b'q' | b'Q' | &CTRL_C));
            }
            // It has hung up, or is nothing to read from.
            _ => return pressed,
        }
    }
}
