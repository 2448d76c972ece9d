//! Ctrl-C: the first asks to stop, the second stops at once. A run in real time is finished first, one
//! in virtual time is cut. A terminal that hangs up and a system that shuts down ask in the same way.
//!
//! Nothing is interrupted, in the sense of signals: SIGINT, SIGTERM and SIGHUP are blocked in every
//! thread, and one thread waits for them. A handler would be a hazard here, since it might run
//! on the stack of a virtual CPU and be moved to another thread in its middle.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{io, process, ptr, thread};

/// What the first Ctrl-C is answered where a run is finished first.
pub(crate) const AFTER_THIS_RUN: &str =
    "stopping after this run; once more to stop at once, without results";

/// The same where the run is cut.
const IN_THIS_RUN: &str = "stopping; what is finished is kept";

/// Whether the user has asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, if it was taken.
static RESTORE: OnceLock<fn()> = OnceLock::new();

/// The same as [`listen`], where the whole terminal is taken: nothing is printed, and whatever ends the
/// program gives the terminal back with `restore` first.
///
/// # Errors
///
/// As for [`listen`].
pub(crate) fn listen_with_screen(restore: fn()) -> io::Result<()> {
    let _ = RESTORE.set(restore);
    let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];
    listen_for(&signals, AFTER_THIS_RUN)
}

/// Asks to stop, as Ctrl-C does: a terminal that is read key by key sends no signal.
pub(crate) fn ask() {
    if ASKED.swap(true, Relaxed) {
        exit_at_once(130);
    }
}

/// Starts to listen. To be called before any other thread starts, for all inherit the mask.
///
/// # Errors
///
/// What the system says. Without it Ctrl-C just ends the program.
pub(crate) fn listen() -> io::Result<()> {
    listen_for(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP], AFTER_THIS_RUN)
}

/// The same as [`listen`], where runs are in virtual time and look for it themselves.
///
/// # Errors
///
/// As for [`listen`].
pub(crate) fn listen_within_runs() -> io::Result<()> {
    listen_for(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP], IN_THIS_RUN)
}

fn listen_for(signals: &[i32], answer: &'static str) -> io::Result<()> {
    let signals = blocked(signals)?;
    thread::Builder::new()
        .name("ctrl-c".to_owned())
        .spawn(move || wait_for(&signals, answer))
        .map(drop)
}

/// Whether the user has asked to stop.
pub(crate) fn asked() -> bool {
    // Relaxed: nothing else is published with it.
    ASKED.load(Relaxed)
}

fn blocked(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given, which is valid for writes; the
    // others read and write the initialised set, and a null pointer for the old mask is allowed.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => Ok(set.assume_init()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn wait_for(signals: &libc::sigset_t, answer: &str) {
    loop {
        let mut signal = 0;
        // SAFETY: both point to values that live through the call; the set is initialised.
        let error = unsafe { libc::sigwait(signals, &raw mut signal) };
        if error != 0 {
            return;
        }
        if signal == libc::SIGQUIT {
            exit_at_once(131);
        }
        if ASKED.load(Relaxed) || RESTORE.get().is_some() {
            ask();
            continue;
        }
        ask();
        // A terminal that has hung up takes no text, and that is no reason to stop at once.
        let text = format!("\n{answer}\n");
        let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
    }
}

fn exit_at_once(code: i32) -> ! {
    if let Some(restore) = RESTORE.get() {
        restore();
    }
    process::exit(code);
}
