//! What is said to people and programs. An output that takes no more, such as a closed pipe or one that is full, keeps nothing
//! else from going on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::counters::{Counters, Style};

/// For how long a message, or the last line, is waited for until the reader takes it.
const MOMENT: Duration = Duration::from_secs(1);
const STACK_BYTES: usize = 64 << 10;

/// Prints a message on standard error, after the program's name.
macro_rules! say {
    ($($what:tt)*) => {
        $crate::output::message(&format!("scx_pvq: {}\n", format_args!($($what)*)))
    };
}
pub(crate) use say;

/// Prints text on standard error, if that takes it.
pub(crate) fn message(text: &str) {
    // Where else could an error be told?
    static ERRORS: LazyLock<Option<Mutex<Printer>>> =
        LazyLock::new(|| Some(Mutex::new(Printer::start(io::stderr(), |_| true).ok()?)));
    match &*ERRORS {
        Some(printer) => {
            if let Ok(mut printer) = printer.lock()
                && printer.offer(text.to_owned())
            {
                printer.settle(MOMENT);
            }
        }
        None => {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

/// A thread that writes. It alone waits for a reader that does not read.
struct Printer {
    texts: SyncSender<String>,
    written: Receiver<()>,
    /// Texts that it was given, and of which it is not known that they are written.
    pending: usize,
}

impl Printer {
    /// `goes_on` is told errors, and whether it says that another text is worth a try.
    fn start(
        mut to: impl Write + Send + 'static,
        goes_on: impl Fn(io::Error) -> bool + Send + 'static,
    ) -> Result<Self> {
        let (texts, given) = mpsc::sync_channel::<String>(1);
        let (tell, written) = mpsc::channel();
        let thread = thread::Builder::new().name("scx_pvq/output".into());
        let write = move || {
            for text in given {
                let result = to.write_all(text.as_bytes()).and_then(|()| to.flush());
                if result.is_err_and(|error| !goes_on(error)) {
                    break;
                }
                // It fails if nothing waits for it any more, and the last text is still to be written.
                let _ = tell.send(());
            }
        };
        (thread.stack_size(STACK_BYTES).spawn(write)).context("cannot start a thread")?;
        Ok(Self {
            texts,
            written,
            pending: 0,
        })
    }

    /// Has it write that, if it has no other text to write. Whether it will.
    fn offer(&mut self, text: String) -> bool {
        let taken = self.texts.try_send(text).is_ok();
        self.pending += usize::from(taken);
        taken
    }

    /// Waits until all is written, and for so long at most between two texts. Whether it writes still.
    fn settle(&mut self, most: Duration) -> bool {
        while self.pending > 0 {
            match self.written.recv_timeout(most) {
                Ok(()) => self.pending -= 1,
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// Statistics, a line each time.
pub(crate) struct Lines {
    printer: Printer,
    every: Duration,
    style: Style,
    /// When the last one was, and what had been counted then.
    last: Instant,
    before: Counters,
}

impl Lines {
    /// From now on, when so much has been counted.
    pub(crate) fn new(
        to: impl Write + Send + 'static,
        every: Duration,
        style: Style,
        before: Counters,
    ) -> Result<Self> {
        let printer = Printer::start(to, |error| {
            say!("no more statistics: {error}");
            false
        })?;
        Ok(Self {
            printer,
            every,
            style,
            last: Instant::now(),
            before,
        })
    }

    /// Whether it is time for one.
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= self.every
    }

    /// Prints what came since the last one, unless the reader has not read that yet. An error is told, and is the end.
    pub(crate) fn print(&mut self, now: Instant, counters: Counters) {
        let passed = now.duration_since(self.last);
        let line = counters.since(&self.before).show(passed, self.style);
        if self.are_read() && self.printer.offer(format!("{line}\n")) {
            self.last = now;
            self.before = counters;
        }
    }

    /// Whether lines are printed still.
    pub(crate) fn are_read(&mut self) -> bool {
        self.printer.settle(Duration::ZERO)
    }

    /// It counts from 0 again.
    pub(crate) fn begin_anew(&mut self) {
        self.before = Counters::default();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.printer.settle(MOMENT);
    }
}

/// A file that is written at the end, and opened at the start: what keeps it from being written is known before anything
/// else is done.
pub(crate) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    /// Opens the file, and leaves what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = (options.write(true).create(true).truncate(false).open(path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Replaces what is in it.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let mut write = || {
            // A pipe or a terminal has no length.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(text.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lines(to: impl Write + Send + 'static) -> Lines {
        Lines::new(to, SECOND, Style::Json, Counters::default()).expect("a thread")
    }

    #[test]
    fn a_closed_pipe_ends_the_lines_and_nothing_else() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut lines = lines(writer);
        lines.print(Instant::now(), Counters::default());
        assert!(lines.printer.settle(60 * SECOND));
        drop(reader);
        assert!(lines.are_read());
        lines.print(Instant::now(), Counters::default());
        assert!(!lines.printer.settle(60 * SECOND));
        lines.print(Instant::now(), Counters::default());
        assert!(!lines.are_read());
    }

    /// How long each of these lines says that it counts for, in milliseconds.
    fn durations(lines: &str) -> Vec<u64> {
        let of = |line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            line["duration_ns"].as_u64().expect("a number") / 1_000_000
        };
        lines.lines().map(of).collect()
    }

    #[test]
    fn a_line_says_what_time_passed() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut lines = lines(writer);
        let began = lines.last;
        for (at, due) in [(999, false), (2300, true), (3200, false), (3300, true)] {
            let now = began + Duration::from_millis(at);
            assert_eq!(lines.are_due(now), due, "{at}");
            if due {
                lines.print(now, Counters::default());
                assert!(lines.printer.settle(60 * SECOND));
            }
        }
        drop(lines);
        let text = io::read_to_string(reader).expect("text");
        assert_eq!(durations(&text), [2300, 1000]);
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_nothing_from_going_on() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = lines(writer);
            // More than a pipe holds.
            let began = lines.last;
            for second in 1..1000 {
                lines.print(began + second * SECOND, Counters::default());
                // Now and then the printer has its turn.
                thread::sleep(Duration::from_micros(100));
            }
            let passed = lines.last.duration_since(began);
            drop(lines);
            tell.send(passed)
        });
        let passed = told.recv_timeout(60 * SECOND).expect("it goes on");
        assert!(passed < 999 * SECOND, "all of it fits into the pipe");
        // What is printed once it is read is whole, and nothing is missing between.
        let text = io::read_to_string(reader).expect("text");
        let printed: u64 = durations(&text).iter().sum();
        assert_eq!(u128::from(printed), passed.as_millis());
    }

    #[test]
    fn a_message_is_waited_for_only_a_moment() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut errors = Printer::start(writer, |_| true).expect("a thread");
        assert!(errors.offer("x".repeat(1 << 20)));
        assert!(errors.settle(Duration::from_millis(10)));
        drop(reader);
        // The error is no reason to try no more.
        assert!(errors.settle(60 * SECOND));
        assert!(errors.offer("another one".to_owned()));
        assert!(errors.settle(60 * SECOND));
    }

    #[test]
    fn a_report_that_cannot_be_written_is_refused_at_the_start() {
        let error = Report::open(Path::new("/nowhere/report.json"))
            .err()
            .expect("there is no such folder");
        assert_eq!(error.to_string(), "cannot write /nowhere/report.json");
    }

    #[test]
    fn a_report_replaces_an_older_one_at_the_end() {
        let path = std::env::temp_dir().join(format!("scx_pvq-report-{}", std::process::id()));
        std::fs::write(&path, "an older one").expect("a file");
        let mut report = Report::open(&path).expect("it can be written");
        let read = || std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(read(), "an older one");
        report.write("new\n").expect("it is written");
        assert_eq!(read(), "new\n");
        std::fs::remove_file(&path).expect("it is there");
    }
}
