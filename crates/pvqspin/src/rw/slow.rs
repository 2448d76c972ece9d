//! Taking a reader-writer lock that could not be had at once: the queue first, then the front of it.

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point};
use crate::policy::Policy;
use crate::queue::at_head::look_at_holder;
use crate::queue::decide::{Action, Role, decide};
use crate::queue::edge::Edge;
use crate::queue::{ask, look};
use crate::rw::front::{Front, Wants};
use crate::rw::lock::QRwLock;
use crate::rw::token::{ReadToken, UpgradableToken, WriteToken};
use crate::rw::word::{READERS, writer_of};
use crate::token::Token;
use crate::word::Format;

/// Takes a lock to read that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn read<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> ReadToken {
    let turn = take_turn(lock);
    let token = Front::wait_in(lock, Wants::Read, || {
        // No CPU is first in line any more.
        let entered = |word| (word & READERS) + 1;
        lock.enter(|word| !Wants::Read.is_blocked(word), entered)
    });
    // SAFETY: this CPU took the queue above. The next CPU can read beside us, or has to wait for
    // us: none needs our pCPU more than we do.
    unsafe { lock.queue.unlock_without_lending(turn) };
    token
}

/// Takes a lock to write that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn write<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> WriteToken {
    let turn = take_turn(lock);
    let alone = QRwLock::<E, P, W>::alone();
    Front::wait_in(lock, Wants::Write, || {
        let seen = lock.word.load(Ordering::Relaxed);
        // Acquire pairs with the releases of the writer and of all readers before.
        let take = |seen| {
            lock.word
                .compare_exchange(seen, alone, Ordering::Acquire, Ordering::Relaxed)
                .ok()
        };
        Some(seen)
            .filter(|&seen| !Wants::Write.is_blocked(seen))
            .and_then(take)
    });
    WriteToken::new(alone, Some(turn))
}

/// Takes a lock to read, and keeps the turn.
#[cold]
#[inline(never)]
pub(crate) fn upgradable<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> UpgradableToken {
    let turn = take_turn(lock);
    let read = Front::wait_in(lock, Wants::Read, || {
        let entered = |word| (word & READERS) + 1;
        lock.enter(|word| !Wants::Read.is_blocked(word), entered)
    });
    UpgradableToken::new(read, turn)
}

/// Waits, as the reader that has the turn, until it is the only reader, and makes it the writer.
#[cold]
#[inline(never)]
pub(crate) fn upgrade<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) {
    Front::wait_in(lock, Wants::Upgrade, || {
        lock.take_from_one_reader().then_some(())
    });
}

/// Queues until it is this CPU's turn. It passes [`Point::Joined`] once, here or in the queue.
fn take_turn<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> Token {
    if let Some(turn) = lock.queue.try_lock() {
        E::checkpoint(Point::Joined);
        return turn;
    }
    lock.queue.lock()
}

/// Waits until no CPU writes, without a turn.
#[cold]
pub(crate) fn wait_unqueued<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) {
    let seen = lock.word.load(Ordering::Relaxed);
    E::checkpoint(Point::Fallback);
    let open = || !Wants::Read.is_blocked(lock.word.load(Ordering::Relaxed));
    let Some(writer) = writer_of(seen).filter(|_| P::RULES.paravirtual()) else {
        E::spin_until(open, Budget::FOREVER);
        return;
    };
    let _edge = Edge::<E, P>::to(Some(writer));
    let stalled = || look::is_stuck::<E>(writer);
    E::spin_until(|| open() || stalled(), Budget::FOREVER);
    if !open()
        && E::may_lend()
        // No CPU would kick us: we do not halt, and the snapshot says so.
        && let Action::Yield(writer, why) =
            decide(&P::RULES, Role::First, &look_at_holder::<E>(Some(writer)))
    {
        ask::back_off::<E, P>(ask::yield_to::<E>(why, writer), open);
    }
}
