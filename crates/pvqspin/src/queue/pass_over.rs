//! Passing over a preempted head: `Bounded`'s safety net on a host that takes hints only.
//!
//! A CPU that passes over the head puts its own number into the head field, with the pending bit,
//! in the same step that takes the lock, and the head back when it releases. So the head, and
//! every other CPU that looks, still knows who holds the lock.
//!
//! # Why no CPU starves, and none is lost
//!
//! Under [`Bounded`](crate::Bounded) a running waiter may take a *free* lock whose head is off its
//! pCPU, unless the head has waited for the bound. The head keeps its place and its age:
//!
//! - On a host that refuses, waiters behind the head sleep once their spin budget is gone: under a
//!   scheduler that counts run time, a sleeper is run soon after the kick, and a CPU that burns its
//!   share by spinning is not. The CPU that promotes a sleeper kicks it when it releases; until it
//!   runs it is passed over as if it were preempted.
//! - Who finds a waiter that was passed over? It never left the queue. It still is the head, named
//!   in the word, and takes the lock as soon as it runs and the lock is free.
//! - When? Once its age reaches the bound, no CPU may pass over it: every release and every waiter
//!   behind it yields to it, or kicks it if it sleeps, again and again. On a host that runs every
//!   runnable vCPU in the end, it runs.
//! - A host that takes hints may refuse to run it. Keeping the lock closed would then help no CPU
//!   for a whole slice, so the waiter that was refused takes it past the head once, and asks again
//!   the next time: once for each refusal, however old the head is. So the bound holds where the
//!   guest can ask the host, and the host runs the head then; elsewhere it is the host's to keep.
//!   `PassedOverRefused` counts how often it did not.
//! - The next head then has its own age, which is already as old as its wait.
//!
//! A waiter that leaves the middle of the queue in this way holds the lock while it unlinks
//! itself (`unlink.rs`). It looks at a few nodes at most.

use crate::atomic::Ordering;
use crate::env::{Env, Point};
use crate::events::Event;
use crate::policy::Policy;
use crate::queue::age;
use crate::queue::decide::{Action, Front, Role, Snapshot, decide};
use crate::queue::edge::Edge;
use crate::queue::fallback::seize;
use crate::queue::look::{cpu_of, is_off, node_of};
use crate::queue::waiter::Waiter;
use crate::token::Token;
use crate::word::{Format, Held, TAIL};
use pvqspin_abi::Cpu;

/// How many of the waiters before it a waiter checks before it overtakes them. Beyond that it
/// takes the rest for preempted too: a running one there would be behind a preempted one anyway.
const LOOK_AHEAD: usize = 4;

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Goes first without queueing, if the lock is free and the queue, from its head to its tail as
    /// far as O(1) looks can tell, is off its pCPUs.
    pub(super) fn pass_over_as_newcomer(&self, seen: u32) -> Option<Token> {
        let last = cpu_of::<W>(seen)?;
        if !is_off::<E>(last) {
            return None;
        }
        let mut snapshot = Snapshot {
            front: self.front(seen),
            all_ahead_off: true,
            ..Snapshot::NOTHING
        };
        let head_age_us = self.look_whether_closed(&mut snapshot);
        let Action::PassOver(_) = decide(&P::RULES, Role::Newcomer, &snapshot) else {
            return None;
        };
        self.take_past_head(seen, head_age_us)
    }

    /// Adds to the snapshot of a waiter in the queue whether it may pass over the head. Returns the
    /// age of the head, in µs, where it is looked at.
    pub(super) fn look_who_may_be_passed(&self, snapshot: &mut Snapshot) -> Option<u32> {
        let Front::Free(head) = snapshot.front else {
            return None;
        };
        if !snapshot.before_is_absent() {
            return None;
        }
        snapshot.all_ahead_off = self.all_ahead_off(head.cpu);
        self.look_whether_closed(snapshot)
    }

    /// Adds whether the lock is closed to all but its head. Returns the age of the head, in µs. (A head
    /// that runs takes the lock any moment, whatever its age.)
    fn look_whether_closed(&self, snapshot: &mut Snapshot) -> Option<u32> {
        let Front::Free(head) = snapshot.front else {
            return None;
        };
        if !head.is_off() {
            return None;
        }
        let age_us = age::age_of_head::<E>(head.cpu);
        snapshot.closed = age::closes::<P>(age_us);
        if snapshot.closed && snapshot.all_ahead_off {
            self.nodes.count(Event::Closed);
        }
        Some(age_us)
    }

    /// Takes the free lock past its head, from the queue.
    /// `age_us`: how long the head had waited, if it was passed within its bound.
    pub(super) fn overtake(
        &self,
        seen: u32,
        age_us: Option<u32>,
        edge: &Edge<E, P>,
    ) -> Option<Token> {
        // As at the head: a holder waits for no CPU, from the step on that makes it one.
        edge.withdraw();
        let token = self.take_past_head(seen, age_us);
        if token.is_some() {
            self.unlink();
        } else {
            // Not the edge from before: the CPU that it named may have left the queue meanwhile.
            edge.keep(
                self.cpu,
                cpu_of::<W>(self.node.pred.load(Ordering::Relaxed)),
            );
        }
        token
    }

    /// The lock is closed for a head that the host would not run when asked: keeping it closed
    /// would help no CPU. Takes it past the head, whatever its age.
    pub(super) fn overtake_refused(&self, refused: Cpu, edge: &Edge<E, P>) -> Option<Token> {
        // A call may return a slice later, under another head.
        let seen = self.word.load(Ordering::Relaxed);
        let still_closed = Held::in_paravirtual::<W>(seen) == Held::HandedTo(refused)
            && is_off::<E>(refused)
            && self.all_ahead_off(refused);
        if still_closed {
            self.overtake(seen, None, edge)
        } else {
            None
        }
    }

    /// Whether anything has changed since the word was `seen` and the CPU before us off its pCPU.
    pub(super) fn has_changed(&self, seen: u32, before: Cpu) -> bool {
        (self.word.load(Ordering::Relaxed) ^ seen) & !TAIL != 0 || !is_off::<E>(before)
    }

    /// Takes the free lock past its head, and counts it.
    fn take_past_head(&self, seen: u32, age_us: Option<u32>) -> Option<Token> {
        let token = seize::<P, W>(self.word, seen, self.cpu)?;
        E::checkpoint(Point::Taken);
        self.nodes.count(Event::PassedOver);
        match age_us {
            Some(age_us) => self.nodes.record_max(Event::LongestBypassUs, age_us),
            None => self.nodes.count(Event::PassedOverRefused),
        }
        Some(token)
    }

    /// Whether the waiters between the head and us are all off their pCPUs. Reads nodes that may
    /// change under it: the answer is only about who goes first among those who may.
    fn all_ahead_off(&self, head: Cpu) -> bool {
        let mut link = self.node.pred.load(Ordering::Relaxed);
        for _ in 0..LOOK_AHEAD {
            let Some(cpu) = cpu_of::<W>(link) else { break };
            if cpu == head {
                // The link of a head is from the time when it was none. The caller looks at it.
                break;
            }
            if !is_off::<E>(cpu) {
                return false;
            }
            let Some(node) = node_of::<E, W>(link) else {
                break;
            };
            link = node.pred.load(Ordering::Relaxed);
        }
        true
    }
}
