//! Releasing: the native store, and what a paravirtual releaser does for the next in line.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Env, Point};
use crate::events::Event;
use crate::lock::Token;
use crate::policy::{Policy, Stalls};
use crate::queue::{ask, pass_over};
use crate::word::{HEAD, LOCKED, PENDING, head_bits, head_of};
use pvqspin_abi::{Cpu, mutate};

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
    // Release pairs with the acquire of whoever takes the lock next.
    word.fetch_and(
        !LOCKED,
        mutate!("weak_native_release", Ordering::Release, Ordering::Relaxed),
    );
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
    let early: Option<Cpu> = mutate!("kick_before_release", None, head_of(seen));
    if let Some(head) = early.filter(|_| passed.is_none() && seen & PENDING != 0) {
        E::kick(head);
    }
    let (held, free) = clear(word, passed, seen);
    // From here on the lock may be gone: somebody else can take it, and free its memory.
    E::checkpoint(Point::Released);

    // A queue always has a named head once its holder returned from `lock`.
    let Some(head) = head_of(free) else { return };
    let asleep = passed.is_none() && held & PENDING != 0 && early.is_none();
    // A head that was woken early may have been preempted since: then a kick alone does nothing.
    let awake_and_gone = E::run_sample(head).is_preempted();
    let kicked = kick::<E, P>(head, asleep);
    if kicked && !awake_and_gone {
        return;
    }
    let closed = || !P::RULES.passes_over() || pass_over::is_closed::<E, P>(head);
    if lends == Lends::Yes && closed() {
        lend_to::<E, P>(head);
        return;
    }
    // We keep our pCPU, or others may pass over it for now. But it may hold another lock: who waits
    // for that one must find it, and not us, at the end of the chain.
    let sample = E::run_sample(head);
    if sample.is_preempted() {
        ask::withdraw_edge_of::<E>(head, sample);
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

/// Looks after `first`, who may take the lock that was just released, and nobody else may.
#[cold]
pub(crate) fn attend_to<E: Env, P: Policy>(first: Cpu, asleep: bool) {
    E::checkpoint(Point::Released);
    // Until it has run, its edge names us, who may be queued behind it soon: those between would
    // follow it in a circle.
    E::redirect_wait_of(first, None);
    if !kick::<E, P>(first, asleep) {
        lend_to::<E, P>(first);
    }
}

/// Kicks the next in line if it sleeps, or if the policy always does.
fn kick<E: Env, P: Policy>(first: Cpu, asleep: bool) -> bool {
    let kicks = asleep || P::RULES.kicks_always && E::pressure();
    if kicks {
        E::nodes(E::cpu()).count(Event::Kick);
        E::kick(first);
    }
    kicks
}

/// Makes the lock free; returns the word before and after.
fn clear(word: &AtomicU32, passed: Option<Cpu>, seen: u32) -> (u32, u32) {
    let Some(head) = passed else {
        // One step that cannot fail: waiters join all the time. Release pairs with the acquire of
        // whoever takes the lock next.
        let held = word.fetch_and(
            !(LOCKED | PENDING),
            mutate!(
                "weak_contended_release",
                Ordering::Release,
                Ordering::Relaxed
            ),
        );
        return (held, held & !(LOCKED | PENDING));
    };
    put_head_back(word, head, seen)
}

/// Makes a lock free that was taken past its head: the holder stands in the head's field.
fn put_head_back(word: &AtomicU32, head: Cpu, mut seen: u32) -> (u32, u32) {
    loop {
        let named = mutate!("lose_passed_head", head_bits(head), 0);
        let free = seen & !(LOCKED | PENDING | HEAD) | named;
        // Release pairs with the acquire of whoever takes the lock next. Only the tail can change
        // under a holder, so the loop ends.
        match word.compare_exchange(seen, free, Ordering::Release, Ordering::Relaxed) {
            Ok(held) => return (held, free),
            Err(now) => seen = now,
        }
    }
}

/// A lock is free, and whoever has to run next is not running: nobody can use it before that one
/// runs. Lends it this pCPU.
pub(crate) fn lend_to<E: Env, P: Policy>(next: Cpu) {
    if !matches!(P::RULES.stalls, Stalls::Yield) {
        return;
    }
    let sample = E::run_sample(next);
    if sample.is_preempted() {
        let _ = ask::yield_to_head::<E>(next, sample);
    }
}
