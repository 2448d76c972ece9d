//! At the head of the queue: waiting for the word, taking it, and making the next one the head.
//!
//! ```text
//!   spin on the word ── free ──► withdraw the edge ──► take ──► promote the next ──► held
//!      │   ▲
//!      │   └── yield to the holder, if it is preempted; HALT, if it runs and holds are long
//!      └──────┘
//! ```

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::nodes::state;
use crate::policy::Policy;
use crate::policy::Stalls;
use crate::queue::ask;
use crate::queue::ask::should_back_off;
use crate::queue::holds;
use crate::queue::join::{Waiter, cpu_of, is_stuck, node_of};
use crate::word::{Format, HEAD, LOCKED, PENDING, TAIL, head_bits, head_of};
use pvqspin_abi::{Cpu, mutate};

/// How long the holder waits for its successor to link itself before it asks the host, in ns. The
/// link follows the tail exchange within a few instructions, unless a preemption falls between.
const LINK_PATIENCE_NS: u32 = 1_000;

/// How many edges to follow for a host that follows none. Of a longer chain the one that was
/// reached is named; as soon as it runs, it asks for the one that it waits for itself.
const LONGEST_WALK: usize = 64;

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// At the head of the queue: waits until the word is free, and takes it.
    pub(crate) fn wait_for_word(&self, promoter: Option<Cpu>) {
        // In strict order the holder is known and stays the same. Who passes over us says so.
        let mut holder = promoter;
        // Whether this wait saw a hold that ended in time; a lock that is free at the first look
        // says nothing about how long it was held.
        let mut saw_short_hold = false;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if !Self::is_blocked(seen) {
                // Withdrawn before the step that makes us the holder: one that is preempted with
                // its old edge would send the host on to whoever held the lock before.
                mutate!("keep_edge", Self::set_edge(None), None);
                if self.take(seen) {
                    break;
                }
                continue;
            }
            if P::RULES.passes_over() || seen & PENDING != 0 {
                holder = self.holder_in(seen).or(promoter);
            }
            self.keep_edge(holder);
            // Newcomers change the tail, which is none of the head's business.
            let moved = || (self.word.load(Ordering::Relaxed) ^ seen) & !TAIL != 0;
            let stalled = || Self::YIELDS && holder.is_some_and(is_stuck::<E>);
            let patience = self.patience();
            E::spin_until(|| moved() || stalled(), patience);
            if moved() {
                // Also if a budget ran out under it. To count only those that ended in time finds
                // holds of 80 µs long too soon, and costs a quarter of the throughput beside a
                // neighbour.
                saw_short_hold = true;
                continue;
            }
            match P::RULES.stalls {
                Stalls::Spin => {}
                Stalls::Halt => self.halt_at_head(seen, holder),
                Stalls::Yield => self.yield_at_head(seen, holder, patience, &moved),
            }
        }
        if Self::YIELDS && saw_short_hold {
            self.nodes.observe_hold(false);
        }
    }

    /// Whether the head has to wait. A native head lets the pending waiter go first.
    fn is_blocked(word: u32) -> bool {
        if Self::PARAVIRTUAL {
            word & LOCKED != 0
        } else {
            word & (LOCKED | PENDING) != 0
        }
    }

    /// Who passed over this head, and left its own name in the head field. Without one, whoever
    /// promoted the head holds the lock.
    fn holder_in(&self, seen: u32) -> Option<Cpu> {
        head_of(seen).filter(|&cpu| seen & PENDING != 0 && cpu != self.cpu)
    }

    /// The holder is preempted, or holds for long.
    fn yield_at_head(
        &self,
        seen: u32,
        holder: Option<Cpu>,
        patience: Budget,
        moved: &impl Fn() -> bool,
    ) {
        let Some(holder) = holder else { return };
        // Whoever woke us under a held lock wanted us to stand ready at the release.
        if ask::hurry::<E, P>(self.nodes, holder, patience, moved) && !self.slept.get() {
            holds::sleep_through::<E, P>(self.nodes, || self.halt_at_head(seen, Some(holder)));
        }
    }

    /// Asks for a kick in the word, and halts until it comes.
    fn halt_at_head(&self, mut seen: u32, holder: Option<Cpu>) {
        if !self.may_halt() {
            return;
        }
        // One location decides again: either the wish is in the word before the release, and the
        // releaser sees it; or the lock was released first, and the exchange fails.
        while seen & PENDING == 0 {
            match self.word.compare_exchange(
                seen,
                seen | PENDING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) if mutate!("drop_recheck_at_head", !Self::is_blocked(now), false) => {
                    return;
                }
                Err(now) => seen = now,
            }
        }
        if head_of(seen) != Some(self.cpu) {
            // The bit belongs to somebody who passed over us, and will not kick: stay awake.
            return;
        }
        self.nodes.count(Event::HaltAtHead);
        E::checkpoint(Point::Halting);
        E::halt(holder.map(ask::hint_for::<E>));
        self.slept.set(true);
        if Self::is_blocked(self.word.load(Ordering::Relaxed)) {
            self.nodes.count(Event::SpuriousWake);
        }
    }

    /// Takes the free word and promotes the next in line. False if the word changed meanwhile.
    fn take(&self, seen: u32) -> bool {
        let last = seen & TAIL == self.tail;
        let next = self.node.next.load(Ordering::Acquire);
        let named = if P::RULES.passes_over() {
            // The link may be older than the word: whoever it names may have overtaken us since,
            // and the word must never name a stranger. `promote_next` looks again.
            0
        } else {
            cpu_of::<W>(next).map_or(0, head_bits)
        };
        let held = match (Self::PARAVIRTUAL, last) {
            (true, true) => self.alone(),
            (true, false) => seen & TAIL | named | LOCKED,
            (false, true) => LOCKED,
            (false, false) => seen | LOCKED,
        };
        // Acquire pairs with the release of whoever held the lock before.
        if self
            .word
            .compare_exchange(
                seen,
                held,
                mutate!("weak_take", Ordering::Acquire, Ordering::Relaxed),
                Ordering::Relaxed,
            )
            .is_err()
        {
            return false;
        }
        E::checkpoint(Point::Taken);
        if !last {
            self.promote_next(named);
        }
        true
    }

    /// Makes the successor the head. `named` is what the word's head field says already.
    fn promote_next(&self, named: u32) {
        let next = self.linked_successor();
        let bits = cpu_of::<W>(next).map_or(0, head_bits);
        if Self::PARAVIRTUAL && mutate!("unnamed_head", bits != named, false) {
            // It had not linked itself when we took the lock, or left since. Two steps, both
            // ours: under a holder nobody else writes the head field.
            if named != 0 {
                self.word.fetch_and(!HEAD, Ordering::Relaxed);
            }
            self.word.fetch_or(bits, Ordering::Relaxed);
        }
        let Some(node) = node_of::<E, W>(next) else {
            return;
        };
        node.built.is_known();
        // Release pairs with the acquire in `wait_in_queue`.
        let was = node.state.swap(state::HEAD, Ordering::Release);
        if mutate!("forget_sleeper", was == state::HALTED, false) {
            self.wake_in_time(next);
        }
    }

    /// The new head sleeps. While others want its pCPU it sleeps on through our critical section,
    /// and is woken when we release. Where a pCPU is free it wakes up at once: then it stands
    /// ready when we release, and its wake-up has cost the lock nothing.
    fn wake_in_time(&self, next: u32) {
        match cpu_of::<W>(next) {
            Some(head) if Self::YIELDS && !E::pressure() => {
                self.nodes.count(Event::Kick);
                E::kick(head);
            }
            _ => {
                self.word.fetch_or(PENDING, Ordering::Relaxed);
            }
        }
    }

    /// Waits until whoever queued behind us has linked itself.
    ///
    /// If it was preempted between its tail exchange and its link, only the tail is known. The
    /// chain of waits leads from there to the one that is stuck, and the host follows it.
    pub(crate) fn linked_successor(&self) -> u32 {
        // Acquire pairs with the release in `link`: the successor's node is initialised.
        let next = || self.node.next.load(Ordering::Acquire);
        let linked = || next() != 0;
        loop {
            if E::spin_until(linked, Budget::ns(LINK_PATIENCE_NS)) {
                return next();
            }
            if !Self::PARAVIRTUAL || !E::pressure() {
                continue;
            }
            let tail = self.word.load(Ordering::Relaxed) & TAIL;
            let Some(last) = cpu_of::<W>(tail) else {
                continue;
            };
            let stuck = stuck_behind::<E>(self.cpu, last);
            let sample = E::run_sample(stuck);
            let status = ask::yield_to::<E>(Event::YieldToUnlinked, stuck, sample);
            if should_back_off(status) {
                E::spin_until(linked, Budget::ns(P::RULES.retry_ns));
            }
        }
    }
}

/// From the tail, along the edges, to the one that waits for `me`, or for nobody yet. A host that
/// keeps the contract would find it by itself; one that takes hints only would look at the tail.
fn stuck_behind<E: Env>(me: Cpu, tail: Cpu) -> Cpu {
    let mut at = tail;
    for _ in 0..LONGEST_WALK {
        match E::waiting_for(at) {
            Some(next) if next != me => at = next,
            _ => break,
        }
    }
    at
}
