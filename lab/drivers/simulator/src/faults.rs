//! Preemptions where they hurt: at chosen points, by chance, and anywhere at all.
//!
//! Two kinds. A [`Fault`](pvqspin_load::Fault) takes a vCPU off its pCPU at a point of the slow path. [`Jitter`]
//! disturbs any call of the environment: between two atomics of the lock there usually is one, so
//! it opens windows that no checkpoint names.

/// Disturbances at any call of the environment, drawn from the run's seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Jitter {
    /// One call in so many takes some time, up to `longest_ns`. 0: none.
    pub delay_one_in: u32,
    /// The longest such delay, in nanoseconds.
    pub longest_ns: u32,
    /// One call in so many costs the vCPU its pCPU. 0: none.
    pub preempt_one_in: u32,
    /// One call in so many is interrupted by a handler that takes a lock of its own, and may be
    /// interrupted in turn, four deep. 0: none. Only locks of ours are made for that.
    pub interrupt_one_in: u32,
    /// One timer in so many is late: the end of a slice is noticed up to a whole slice after it. As
    /// late as the next tick of a machine whose timer was lost. 0: none.
    pub late_timer_one_in: u32,
}

impl Jitter {
    /// Nothing is disturbed.
    pub const NONE: Self = Self {
        delay_one_in: 0,
        longest_ns: 0,
        preempt_one_in: 0,
        interrupt_one_in: 0,
        late_timer_one_in: 0,
    };

    pub(crate) fn is_none(&self) -> bool {
        *self
            == Self {
                longest_ns: self.longest_ns,
                ..Self::NONE
            }
    }
}
