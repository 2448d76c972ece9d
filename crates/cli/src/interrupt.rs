//! Ctrl-C: the first asks to stop after the run at hand, the second stops at once.
//!
//! Nothing is interrupted, in the sense of signals: SIGINT and SIGTERM are blocked in every
//! thread, and one thread waits for them. A handler would be a hazard here, since it might run
//! on the stack of a virtual CPU and be moved to another thread in its middle.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{io, process, ptr, thread};

/// Whether the user has asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen. To be called before any other thread starts, for all inherit the mask.
///
/// # Errors
///
/// What the system says. Without it Ctrl-C just ends the program.
pub(crate) fn listen() -> io::Result<()> {
    let signals = blocked_signals()?;
    thread::Builder::new()
        .name("ctrl-c".to_owned())
        .spawn(move || wait_for(&signals))
        .map(drop)
}

/// Whether the user has asked to stop.
pub(crate) fn asked() -> bool {
    // Relaxed: nothing else is published with it.
    ASKED.load(Relaxed)
}

fn blocked_signals() -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given, which is valid for writes; the
    // others read and write the initialised set, and a null pointer for the old mask is allowed.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        match libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => Ok(set.assume_init()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn wait_for(signals: &libc::sigset_t) {
    loop {
        let mut signal = 0;
        // SAFETY: both point to values that live through the call; the set is initialised.
        let error = unsafe { libc::sigwait(signals, &raw mut signal) };
        if error != 0 {
            return;
        }
        if ASKED.swap(true, Relaxed) {
            process::exit(130);
        }
        eprintln!("\nstopping after this run; once more to stop at once, without results");
    }
}
