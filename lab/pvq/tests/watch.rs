//! `pvq compare --watch` from its beginning to its end: through a pipe, and on a terminal, which it gives back.

mod binary;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use binary::line as pvq;
use pvqspin_real_time::skipped::skipped;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

/// Longer than anything here takes, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(folder: &Path, options: &str) -> Command {
    binary::command(folder, &options.split_whitespace().collect::<Vec<_>>())
}

/// Whether this machine can run the embedded hypervisor. It says so if not.
fn can_run(test: &str) -> bool {
    let doctor = pvq(Path::new("."), "doctor");
    let can = doctor.status.success();
    if !can {
        skipped("hypervisor", &test);
    }
    can
}

fn results(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("results were written");
    serde_json::from_str(&text).expect("it is JSON")
}

fn count(report: &Value) -> usize {
    report["results"].as_array().expect("a list").len()
}

#[test]
fn through_a_pipe_it_is_a_plain_comparison() {
    if !can_run("through_a_pipe_it_is_a_plain_comparison") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = "compare --watch --lock fifo,ticket --overcommit 1,2 --inside 1us --outside 2us --duration 20ms --repeats 1 --no-page --json w.json";
    let output = pvq(folder.path(), options);
    let [out, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{error}");
    assert!(error.contains("no terminal to draw on"), "{error}");
    assert!(out.contains("thr/bound"), "no table: {out}");
    assert!(
        !out.contains('\u{1b}') && !error.contains('\u{1b}'),
        "{out}{error}"
    );
    let report = results(&folder.path().join("w.json"));
    assert_eq!(report["complete"], true);
    assert_eq!(
        count(&report),
        report["planned"].as_u64().expect("a number") as usize
    );
}

/// A terminal of 100 by 30 characters without a viewer, and what is printed on it.
struct Pseudo {
    ours: File,
    theirs: OwnedFd,
    printed: Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
    so_far: String,
}

impl Pseudo {
    fn open() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("ours");
        let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other end");
        let size = Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).expect("it has a size");
        let ours = File::from(ours);
        let mut read = ours.try_clone().expect("another handle");
        let (sender, printed) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // It ends with an error when the other end is closed.
            while let Ok(length @ 1..) = read.read(&mut bytes) {
                let _ = sender.send(bytes[..length].to_vec());
            }
        });
        Self {
            ours,
            theirs,
            printed,
            reader,
            so_far: String::new(),
        }
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.theirs).expect("a terminal")
    }

    fn handle(&self) -> Stdio {
        self.theirs.try_clone().expect("another handle").into()
    }

    /// Waits until this has been printed.
    fn wait_for(&mut self, text: &str) {
        while !self.so_far.contains(text) {
            match self.printed.recv_timeout(PATIENCE) {
                Ok(bytes) => self.so_far += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("{text:?} never came: {:?}", self.so_far),
            }
        }
    }

    /// Everything that was printed.
    fn close(self) -> String {
        let Self {
            ours,
            theirs,
            printed,
            reader,
            mut so_far,
        } = self;
        drop(theirs);
        reader.join().expect("it only reads");
        drop(ours);
        printed
            .iter()
            .for_each(|bytes| so_far += &String::from_utf8_lossy(&bytes));
        so_far
    }
}

#[test]
fn q_keeps_what_is_finished_and_gives_the_terminal_back() {
    if !can_run("q_keeps_what_is_finished_and_gives_the_terminal_back") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = Pseudo::open();
    let before = terminal.modes();
    // Far more runs than there is time for before the key is seen.
    let options = "compare --watch --lock fifo --overcommit 1 --inside 1us --outside 2us --duration 50ms --repeats 500 \
                   --no-page --json kept.json";
    let mut child = command(folder.path(), options)
        .env("TERM", "xterm-256color")
        .stdin(terminal.handle())
        .stdout(terminal.handle())
        .stderr(terminal.handle())
        .spawn()
        .expect("the binary starts");
    terminal.wait_for("q: stop");
    let while_watched = terminal.modes();
    let by_lines = LocalModes::ICANON | LocalModes::ECHO;
    assert!(before.local_modes.contains(by_lines), "as terminals are");
    assert!(
        !while_watched.local_modes.intersects(by_lines),
        "key by key"
    );
    terminal.ours.write_all(b"q").expect("a key");
    // The screen is given back before the results are printed.
    terminal.wait_for("written");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    let after = terminal.modes();
    let modes = |all: &Termios| {
        (
            all.input_modes,
            all.output_modes,
            all.control_modes,
            all.local_modes,
        )
    };
    assert_eq!(modes(&after), modes(&before));

    let printed = terminal.close();
    let entered = printed.find("\u{1b}[?1049h").expect("a screen of its own");
    let left = printed.rfind("\u{1b}[?1049l").expect("which it leaves");
    assert!(entered < left, "{printed:?}");
    assert!(
        printed[left..].contains("\u{1b}[?25h"),
        "no cursor: {printed:?}"
    );
    assert!(printed[left..].contains("INCOMPLETE"), "{printed:?}");
    let report = results(&folder.path().join("kept.json"));
    assert_eq!(report["complete"], false);
    assert!(
        (1..500).contains(&count(&report)),
        "{} runs",
        count(&report)
    );
}
