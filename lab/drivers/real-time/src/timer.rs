//! The one-shot timer of a pCPU thread: sends it a signal when a slice is over.
//!
//! Setting a timer is a system call, and in a virtual machine an exit to *its* hypervisor: 8 µs
//! have been seen. So it is set as rarely as possible. A slice keeps its end across hypercalls
//! and lent pCPUs; and a timer that will go off before the end of a new slice is left alone: when
//! it does, the pCPU sees that it is too early, and sets it again. Policies that halt start a
//! slice every few microseconds, and would otherwise be measured by the cost of our timer.
//!
//! The end is a time of our own clock, but the kernel is told a distance: the two clocks drift
//! apart by some parts in a million, which matters over a minute and not over a slice.

use core::arch::asm;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use core::sync::atomic::{Ordering::Relaxed, compiler_fence};
use std::io;

use crate::clock;

/// The shortest time that the timer is set to. Zero would switch it off.
const SHORTEST_NS: u64 = 1_000;

/// A POSIX timer that signals one thread.
#[derive(Debug)]
pub struct Timer {
    /// The kernel's number for it, or -1.
    id: AtomicI32,
    /// The time that it is set to; 0: unknown, since a signal came. Written on the thread that it
    /// signals only, in its loop and in the handler.
    armed_until: AtomicU64,
}

impl Timer {
    /// No timer yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            id: AtomicI32::new(-1),
            armed_until: AtomicU64::new(0),
        }
    }

    /// Creates the timer; it will send this signal to the calling thread.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create(&self, signal: libc::c_int) -> io::Result<()> {
        // SAFETY: all-zero bytes are a valid `sigevent`.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        let mut id: libc::c_int = -1;
        // SAFETY: the kernel reads `event` and writes the id. The raw call, because the C
        // library hides the id, which `set` needs where the C library must not be called.
        let done = unsafe {
            libc::syscall(
                libc::SYS_timer_create,
                libc::CLOCK_MONOTONIC,
                &mut event as *mut libc::sigevent,
                &mut id as *mut libc::c_int,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        self.id.store(id, Relaxed);
        self.armed_until.store(0, Relaxed);
        Ok(())
    }

    /// Deletes the timer, if there is one.
    pub fn delete(&self) {
        let id = self.id.swap(-1, Relaxed);
        if id >= 0 {
            // SAFETY: no memory is passed; the id is one that `create` got.
            unsafe { libc::syscall(libc::SYS_timer_delete, id) };
        }
    }

    /// Makes sure that the signal comes at `until`, a time of [`clock::now_ns`], or before.
    pub fn arm(&self, until: u64) {
        let armed = self.armed_until.load(Relaxed);
        if armed != 0 && armed <= until {
            return;
        }
        // First the note, then the timer: a signal in between clears the note, and the next
        // entry sets the timer once more. The other way round it would stay unset.
        self.armed_until.store(until, Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.set(until.saturating_sub(clock::now_ns()));
    }

    /// Whether the timer is set, and no signal has come since.
    pub fn is_armed(&self) -> bool {
        self.armed_until.load(Relaxed) != 0
    }

    /// Handler side: the timer may have gone off, and has to be set again before a guest runs.
    pub fn note_signal(&self) {
        self.armed_until.store(0, Relaxed);
    }

    /// Handler side: sends the signal again after `ns`.
    pub fn retry_in(&self, ns: u64) {
        self.set(ns);
    }

    /// Sets the timer. Without the C library: this runs in the handler, in the middle of anything,
    /// and must leave `errno` alone.
    fn set(&self, ns: u64) {
        let ns = ns.max(SHORTEST_NS);
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: (ns / 1_000_000_000) as libc::time_t,
                tv_nsec: (ns % 1_000_000_000) as libc::c_long,
            },
        };
        let id = self.id.load(Relaxed);
        // SAFETY: timer_settime(id, 0, &value, NULL) reads `value` and changes no memory of ours.
        // With a stale id it fails and does nothing.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") libc::SYS_timer_settime => _,
                in("rdi") id as i64,
                in("rsi") 0,
                in("rdx") ptr::from_ref(&value),
                in("r10") 0,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack, readonly)
            );
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}
