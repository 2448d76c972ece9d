//! What other threads may know of a pCPU: its mode, its pokes, the thread that it is.
//!
//! The mode is there for pokes. A poking thread sets the flag and then reads the mode. A pCPU that
//! goes to a guest sets the mode and then reads the flag. One of the two sees the other, so a pCPU
//! is interrupted only where it would not read the flag by itself, and no poke is lost.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use pvqspin_real_time::timer::Timer;

use crate::pcpu_signal::Target;

/// What a pCPU thread is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Mode {
    /// On its own stack; it reads its flag before it enters a guest.
    Host = 0,
    /// In a guest, or on its way there.
    Guest = 1,
    /// Polls its flag.
    Idle = 2,
}

/// What other threads may know of a pCPU.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Pcpu {
    index: usize,
    mode: AtomicU8,
    poked: AtomicBool,
    pub(crate) target: Target,
    pub(crate) timer: Timer,
}

impl Pcpu {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            mode: AtomicU8::new(Mode::Host as u8),
            poked: AtomicBool::new(false),
            target: Target::default(),
            timer: Timer::new(),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::SeqCst) {
            0 => Mode::Host,
            1 => Mode::Guest,
            _ => Mode::Idle,
        }
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        // Sequentially consistent, as are the three accesses around the flag: see the module.
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Makes this pCPU look at its queue.
    pub(crate) fn poke(&self) {
        self.poked.store(true, Ordering::SeqCst);
        if self.mode() == Mode::Guest {
            self.target.interrupt();
        }
    }

    /// Whether it has been poked and has not looked since.
    pub(crate) fn is_poked(&self) -> bool {
        self.poked.load(Ordering::SeqCst)
    }

    /// Takes the poke, if there is one.
    pub(crate) fn take_poke(&self) -> bool {
        self.poked.load(Ordering::SeqCst) && self.poked.swap(false, Ordering::SeqCst)
    }
}
