//! Releasing: the native store, and what a paravirtual releaser does for the next in line.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Env, Point, Sleep};
use crate::events::Event;
use crate::policy::Policy;
use crate::queue::age;
use crate::queue::ask;
use crate::queue::decide::{Action, Role, Snapshot, decide};
use crate::queue::look::Seen;
use crate::token::Token;
use crate::word::{HEAD, LOCKED, PENDING, head_bits, head_of};
use pvqspin_abi::Cpu;

/// Clears the locked bit of a native word, which others may change at the same time.
///
/// A whole-word read-modify-write. Linux stores a byte here, and one would think that a store is
/// cheaper; taken again at once, the lock is then slower, because the processor cannot forward a
/// byte in its store buffer to a 4-byte load (`docs/decisions/0001-native-release.md` has both
/// figures). The byte store is there as the feature `byte_release`, for x86-64.
#[inline]
pub(crate) fn native(word: &AtomicU32) {
    #[cfg(all(feature = "byte_release", target_arch = "x86_64", not(loom), not(miri)))]
    // Rust's memory model has no racing accesses of different sizes, which is why this is
    // assembly: to the compiler the block is one opaque atomic `fetch_and`.
    //
    // SAFETY: the pointer comes from a live atomic, so the byte may be written. The lowest byte of
    // a native word holds the locked bit and nothing else (the head field stays empty there), and
    // only the holder clears that bit: the caller of `unlock` vouches for being it. x86 stores
    // release, and the block clobbers memory, so no access of the critical section moves past it.
    unsafe {
        core::arch::asm!(
            "mov byte ptr [{word}], 0",
            word = in(reg) word.as_ptr(),
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(all(feature = "byte_release", target_arch = "x86_64", not(loom), not(miri))))]
    // Release pairs with the acquire of the next acquisition.
    word.fetch_and(!LOCKED, Ordering::Release);
}

/// Releases a paravirtual lock that has a queue, then looks after its head.
#[cold]
#[inline(never)]
pub(crate) fn contended<E: Env, P: Policy>(
    word: &AtomicU32,
    token: Token,
    seen: u32,
    lends: Lends,
) {
    let passed = token.passed();
    let (held, free) = clear(word, passed, seen);
    // From here on the lock may be gone: another CPU can take it, and free its memory.
    E::checkpoint(Point::Released);

    // A queue always has a named head once its holder returned from `lock`.
    let Some(head) = head_of(free) else { return };
    let asleep = passed.is_none() && held & PENDING != 0;
    let head = Seen::at::<E>(head);
    kick::<E, P>(head, asleep);
    // Also if it was kicked: one that was woken early may have been preempted since, and then a kick
    // alone does nothing.
    if head.is_preempted() {
        let closed = !P::RULES.passes_over() || age::is_closed::<E, P>(head.cpu);
        lend_to_preempted::<E, P>(head, lends, closed);
    }
}

/// Whether a releaser may lend its pCPU to the next in line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lends {
    /// It has nothing better to do.
    Yes,
    /// It goes on with something that others may have to wait for.
    No,
}

/// Looks after `first`, the only CPU that may take the lock that was just released.
#[cold]
pub(crate) fn attend_to<E: Env, P: Policy>(first: Cpu, asleep: bool) {
    E::checkpoint(Point::Released);
    // Until it has run, its edge names us, and we may be queued behind it soon: the waiters between
    // would follow it in a circle.
    E::redirect_wait_of(first, None);
    let first = Seen::at::<E>(first);
    if !kick::<E, P>(first, asleep) {
        lend_to::<E, P>(first);
    }
}

/// Kicks the next in line if it sleeps, or if the policy always does.
fn kick<E: Env, P: Policy>(first: Seen, asleep: bool) -> bool {
    let seen = Snapshot {
        before: Some(first),
        wants_kick: asleep || P::RULES.kicks_always && E::pressure(),
        ..Snapshot::NOTHING
    };
    let Action::Kick(next) = decide(&P::RULES, Role::Releasing, &seen) else {
        return false;
    };
    E::nodes(E::cpu()).count(Event::Kick);
    Sleep::kick::<E>(next.cpu);
    true
}

/// A lock is free, and `next` alone may take it. Lends it this pCPU if it is preempted.
#[inline]
pub(crate) fn lend_to<E: Env, P: Policy>(next: Seen) {
    if next.is_preempted() {
        lend_to_preempted::<E, P>(next, Lends::Yes, true);
    }
}

/// Lends this pCPU to the next in line, if it may be lent. `closed`: the CPUs behind it may not take the
/// lock either. Apart from the rest, which then needs fewer registers.
#[cold]
#[inline(never)]
fn lend_to_preempted<E: Env, P: Policy>(next: Seen, lends: Lends, closed: bool) {
    let seen = Snapshot {
        before: Some(next),
        may_lend: lends == Lends::Yes && E::may_lend(),
        closed,
        host_refuses: P::RULES.passes_over() && E::nodes(E::cpu()).host_refuses(),
        ..Snapshot::NOTHING
    };
    match decide(&P::RULES, Role::Lending, &seen) {
        Action::YieldToHead(next) => {
            let _ = ask::yield_to_head::<E>(next);
        }
        Action::WithdrawEdge(next) => ask::withdraw_edge_of::<E>(next),
        _ => {}
    }
}

/// Makes the lock free; returns the word before and after.
fn clear(word: &AtomicU32, passed: Option<Cpu>, seen: u32) -> (u32, u32) {
    let Some(head) = passed else {
        // One step that cannot fail: waiters join all the time. Release pairs with the acquire of
        // the next acquisition.
        let held = word.fetch_and(!(LOCKED | PENDING), Ordering::Release);
        return (held, held & !(LOCKED | PENDING));
    };
    put_head_back(word, head, seen)
}

/// Makes a lock free that was taken past its head: the holder stands in the head's field.
fn put_head_back(word: &AtomicU32, head: Cpu, mut seen: u32) -> (u32, u32) {
    loop {
        let named = head_bits(head);
        let free = seen & !(LOCKED | PENDING | HEAD) | named;
        // Release pairs with the acquire of the next acquisition. Only the tail can change
        // under a holder, so the loop ends.
        match word.compare_exchange(seen, free, Ordering::Release, Ordering::Relaxed) {
            Ok(held) => return (held, free),
            Err(now) => seen = now,
        }
    }
}
