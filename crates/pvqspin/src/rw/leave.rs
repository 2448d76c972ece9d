//! What a reader that leaves does for the first in line.

use crate::env::{Env, Point};
use crate::policy::Policy;
use crate::queue::look::{self, Seen};
use crate::queue::release;
use crate::rw::word::{ASLEEP, WRITER, first_of, readers_of};
use crate::word::Format;

/// A reader on which a sleeper depends for its kick says so, before it can be preempted between
/// its release and the kick. A CPU that watches over the sleeper finds us through its edge.
#[inline]
pub(crate) fn answer_for_the_kick<E: Env>(seen: u32) {
    if seen & (ASLEEP | WRITER) == ASLEEP
        && readers_of(seen) == 1
        && let Some(first) = first_of(seen)
    {
        E::redirect_wait_of(first, Some(E::cpu()));
    }
}

/// A reader has left, and a CPU waits. The last one looks after the first in line, by the
/// word or, if it has not come so far yet, by the queue. (Both are from before: advice.)
#[cold]
#[inline(never)]
pub(crate) fn after_a_reader<E: Env, P: Policy, W: Format>(seen: u32, queue: u32) {
    if let Some(first) = first_of(seen) {
        if readers_of(seen) == 1 {
            release::attend_to::<E, P>(first, seen & ASLEEP != 0);
        } else if E::waiting_for(first) == Some(E::cpu()) {
            // It waits for the others now.
            E::redirect_wait_of(first, None);
        }
    } else if let Some(next) = look::mover_of::<E, W>(queue) {
        E::checkpoint(Point::Released);
        release::lend_to::<E, P>(Seen::at::<E>(next));
    }
}
