//! Seats: who drives a pCPU, and how the right to do so goes from thread to thread.
//!
//! ```text
//!   vCPU thread A                                  vCPU thread B
//!   [drives pcpu 0] exit -> host: "B runs here"
//!      pin B to pcpu 0's CPU, give it the token ─► [drives pcpu 0] KVM_RUN ...
//!   [waits in its parker]
//! ```
//!
//! Each vCPU has a thread of its own, and so has each pCPU for when it idles. Exactly one of them
//! holds a pCPU's token; all others sleep. One thread could run many vCPUs in turn, but a vCPU that
//! is run by another thread than last time costs an RCU grace period each time (milliseconds) on
//! kernels before about 6.13.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use core::sync::atomic::{Ordering, Ordering::Relaxed};
use std::sync::OnceLock;
use std::thread::{self, Thread};

use pvqspin_real_time::affinity;
use rustix::thread::{Pid, gettid};

use crate::signal;

/// The thread that holds a pCPU's token is about to look at its flag, or will do so.
const HOST: u8 = 0;
/// It is in `KVM_RUN`, or on its way there.
const GUEST: u8 = 1;

/// A physical CPU, as others may know it.
///
/// Who pokes sets the flag and then reads the mode; a thread that goes to its guest sets the mode
/// and then reads the flag. One of the two sees the other, so no poke is lost.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Pcpu {
    index: usize,
    /// Its number for Linux.
    pub(crate) cpu: usize,
    mode: AtomicU8,
    poked: AtomicBool,
    /// The thread that drives it.
    driver: AtomicI32,
}

impl Pcpu {
    pub(crate) fn new(index: usize, cpu: usize) -> Self {
        Self {
            index,
            cpu,
            mode: AtomicU8::new(HOST),
            poked: AtomicBool::new(false),
            driver: AtomicI32::new(0),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Its number for the host.
    pub(crate) fn id(&self) -> pvqspin_host::Pcpu {
        pvqspin_host::Pcpu::new(self.index as u32)
    }

    /// The caller is about to enter its guest. False if it was poked, and must not.
    pub(crate) fn enter_guest(&self, thread: i32) -> bool {
        self.driver.store(thread, Ordering::SeqCst);
        self.mode.store(GUEST, Ordering::SeqCst);
        if self.take_poke() {
            self.leave_guest();
            return false;
        }
        true
    }

    /// The caller has left its guest.
    pub(crate) fn leave_guest(&self) {
        self.mode.store(HOST, Ordering::SeqCst);
    }

    /// Makes this pCPU ask what to run.
    pub(crate) fn poke(&self) {
        self.poked.store(true, Ordering::SeqCst);
        if self.mode.load(Ordering::SeqCst) == GUEST {
            signal::interrupt(self.driver.load(Ordering::SeqCst));
        }
    }

    /// Takes the poke, if there is one.
    pub(crate) fn take_poke(&self) -> bool {
        self.poked.load(Ordering::SeqCst) && self.poked.swap(false, Ordering::SeqCst)
    }
}

/// Where a thread waits until it may drive a pCPU.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Parker {
    /// The pCPU that it may drive, plus one; 0: none.
    token: AtomicU32,
    /// When that one's slice ends; `u64::MAX`: never.
    until: AtomicU64,
    /// The CPU that it was pinned to last.
    cpu: AtomicUsize,
    occupant: OnceLock<(Thread, Pid)>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self {
            token: AtomicU32::new(0),
            until: AtomicU64::new(u64::MAX),
            cpu: AtomicUsize::new(usize::MAX),
            occupant: OnceLock::new(),
        }
    }

    /// The calling thread sits here from now on. Before any thread gives it a token.
    pub(crate) fn take(&self) {
        // A second occupant would be a bug of the session, which starts one thread for each parker.
        let _ = self.occupant.set((thread::current(), gettid()));
    }

    /// Gives the token of a pCPU to the thread that parks here.
    pub(crate) fn give(&self, pcpu: &Pcpu, until: Option<u64>) {
        let Some((thread, pid)) = self.occupant.get() else {
            return;
        };
        // Relaxed: only who holds a token gives it on, so no two threads are here at once.
        if self.cpu.swap(pcpu.cpu, Relaxed) != pcpu.cpu {
            // It runs all the same if it cannot be moved: slower, and on another CPU.
            let _ = affinity::pin(Some(*pid), pcpu.cpu);
        }
        self.until.store(until.unwrap_or(u64::MAX), Relaxed);
        // Release pairs with the acquire in `wait`: what was done under this token is seen by the
        // next who holds it.
        self.token.store(pcpu.index as u32 + 1, Ordering::Release);
        thread.unpark();
    }

    /// Waits for a token. `None` if there will be none any more.
    pub(crate) fn wait(&self, stop: &AtomicBool) -> Option<(usize, Option<u64>)> {
        loop {
            let token = self.token.swap(0, Ordering::Acquire);
            if let Some(pcpu) = (token as usize).checked_sub(1) {
                let until = Some(self.until.load(Relaxed)).filter(|&until| until != u64::MAX);
                return Some((pcpu, until));
            }
            if stop.load(Relaxed) {
                return None;
            }
            thread::park();
        }
    }

    /// Wakes the thread that parks here, to look at the stop flag.
    pub(crate) fn wake(&self) {
        if let Some((thread, pid)) = self.occupant.get() {
            thread.unpark();
            signal::interrupt(pid.as_raw_nonzero().get());
        }
    }
}
