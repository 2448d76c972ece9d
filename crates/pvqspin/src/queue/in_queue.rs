//! In the queue: waiting on the own node until the holder before us makes us the head.
//!
//! ```text
//!                 the CPU before us   the front is
//!   spin on the   is absent           held: yield to the CPU before; the host follows the chain
//!   own node ───────────────────────► free: yield to its head; kick one that has halted
//!      │   ▲                          no CPU is asked for twice within the retry interval
//!      │   └───────────────────────────┘
//!      │ holds are long, the policy halts, or the host refuses and sleepers may be passed over; then
//!      │   a vCPU wants a pCPU: HALTED, HALT(hint); woken early: spin on the own node again
//!      │   none does: kick a head that sleeps under a held lock
//!      ▼
//!   promoted
//! ```

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point, Sleep};
use crate::events::Event;
use crate::node::state;
use crate::policy::{Names, Policy, Rules};
use crate::queue::age;
use crate::queue::ask::{self, should_back_off};
use crate::queue::decide::{Action, Front, Role, Snapshot, decide};
use crate::queue::edge::Edge;
use crate::queue::look::{Seen, cpu_of, holder_of};
use crate::queue::waiter::Waiter;
use crate::token::Token;
use crate::word::{Format, Held};
use pvqspin_abi::{Cpu, RunState, Status};

/// How long a kick may take to have its effect, in ns, before another waiter repeats it: a
/// hypercall, the poke of a pCPU and a switch, twice over.
const KICK_PATIENCE_NS: u32 = 10_000;

/// How waiting in the queue ended.
pub(super) enum Queued {
    /// First in line now, behind this holder.
    Promoted(Option<Cpu>),
    /// Passed over the preempted waiters before it, and holds the lock.
    Overtook(Token),
}

/// What a waiter in the middle can tell about the length of holds: whether the front of the queue
/// moves between two of its samples.
#[derive(Default)]
struct FrontSamples {
    last: Option<(Cpu, Cpu)>,
    alike: u32,
}

impl FrontSamples {
    /// After how many samples of the same holder and head their hold is a long one: so many lie in
    /// a long hold. A short queue that turns fast may show the same two by chance, so that a few
    /// samples are not enough however far apart they are.
    const fn in_a_long_hold(rules: &Rules) -> u32 {
        let apart_ns = if rules.spin_ns < rules.retry_ns {
            rules.spin_ns
        } else {
            rules.retry_ns
        };
        let samples = (rules.long_hold_ns / apart_ns.saturating_add(1)).saturating_add(1);
        if samples < 4 { 4 } else { samples }
    }

    /// Whether the front, under a holder that runs, has just been the same for a long hold.
    fn stands_still(&mut self, now: Option<(Cpu, Cpu)>, rules: &Rules) -> bool {
        self.alike = match now {
            None => 0,
            Some(_) if self.last == now => self.alike.saturating_add(1),
            Some(_) => 1,
        };
        self.last = now;
        self.alike > 0 && self.alike.is_multiple_of(Self::in_a_long_hold(rules))
    }
}

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Waits on the own node until the holder before us makes us the head.
    pub(super) fn wait_in_queue(&self, edge: &Edge<E, P>) -> Queued {
        // Acquire pairs with the promoter's release: what it did to our links is visible.
        let promoted = || self.node.state.load(Ordering::Acquire) == state::HEAD;
        let mut front = FrontSamples::default();
        loop {
            let link = self.node.pred.load(Ordering::Relaxed);
            let before = cpu_of::<W>(link);
            edge.keep(self.cpu, before);
            let stalled = || Self::YIELDS && before.is_some_and(|cpu| self.is_absent(cpu));
            // A waiter that overtakes leaves from before us: then there is another one to watch.
            let relinked =
                || P::RULES.passes_over() && self.node.pred.load(Ordering::Relaxed) != link;
            let patience = self.patience_in_queue();
            E::spin_until(|| promoted() || relinked() || stalled(), patience);
            if relinked() && !promoted() {
                continue;
            }
            if promoted() {
                // The promoter is the node before us, and holds the lock now.
                return Queued::Promoted(cpu_of::<W>(self.node.pred.load(Ordering::Relaxed)));
            }
            age::note_wait_goes_on::<E, P>(self.nodes);
            if !Self::PARAVIRTUAL {
                continue;
            }
            if Self::YIELDS
                && let Some(token) = self.move_the_queue(before, edge, &promoted)
            {
                return Queued::Overtook(token);
            }
            self.rest(before, &mut front);
        }
    }

    /// How long to spin before looking further.
    fn patience_in_queue(&self) -> Budget {
        // Sleepers may be passed over, and the host does not run the CPUs that it is asked to.
        if P::RULES.passes_over() && self.nodes.host_refuses() && self.may_halt() {
            Budget::ns(P::RULES.spin_ns)
        } else {
            self.patience()
        }
    }

    /// The front of the queue, under this word.
    pub(super) fn front(&self, word: u32) -> Front {
        match Held::in_paravirtual::<W>(word) {
            Held::HandedTo(head) => Front::Free(Seen::at::<E>(head)),
            _ => Front::Held(holder_of::<E, W>(word).map(Seen::at::<E>)),
        }
    }

    /// Whether the waiter before us cannot watch over those before it. Asked in every round of the
    /// spin loop, so it touches the lock's word only if that waiter sleeps.
    fn is_absent(&self, before: Cpu) -> bool {
        let before = Seen::at::<E>(before);
        let front = match before.state() {
            RunState::Halted => self.front(self.word.load(Ordering::Relaxed)),
            RunState::Preempted | RunState::Running | RunState::Idle => Front::Unseen,
        };
        Snapshot {
            before: Some(before),
            front,
            ..Snapshot::NOTHING
        }
        .before_is_absent()
    }

    /// The CPU before us is perhaps absent: helps the queue to move. Returns a token if we went
    /// first.
    fn move_the_queue(
        &self,
        before: Option<Cpu>,
        edge: &Edge<E, P>,
        promoted: &impl Fn() -> bool,
    ) -> Option<Token> {
        // One that is on its pCPU watches over those before it: the word need not be looked at.
        let before = before.map(Seen::at::<E>).filter(Seen::is_off)?;
        let seen = self.word.load(Ordering::Relaxed);
        let mut snapshot = Snapshot {
            before: Some(before),
            front: self.front(seen),
            ..Snapshot::NOTHING
        };
        let head_age_us = if P::RULES.passes_over() {
            self.look_who_may_be_passed(&mut snapshot)
        } else {
            None
        };
        let status = match decide(&P::RULES, Role::Queued, &snapshot) {
            Action::Yield(target, why) => ask::yield_to::<E>(why, target),
            Action::YieldToHead(head) => ask::yield_to_head::<E>(head),
            Action::KickIfOverdue(head) => {
                self.kick_if_overdue(head);
                Status::AlreadyRunning
            }
            Action::PassOver(_) => match self.overtake(seen, head_age_us, edge) {
                Some(token) => return Some(token),
                None => Status::AlreadyRunning,
            },
            Action::Wait => Status::AlreadyRunning,
            _ => return None,
        };
        if !P::RULES.passes_over() {
            ask::back_off::<E, P>(status, promoted);
            return None;
        }
        if !should_back_off(status) {
            return None;
        }
        if status == Status::Refused
            && let Front::Free(head) = snapshot.front
            && let Some(token) = self.overtake_refused(head.cpu, edge)
        {
            return Some(token);
        }
        // Nothing to ask for, or asked in vain: wait until the picture changes.
        ask::back_off::<E, P>(status, || promoted() || self.has_changed(seen, before.cpu));
        None
    }

    /// The lock is free and its head sleeps. Usually its kick is on the way; if it is not, the
    /// releaser was preempted before it kicked, and one more kick does no harm.
    fn kick_if_overdue(&self, head: Seen) {
        let awake = || E::run_sample(head.cpu) != head.sample;
        if !E::spin_until(awake, Budget::ns(KICK_PATIENCE_NS)) {
            self.nodes.count(Event::Kick);
            Sleep::kick::<E>(head.cpu);
        }
    }

    /// Nothing more to do for the queue: sleeps if that is better than to spin.
    fn rest(&self, before: Option<Cpu>, front: &mut FrontSamples) {
        let mut snapshot = Snapshot {
            host_refuses: P::RULES.passes_over() && self.nodes.host_refuses(),
            ..Snapshot::NOTHING
        };
        if Self::YIELDS && P::RULES.may_find_holds_long() && !snapshot.host_refuses {
            snapshot.long_hold = self.is_long_hold(front);
        }
        if Self::YIELDS && !snapshot.host_refuses && !snapshot.long_hold {
            // Nothing speaks for sleeping: the rest need not be looked at.
            return;
        }
        snapshot.may_halt = self.may_halt();
        if Self::YIELDS && !snapshot.may_halt {
            snapshot.sleeping_head = self.sleeping_head();
        }
        match decide(&P::RULES, Role::Resting, &snapshot) {
            Action::Halt => self.halt_in_queue(before),
            Action::KickIfOverdue(head) => self.kick_if_overdue(head),
            _ => {}
        }
    }

    /// Whether holds have been long lately, and the present holder runs.
    fn is_long_hold(&self, front: &mut FrontSamples) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let Held::Queued {
            head: Some(head), ..
        } = Held::in_paravirtual::<W>(word)
        else {
            return false;
        };
        let Some(holder) = holder_of::<E, W>(word) else {
            return false;
        };
        let running = E::run_sample(holder).state() == RunState::Running;
        if front.stands_still(running.then_some((head, holder)), &P::RULES) {
            self.nodes.observe_hold(true);
        }
        // The head sees hold after hold; a CPU that came late may ask it.
        (self.nodes.holds_are_long() || E::nodes(head).holds_are_long()) && running
    }

    /// A head that sleeps under a held lock although no vCPU wants a pCPU: it fell asleep, or was
    /// promoted asleep, when there were others.
    fn sleeping_head(&self) -> Option<Seen> {
        let word = self.word.load(Ordering::Relaxed);
        match Held::in_paravirtual::<W>(word) {
            Held::Queued {
                head: Some(head), ..
            } => Some(Seen::at::<E>(head))
                .filter(|head| head.state() == RunState::Halted && !E::pressure()),
            _ => None,
        }
    }

    /// Halts until promoted and kicked, or woken for any other reason.
    fn halt_in_queue(&self, before: Option<Cpu>) {
        let node_state = &self.node.state;
        // One location decides: either this exchange comes first, and the promoter finds HALTED
        // and arranges for a kick; or the promotion came first, and we do not halt.
        let promoted = node_state
            .compare_exchange(
                state::WAITING,
                state::HALTED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_err();
        if promoted {
            return;
        }
        self.nodes.count(Event::HaltInQueue);
        E::checkpoint(Point::Halting);
        let word = self.word.load(Ordering::Relaxed);
        let target = match P::RULES.names {
            Names::Predecessor => self.absent_head(word).or(before),
            Names::Holder => holder_of::<E, W>(word).or(before),
        };
        Sleep::halt::<E>(target.map(ask::hint_for::<E>));
        self.slept.set(true);
        let woken_early = node_state
            .compare_exchange(
                state::HALTED,
                state::WAITING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok();
        if woken_early {
            self.nodes.count(Event::SpuriousWake);
        }
    }

    /// The head, if the lock is free and it is preempted. Its old edge is withdrawn.
    fn absent_head(&self, word: u32) -> Option<Cpu> {
        match self.front(word) {
            Front::Free(head) if head.is_preempted() => {
                ask::withdraw_edge_of::<E>(head);
                Some(head.cpu)
            }
            _ => None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::policy::Fifo;

    #[test]
    fn extreme_rules_do_not_panic() {
        for (spin_ns, retry_ns, long_hold_ns) in [
            (u32::MAX, u32::MAX, u32::MAX),
            (u32::MAX, u32::MAX, 1),
            (0, 0, u32::MAX),
            (0, 0, 0),
        ] {
            let rules = Rules {
                spin_ns,
                retry_ns,
                long_hold_ns,
                ..Fifo::RULES
            };
            assert!(FrontSamples::in_a_long_hold(&rules) >= 4);
        }
    }
}
