//! The signal that takes a thread out of `KVM_RUN`.
//!
//! A signal that arrives just before the call would be lost on it. So the handler also sets
//! `immediate_exit` in the run structure of the thread's vCPU, which KVM looks at as it enters:
//! the next `KVM_RUN` comes back at once. The thread clears it *before* it looks whether there is
//! anything to do, see [`vcpu_thread`](crate::vcpu_thread).

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::cell::Cell;
use std::io;

use kvm_ioctls::VcpuFd;
use pvqspin_real_time::timer::Timer;
use vmm_sys_util::signal::register_signal_handler;

/// The signal. Its default action is to be ignored, so that a late one does no harm.
pub(crate) const SIGNAL: c_int = libc::SIGURG;

/// What the handler needs of the vCPU whose thread it interrupts.
#[derive(Clone, Copy)]
struct Interrupted {
    immediate_exit: *const AtomicU8,
    timer: *const Timer,
}

thread_local! {
    static INTERRUPTED: Cell<Interrupted> = const {
        Cell::new(Interrupted { immediate_exit: ptr::null(), timer: ptr::null() })
    };
}

extern "C" fn on_signal(_signal: c_int, _info: *mut libc::siginfo_t, _context: *mut c_void) {
    // A constant thread-local without a destructor is a plain access to the thread's memory.
    let interrupted = INTERRUPTED.get();
    // SAFETY: null, or the timer that this thread holds a borrow of: see `Registration`.
    if let Some(timer) = unsafe { interrupted.timer.as_ref() } {
        timer.note_signal();
    }
    // SAFETY: null, or a byte of the run structure, which is mapped while the vCPU exists.
    if let Some(immediate_exit) = unsafe { interrupted.immediate_exit.as_ref() } {
        immediate_exit.store(1, Relaxed);
    }
}

/// Installs the handler for the whole process.
pub(crate) fn install() -> io::Result<()> {
    register_signal_handler(SIGNAL, on_signal)
        .map_err(|error| io::Error::from_raw_os_error(error.errno()))
}

/// Sends the signal to a thread of this process.
pub(crate) fn interrupt(thread: i32) {
    // SAFETY: no memory is passed. A thread that has ended gets nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGNAL) };
}

/// The calling thread runs a vCPU, until this is dropped.
pub(crate) struct Registration<'a> {
    immediate_exit: *const AtomicU8,
    _timer: &'a Timer,
}

impl<'a> Registration<'a> {
    /// Lets the handler on this thread find its vCPU and its timer.
    pub(crate) fn new(vcpu: &mut VcpuFd, timer: &'a Timer) -> Self {
        let immediate_exit: *const u8 = &raw const vcpu.get_kvm_run().immediate_exit;
        // An `AtomicU8` is a `u8` in memory.
        let immediate_exit = immediate_exit.cast::<AtomicU8>();
        INTERRUPTED.set(Interrupted {
            immediate_exit,
            timer,
        });
        Self {
            immediate_exit,
            _timer: timer,
        }
    }

    /// From here on a signal ends the next `KVM_RUN`.
    pub(crate) fn rearm(&self) {
        // SAFETY: the byte in the run structure of this thread's vCPU, which is alive: it is
        // dropped after this.
        unsafe { &*self.immediate_exit }.store(0, Relaxed);
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        INTERRUPTED.set(Interrupted {
            immediate_exit: ptr::null(),
            timer: ptr::null(),
        });
    }
}
