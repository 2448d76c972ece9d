//! How far a run is, and whether it goes on.
//!
//! A run of an hour of virtual time may take as long in real time. The event loop tells its caller
//! every some thousand events how far it is, and ends if the caller says so. What is simulated does
//! not depend on it.

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Underway {
    /// How much virtual time has passed, warm-up included.
    pub passed_ns: u64,
    /// Warm-up and measured time together. Draining comes after that.
    pub whole_ns: u64,
}

impl Underway {
    /// Which part of the run is done, from 0 to 1.
    #[must_use]
    pub fn part(self) -> f64 {
        if self.whole_ns == 0 {
            return 1.0;
        }
        (self.passed_ns as f64 / self.whole_ns as f64).min(1.0)
    }
}

/// Is told how far a run is, and says whether it goes on.
pub type GoesOn<'a> = dyn FnMut(Underway) -> bool + 'a;
