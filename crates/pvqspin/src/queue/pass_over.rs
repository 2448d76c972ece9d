//! Taking a lock past its queue: the fallback of a CPU without nodes, and `Bounded`'s safety net.
//!
//! Whoever passes over the head puts its own number into the head field, with the pending bit, in
//! the same step that takes the lock, and the head back when it releases. So the head, and anybody
//! else who looks, still knows who holds the lock.
//!
//! # Why nobody starves, and nobody is lost
//!
//! Under [`Bounded`](crate::Bounded) a running waiter may take a *free* lock whose head is off its
//! pCPU, unless the head has waited for the bound. The head keeps its place and its age:
//!
//! - On a host that refuses, waiters behind the head sleep once their spin budget is gone: under a
//!   scheduler that counts run time, who sleeps is run soon after the kick, and who burns its share
//!   by spinning is not. Whoever promotes a sleeper kicks it when it releases; until it runs it is
//!   passed over as if it were preempted.
//! - Who finds a waiter that was passed over? It never left the queue. It still is the head, named
//!   in the word, and takes the lock as soon as it runs and the lock is free.
//! - When? Once its age reaches the bound, nobody may pass over it: every release yields to it, and
//!   so does every waiter behind it, again and again. On a host that runs every runnable vCPU in
//!   the end, it runs.
//! - A host that takes hints may refuse to run it. Keeping the lock closed would then help nobody
//!   for a whole slice, so whoever was refused takes it past the head once, and asks again the next
//!   time. The bound is the guest's to keep only where the host lets it.
//! - The next head then has its own age, which is already as old as its wait.
//!
//! A waiter that leaves the middle of the queue in this way holds the lock while it unlinks
//! itself, and only holders edit links, so edits never race. It looks at a few nodes at most.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::lock::Token;
use crate::nodes::CpuNodes;
use crate::policy::Policy;
use crate::queue::ask::{self, should_back_off};
use crate::queue::join::{Waiter, cpu_of, is_off, node_of};
use crate::word::{Format, HEAD, LOCKED, PENDING, TAIL, head_bits, head_of};
use pvqspin_abi::{Cpu, RunState, Status, mutate};

/// How many of the waiters before it a waiter checks before it overtakes them. Beyond that it
/// takes the rest for preempted too: a running one there would be behind a preempted one anyway.
const LOOK_AHEAD: usize = 4;

/// Takes a lock without a node: this CPU waits in as many slow paths as it has nodes.
///
/// It must not wait behind the contexts that it interrupted, so it does not queue: it takes the
/// lock whenever it is free, past whoever waits.
pub(crate) fn lock_without_node<E: Env, P: Policy, W: Format>(
    word: &AtomicU32,
    cpu: Cpu,
    nodes: &CpuNodes,
) -> Token {
    nodes.count(Event::NodeExhausted);
    E::checkpoint(Point::Joined);
    loop {
        E::checkpoint(Point::Fallback);
        E::spin_until(
            || word.load(Ordering::Relaxed) & LOCKED == 0,
            Budget::FOREVER,
        );
        let seen = word.load(Ordering::Relaxed);
        if seen & LOCKED == 0
            && let Some(token) = seize::<P, W>(word, seen, cpu)
        {
            E::checkpoint(Point::Taken);
            return token;
        }
    }
}

/// Takes the free lock, past its head if it has one. `None` if the word is not `seen` any more.
fn seize<P: Policy, W: Format>(word: &AtomicU32, seen: u32, cpu: Cpu) -> Option<Token> {
    let (held, token) = if !P::RULES.paravirtual() {
        (seen | LOCKED, Token::new(LOCKED))
    } else {
        let alone = W::sole_holder(cpu) | LOCKED;
        match head_of(seen) {
            None if seen == 0 => (alone, Token::new(alone)),
            // A queue without a named head has a holder. The caller saw none: look again.
            None => return None,
            Some(head) => (
                seen & TAIL | head_bits(cpu) | PENDING | LOCKED,
                Token::passing(alone, head),
            ),
        }
    };
    // Acquire pairs with the release of whoever held the lock before.
    word.compare_exchange(
        seen,
        held,
        mutate!("weak_seize", Ordering::Acquire, Ordering::Relaxed),
        Ordering::Relaxed,
    )
    .ok()
    .map(|_| token)
}

/// Notes when the oldest wait of this CPU began.
pub(crate) fn note_wait_begins<E: Env, P: Policy>(nodes: &CpuNodes, context: usize) {
    if context != 0 {
        return;
    }
    let now = E::now_ns();
    // Who looks into a hanging kernel wants to know it, too. Without a clock (the constant 0) all
    // of this compiles to nothing.
    if P::RULES.passes_over() || now != 0 {
        nodes.set_waiting_since_us(Some(in_us(now)));
    }
}

/// The oldest wait of this CPU is over. (Others than `Bounded` can do without: the stamp counts
/// only while a node is in use.)
pub(crate) fn note_wait_ends<P: Policy>(nodes: &CpuNodes, context: usize) {
    if P::RULES.passes_over() && context == 0 {
        nodes.set_waiting_since_us(None);
    }
}

fn in_us(ns: u64) -> u32 {
    // Wraps after 71 minutes; ages are differences.
    (ns / 1_000) as u32
}

/// How long the oldest wait of `cpu` has lasted, in µs, if it noted when it began.
pub(crate) fn age_us<E: Env>(cpu: Cpu) -> Option<u32> {
    let since = E::nodes(cpu).waiting_since_us()?;
    // The clocks of two CPUs may differ a little: what lies in the future is just beginning.
    Some((in_us(E::now_ns()).wrapping_sub(since) as i32).max(0) as u32)
}

/// Whether `head` has waited so long that nobody may pass over it any more.
pub(crate) fn is_closed<E: Env, P: Policy>(head: Cpu) -> bool {
    // A head waits, so it noted when; that we cannot see it yet must not make it young. (An
    // interrupt that waits between the claim of the outer node and the note is seen so, too.)
    age_us::<E>(head)
        .is_none_or(|age| age >= mutate!("ignore_age", P::RULES.pass_over_us, u32::MAX))
}

/// A newcomer finds the lock free and the queue, from its head to its tail as far as O(1) looks
/// can tell, off its pCPUs: it goes first without queueing.
pub(crate) fn newcomer<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    seen: u32,
) -> Option<Token> {
    let last = cpu_of::<W>(seen)?;
    if !is_off::<E>(last) {
        return None;
    }
    let age = age_of_passable_head(waiter, seen)?;
    let token = take_past_head(waiter, seen)?;
    waiter.nodes.record_max(Event::LongestBypassUs, age);
    Some(token)
}

/// The waiter before us is preempted: go first if we may, else help whoever blocks everybody.
pub(crate) fn behind_preempted<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    before: Cpu,
    promoted: &impl Fn() -> bool,
) -> Option<Token> {
    let seen = waiter.word.load(Ordering::Relaxed);
    if seen & LOCKED == 0
        && all_ahead_off(waiter, seen)
        && let Some(age) = age_of_passable_head(waiter, seen)
        && let Some(token) = take_from_queue(waiter, seen)
    {
        waiter.nodes.record_max(Event::LongestBypassUs, age);
        return Some(token);
    }
    // What to run instead: a preempted holder, or the head for whom the lock is closed.
    let (why, target) = match (seen & LOCKED != 0, head_of(seen)) {
        (true, _) => (
            Event::YieldToHolder,
            passing_holder::<E>(seen)
                .or(waiter.holder())
                .or(Some(before)),
        ),
        (false, Some(head)) if is_closed::<E, P>(head) => (Event::YieldToHead, Some(head)),
        (false, _) => (Event::YieldToPredecessor, None),
    };
    let sample = target.map(|cpu| (cpu, E::run_sample(cpu)));
    if let Some((cpu, sample)) = sample.filter(|(_, sample)| sample.is_preempted()) {
        let status = if matches!(why, Event::YieldToHead) {
            ask::yield_to_head::<E>(cpu, sample)
        } else {
            ask::yield_to::<E>(why, cpu, sample)
        };
        if !should_back_off(status) {
            return None;
        }
        if status == Status::Refused
            && matches!(why, Event::YieldToHead)
            && let Some(token) = overtake_refused(waiter, cpu)
        {
            return Some(token);
        }
    }
    // Nothing to ask for, or asked in vain: wait until the picture changes.
    let moved = || (waiter.word.load(Ordering::Relaxed) ^ seen) & !TAIL != 0;
    E::spin_until(
        || promoted() || moved() || !is_off::<E>(before),
        Budget::ns(P::RULES.retry_ns),
    );
    None
}

/// Who holds a lock past its head. The same bit says that the head sleeps and will be kicked at the
/// release: then the field names that sleeper, and it is somebody else who holds.
fn passing_holder<E: Env>(seen: u32) -> Option<Cpu> {
    head_of(seen)
        .filter(|&cpu| seen & PENDING != 0 && E::run_sample(cpu).state() != RunState::Halted)
}

/// How old the head of the free lock is, in µs, if it is off its pCPU and not too old to be passed
/// over.
fn age_of_passable_head<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    seen: u32,
) -> Option<u32> {
    let head = absent_head_of_free(waiter, seen)?;
    let age = age_us::<E>(head).unwrap_or(u32::MAX);
    if age >= mutate!("ignore_age", P::RULES.pass_over_us, u32::MAX) {
        waiter.nodes.count(Event::Closed);
        return None;
    }
    Some(age)
}

/// The head, if the lock is free and the head somebody else, off its pCPU.
fn absent_head_of_free<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    seen: u32,
) -> Option<Cpu> {
    let head = head_of(seen).filter(|_| seen & (LOCKED | PENDING) == 0)?;
    (head != waiter.cpu && is_off::<E>(head)).then_some(head)
}

/// The lock is closed for a head that the host would not run when asked: keeping it closed would help
/// nobody. Takes it past the head, whatever its age.
fn overtake_refused<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    refused: Cpu,
) -> Option<Token> {
    // A call may return a slice later, under another head.
    let seen = waiter.word.load(Ordering::Relaxed);
    if absent_head_of_free(waiter, seen) != Some(refused) || !all_ahead_off(waiter, seen) {
        return None;
    }
    take_from_queue(waiter, seen)
}

/// Takes the free lock from the middle of the queue, past its head.
fn take_from_queue<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    seen: u32,
) -> Option<Token> {
    // As at the head: a holder waits for nobody, from the step on that makes it one.
    E::set_waiting_for(None);
    let Some(token) = take_past_head(waiter, seen) else {
        // Not the edge from before: whoever it named may have left the queue meanwhile.
        waiter.keep_edge(cpu_of::<W>(waiter.node.pred.load(Ordering::Relaxed)));
        return None;
    };
    unlink(waiter);
    Some(token)
}

/// Takes the free lock past its head, for one that is to be counted.
fn take_past_head<E: Env, P: Policy, W: Format>(
    waiter: &Waiter<'_, E, P, W>,
    seen: u32,
) -> Option<Token> {
    let token = seize::<P, W>(waiter.word, seen, waiter.cpu)?;
    E::checkpoint(Point::Taken);
    waiter.nodes.count(Event::PassedOver);
    Some(token)
}

/// Whether the waiters between the head and us are all off their pCPUs. Reads nodes that may change
/// under it: the answer is only about who goes first among those who may.
fn all_ahead_off<E: Env, P: Policy, W: Format>(waiter: &Waiter<'_, E, P, W>, seen: u32) -> bool {
    let head = head_of(seen);
    let mut link = waiter.node.pred.load(Ordering::Relaxed);
    for _ in 0..LOOK_AHEAD {
        let Some(cpu) = cpu_of::<W>(link) else { break };
        if Some(cpu) == head {
            // The link of a head is from the time when it was none. `absent_head_of_free` looks
            // at the head.
            break;
        }
        if mutate!("overtake_the_running", !is_off::<E>(cpu), false) {
            return false;
        }
        let Some(node) = node_of::<E, W>(link) else {
            break;
        };
        link = node.pred.load(Ordering::Relaxed);
    }
    true
}

/// Leaves the middle of the queue. The caller holds the lock, so nobody else edits links.
fn unlink<E: Env, P: Policy, W: Format>(waiter: &Waiter<'_, E, P, W>) {
    // Relaxed loads of links: earlier edits were made under this lock, which we acquired.
    let pred = waiter.node.pred.load(Ordering::Relaxed);
    let Some(before) = node_of::<E, W>(pred) else {
        return;
    };
    if waiter.node.next.load(Ordering::Relaxed) == 0 {
        // Perhaps the last one. Whoever queues behind `pred` next must find its link empty, so
        // that is cleared first; the exchange below publishes it.
        mutate!(
            "keep_stale_link",
            before.next.store(0, Ordering::Relaxed),
            ()
        );
        if retreat_tail(waiter, pred) {
            return;
        }
    }
    let next = waiter.linked_successor();
    if let Some(after) = node_of::<E, W>(next) {
        after.built.is_known();
        mutate!(
            "keep_stale_pred",
            after.pred.store(pred, Ordering::Relaxed),
            ()
        );
        // The host follows the edges, and a preempted waiter cannot correct its own. (An edge that
        // does not name us belongs to a wait that interrupted this one.)
        if let Some(cpu) = cpu_of::<W>(next).filter(|&cpu| E::waiting_for(cpu) == Some(waiter.cpu))
        {
            E::redirect_wait_of(cpu, cpu_of::<W>(pred));
        }
    }
    // Release pairs with the acquire of whoever promotes through this link.
    mutate!(
        "lose_skipped_waiter",
        before.next.store(next, Ordering::Release),
        ()
    );
}

/// Makes `pred` the tail if we still are.
fn retreat_tail<E: Env, P: Policy, W: Format>(waiter: &Waiter<'_, E, P, W>, pred: u32) -> bool {
    let mut seen = waiter.word.load(Ordering::Relaxed);
    while seen & TAIL == waiter.tail {
        // Release pairs with the acquire of the exchange with which the next one joins.
        match waiter.word.compare_exchange(
            seen,
            seen & !TAIL | pred,
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

const _: () = assert!(HEAD & (LOCKED | PENDING | TAIL) == 0);
