//! One turn after the other, each a process of its own.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pvqspin_report::files::check_writable;

use crate::draw::Turn;
use crate::figures::Figures;
use crate::summary::Summary;
use crate::turn::Report;

/// How long a turn may take before it counts as hung. It lasts for seconds; a busy machine may make
/// minutes of that.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often a turn that runs is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often the summary is written.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// How often a line says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Whether the user has asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Soaks for so long. Exit code 1 if anything failed, 130 if it was stopped.
pub(crate) fn soak(seed: u64, time: Duration, out: &Path) -> Result<ExitCode> {
    check_writable(out)?;
    // No virtual CPU ever runs in this process, so a handler does no harm.
    ctrlc::set_handler(|| ASKED.store(true, Relaxed)).context("cannot listen to Ctrl-C")?;
    println!(
        "seed {seed}, for {} s; summary: {}",
        time.as_secs(),
        out.display()
    );
    let began = Instant::now();
    let (mut written, mut said) = (began, began);
    let mut summary = Summary::new(seed, time);
    for number in 0.. {
        if began.elapsed() >= time || ASKED.load(Relaxed) {
            break;
        }
        let turn = Turn::of_soak(seed, number);
        // A turn that was stopped says nothing.
        let Some(report) = in_a_process(turn)? else {
            break;
        };
        let failed = summary.add(turn, report, began.elapsed());
        if let Some(text) = &failed {
            println!("{text}");
        }
        if failed.is_some() || written.elapsed() >= WRITE_EVERY {
            summary.write(out)?;
            written = Instant::now();
        }
        if said.elapsed() >= SAY_EVERY {
            eprintln!("{} turns, {} s", number + 1, began.elapsed().as_secs());
            said = Instant::now();
        }
    }
    summary.write(out)?;
    print!("{}", summary.text());
    Ok(match (summary.failed(), ASKED.load(Relaxed)) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(130),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Does a turn in a process of its own. `None` if the user has asked to stop meanwhile.
fn in_a_process(turn: Turn) -> Result<Option<Report>> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(this)
        .args(["--turn", &turn.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a turn")?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let ended = wait(&mut child)?;
    let (out, err) = (text_of(out), text_of(err));
    if ASKED.load(Relaxed) {
        return Ok(None);
    }
    Ok(Some(judge(turn, ended, &out, &err)))
}

/// How a turn's process ended.
enum Ended {
    Well,
    Badly(String),
}

/// Waits for a turn, but not for ever.
fn wait(child: &mut Child) -> Result<Ended> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a turn")? {
            return Ok(if status.success() {
                Ended::Well
            } else {
                Ended::Badly(format!("the process ended with {status}"))
            });
        }
        let hung = began.elapsed() >= PATIENCE;
        if hung || ASKED.load(Relaxed) {
            // It may have ended by itself just now.
            let _ = child.kill();
            child.wait().context("cannot wait for a turn")?;
            let seconds = began.elapsed().as_secs();
            return Ok(Ended::Badly(format!("it was stopped after {seconds} s")));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads a pipe to its end, so that the writer never waits.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is what there is.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn text_of(reader: JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

/// What a turn came to, from how its process ended and what it wrote.
fn judge(turn: Turn, ended: Ended, out: &str, err: &str) -> Report {
    let failed = |failure| Report {
        what: turn.to_string(),
        figures: Figures::default(),
        failure: Some(failure),
        skipped: None,
    };
    match (ended, serde_json::from_str(out)) {
        (Ended::Well, Ok(report)) => report,
        (Ended::Well, Err(error)) => failed(format!("its report cannot be read: {error}")),
        (Ended::Badly(how), _) => failed(format!("{how}\n{err}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_a_failure_and_a_report_is_a_report() {
        let turn = Turn::of_soak(1, 0);
        let crash = judge(
            turn,
            Ended::Badly("signal 11".to_owned()),
            "",
            "it said why",
        );
        let failure = crash.failure.expect("it failed");
        assert!(failure.contains("signal 11") && failure.contains("it said why"));
        let report = Report {
            what: "fifo".to_owned(),
            figures: Figures::default(),
            failure: None,
            skipped: None,
        };
        let line = serde_json::to_string(&report).expect("it can be written");
        assert!(judge(turn, Ended::Well, &line, "").failure.is_none());
        assert!(judge(turn, Ended::Well, "{", "").failure.is_some());
    }
}
