//! What a vCPU has been charged.

use crate::fair;

/// One vCPU's account. Which parts are used depends on the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// Charged time over weight: all policies keep it, for mere hints are refused by it.
    pub(crate) fair: fair::Account,
    /// It was queued before: only its first start is paid in advance.
    pub(crate) started: bool,
    /// The turn that it drew last.
    pub(crate) turn: u64,
    /// Round robin: by how much its next slice is shorter, in nanoseconds.
    pub(crate) owed_ns: u64,
    /// Round robin: it lost its slice early, and stands where it stood.
    pub(crate) keeps_turn: bool,
    /// Credit: it woke without debt, and has not been picked since.
    pub(crate) boosted: bool,
    /// Co-scheduled: which gang it belongs to.
    pub(crate) gang: usize,
}

impl Account {
    pub(crate) const fn new(weight: u32, gang: usize) -> Self {
        Self {
            fair: fair::Account::new(weight),
            started: false,
            turn: 0,
            owed_ns: 0,
            keeps_turn: false,
            boosted: false,
            gang,
        }
    }
}
