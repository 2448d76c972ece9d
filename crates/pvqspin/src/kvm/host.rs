//! What was chosen at boot: how far the lock makes use of the host.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

use super::features::{Features, Transport};
use super::instructions::Call;

const TRANSPORT: u8 = 0b11;
const VMMCALL: u8 = 1 << 2;
const STEAL_TIME: u8 = 1 << 3;

/// The switch. It starts as [`Transport::Native`], so locks work before anything was detected, and
/// only slow paths look at it: without contention it costs nothing.
#[derive(Debug, Default)]
pub struct Host(AtomicU8);

impl Host {
    /// Native.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Makes a choice effective, as far as the host can keep up with it; returns what it is.
    ///
    /// At boot, before other CPUs start; or later, at an instant at which no CPU waits in a lock (a kernel
    /// that can stop all CPUs has one): a waiter that halted under one transport must not be left
    /// waiting for a kick under another.
    pub fn set(&self, features: Features, transport: Transport) -> Transport {
        let transport = transport.min(features.best());
        let call = if features.call == Call::Vmmcall {
            VMMCALL
        } else {
            0
        };
        let steal_time = if features.steal_time { STEAL_TIME } else { 0 };
        // Relaxed: other CPUs are started or let go afterwards, which orders it.
        self.0.store(transport as u8 | call | steal_time, Relaxed);
        transport
    }

    /// What was chosen.
    #[must_use]
    #[inline]
    pub fn transport(&self) -> Transport {
        match self.0.load(Relaxed) & TRANSPORT {
            0 => Transport::Native,
            1 => Transport::KickAndHalt,
            _ => Transport::DirectedYield,
        }
    }

    pub(super) fn call(&self) -> Call {
        if self.0.load(Relaxed) & VMMCALL != 0 {
            Call::Vmmcall
        } else {
            Call::Vmcall
        }
    }

    pub(super) fn has_steal_time(&self) -> bool {
        self.0.load(Relaxed) & STEAL_TIME != 0
    }
}
