//! The signal that interrupts guests, and the threads that it is sent to.

use core::ffi::c_int;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The signal. Its default action is to be ignored, so that a late one does no harm, several
/// pending ones become one, and hardly a program uses it (Go's runtime preempts with it for the
/// same reasons).
pub(crate) const SIGNAL: c_int = libc::SIGURG;

/// A thread of this process that signals can be sent to.
#[derive(Debug, Default)]
pub(crate) struct Target(AtomicI32);

impl Target {
    /// The calling thread.
    pub(crate) fn set_to_caller(&self) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        self.0.store(tid, Relaxed);
    }

    /// No thread any more.
    pub(crate) fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    /// Sends it the signal, if there is one.
    pub(crate) fn interrupt(&self) {
        let tid = self.0.load(Relaxed);
        if tid == 0 {
            return;
        }
        // SAFETY: no memory is passed. A thread that has ended just now makes the call fail.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, SIGNAL) };
    }
}

/// Blocks or unblocks our signal for the calling thread.
pub(crate) fn set_blocked(blocked: bool) {
    let how = if blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: plain calls on a structure of our own. They cannot fail with a valid `how`.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, SIGNAL);
        libc::pthread_sigmask(how, &set, ptr::null_mut());
    }
}
