//! A loop whose instructions can be counted from outside.

use std::hint::black_box;

use crate::uncontended::subject::Subject;

/// Pairs before anything is counted: symbols are bound and branches warm.
const WARM_UP: u32 = 3;

/// See [`Contender::count`](crate::uncontended::Contender::count).
pub(crate) fn count<S: Subject>(pairs: u32, mark: fn()) {
    let subject = S::new();
    let mut place = S::place();
    // Out of the compiler's sight, so that it does the same for each of them.
    for times in black_box([WARM_UP, pairs, 2 * pairs]) {
        repeat(&subject, &mut place, times);
        mark();
    }
}

/// Never inlined: both counts come from the same loop.
#[inline(never)]
fn repeat<S: Subject>(subject: &S, place: &mut S::Place, times: u32) {
    // Through a pointer that the compiler cannot see through: the loop is the same for all.
    let pair: fn(&S, &mut S::Place) = black_box(out_of_line::<S>);
    for _ in 0..times {
        pair(subject, place);
    }
}

/// Lock, section and unlock as one function, as they end up in a caller.
#[inline(never)]
fn out_of_line<S: Subject>(subject: &S, place: &mut S::Place) {
    subject.pair(place);
}
