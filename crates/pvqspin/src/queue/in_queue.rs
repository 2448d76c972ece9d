//! In the queue: waiting on the own node until the holder before us makes us the head.
//!
//! ```text
//!                 the one before us   the front is
//!   spin on the   is absent           held: yield to the one before; the host follows the chain
//!   own node ───────────────────────► free: yield to its head; kick one that has halted
//!      │   ▲                          nobody is asked twice within the retry interval
//!      │   └───────────────────────────┘
//!      │ holds are long, the policy halts, or the host refuses and sleepers may be passed over; then
//!      │   somebody wants a pCPU: HALTED, HALT(hint); woken early: spin on the own node again
//!      │   nobody does: kick a head that sleeps under a held lock
//!      ▼
//!   promoted
//! ```

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::lock::Token;
use crate::nodes::state;
use crate::policy::Policy;
use crate::policy::{Names, Rules, Stalls};
use crate::queue::ask;
use crate::queue::ask::should_back_off;
use crate::queue::join::{self, Queued, Waiter, cpu_of, is_preempted};
use crate::queue::pass_over;
use crate::word::{Format, LOCKED, head_of};
use pvqspin_abi::{Cpu, RunSample, RunState, Status, mutate};

/// How long a kick may take to have its effect, in ns, before another waiter repeats it: a
/// hypercall, the poke of a pCPU and a switch, twice over.
const KICK_PATIENCE_NS: u32 = 10_000;

/// What a waiter in the middle can tell about the length of holds: whether the front of the queue
/// moves between its looks.
#[derive(Default)]
struct Front {
    seen: Option<(Cpu, Cpu)>,
    looks: u32,
}

impl Front {
    /// After how many looks at the same holder and head their hold is a long one: so many lie in a
    /// long hold. A short queue that turns fast may show the same two by chance, so that a few looks
    /// are not enough however far apart they are.
    const fn looks_in_a_long_hold(rules: &Rules) -> u32 {
        let apart_ns = if rules.spin_ns < rules.retry_ns {
            rules.spin_ns
        } else {
            rules.retry_ns
        };
        let looks = rules.long_hold_ns / (apart_ns + 1) + 1;
        if looks < 4 { 4 } else { looks }
    }

    /// Whether the front, under a holder that runs, has just been the same for a long hold.
    fn stands_still(&mut self, now: Option<(Cpu, Cpu)>, rules: &Rules) -> bool {
        self.looks = match now {
            None => 0,
            Some(_) if self.seen == now => self.looks.saturating_add(1),
            Some(_) => 1,
        };
        self.seen = now;
        self.looks > 0 && self.looks.is_multiple_of(Self::looks_in_a_long_hold(rules))
    }
}

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Waits on the own node until the holder before us makes us the head.
    pub(crate) fn wait_in_queue(&self) -> Queued {
        // Acquire pairs with the promoter's release: what it did to our links is visible.
        let promoted = || self.node.state.load(Ordering::Acquire) == state::HEAD;
        let mut front = Front::default();
        loop {
            let link = self.node.pred.load(Ordering::Relaxed);
            let before = cpu_of::<W>(link);
            self.keep_edge(before);
            let stalled = || Self::YIELDS && before.is_some_and(|cpu| self.is_absent(cpu));
            // Whoever overtakes leaves from before us: then there is somebody else to watch.
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
            match P::RULES.stalls {
                Stalls::Spin => {}
                Stalls::Halt => self.halt_in_queue(before),
                Stalls::Yield => {
                    if let Some(token) = self.yield_in_queue(before, &promoted) {
                        return Queued::Overtook(token);
                    }
                    if self.sleeps_unasked()
                        || Self::MAY_FIND_HOLDS_LONG && self.should_sleep(&mut front)
                    {
                        self.halt_in_queue(before);
                    }
                }
            }
        }
    }

    /// Whether to sleep in the queue, however long holds are: those who sleep may be passed over,
    /// and the host does not run whom it is asked to.
    fn sleeps_unasked(&self) -> bool {
        P::RULES.passes_over() && self.nodes.host_refuses()
    }

    /// How long to spin before looking further.
    fn patience_in_queue(&self) -> Budget {
        if self.sleeps_unasked() && self.may_halt() {
            Budget::ns(P::RULES.spin_ns)
        } else {
            self.patience()
        }
    }

    /// The one before us is perhaps preempted. Returns a token if it could be overtaken.
    fn yield_in_queue(&self, before: Option<Cpu>, promoted: &impl Fn() -> bool) -> Option<Token> {
        let before = before?;
        let sample = E::run_sample(before);
        if !self.is_absent(before) {
            // Nobody is preempted as far as we see: the spin budget ran out.
            return None;
        }
        if P::RULES.passes_over() {
            return pass_over::behind_preempted(self, before, promoted);
        }
        // A halted one is not what the queue waits for: that is somebody further on.
        if should_back_off(self.yield_to_front(before, sample)) {
            E::spin_until(promoted, Budget::ns(P::RULES.retry_ns));
        }
        None
    }

    /// Whether to sleep until promoted: holds have been long lately, and the present holder runs.
    /// Without the first the queue would turn into a convoy of sleepers; without the second nobody
    /// would be left to lend the holder a pCPU.
    fn should_sleep(&self, front: &mut Front) -> bool {
        let seen = self.word.load(Ordering::Relaxed);
        let (Some(head), Some(holder)) = (head_of(seen), self.holder()) else {
            return false;
        };
        let running = E::run_sample(holder).state() == RunState::Running;
        if front.stands_still(running.then_some((head, holder)), &P::RULES) {
            self.nodes.observe_hold(true);
        }
        // The head sees hold after hold; whoever came late may ask it.
        (self.nodes.holds_are_long() || E::nodes(head).holds_are_long()) && running
    }

    /// Whether the waiter before us cannot watch over those before it: it is preempted, or it has
    /// halted and the holder is preempted. Whoever stands behind it has to watch instead.
    fn is_absent(&self, before: Cpu) -> bool {
        match E::run_sample(before).state() {
            RunState::Preempted => true,
            RunState::Halted => match self.next_holder() {
                // Free, and nobody takes it: the kick of whoever released it is overdue.
                Some((_, head)) => head.state() != RunState::Running,
                None => self.holder().is_some_and(is_preempted::<E>),
            },
            RunState::Running | RunState::Idle => false,
        }
    }

    /// Lends this pCPU to whoever it is that the queue waits for. Behind a held lock, the host
    /// finds it at the end of the chain that starts before us. A free one waits for its head.
    fn yield_to_front(&self, before: Cpu, sample: RunSample) -> Status {
        match self.next_holder() {
            None => ask::yield_to::<E>(Event::YieldToPredecessor, before, sample),
            Some((head, sample)) if sample.is_preempted() => ask::yield_to_head::<E>(head, sample),
            Some((head, sample)) if sample.state() == RunState::Halted => {
                self.kick_if_overdue(head, sample);
                Status::AlreadyRunning
            }
            // It runs, and takes the lock any moment. There is nothing to ask for.
            Some(_) => Status::AlreadyRunning,
        }
    }

    /// The lock is free and its head sleeps. Usually its kick is on the way; if it is not, whoever
    /// released the lock was preempted before it kicked, and one more kick does no harm.
    fn kick_if_overdue(&self, head: Cpu, asleep: RunSample) {
        let awake = || E::run_sample(head) != asleep;
        if !E::spin_until(awake, Budget::ns(KICK_PATIENCE_NS)) {
            self.nodes.count(Event::Kick);
            E::kick(head);
        }
    }

    /// Whom a free lock waits for, and what it does; `None` while somebody holds it.
    fn next_holder(&self) -> Option<(Cpu, RunSample)> {
        let seen = self.word.load(Ordering::Relaxed);
        let head = head_of(seen).filter(|_| seen & LOCKED == 0)?;
        Some((head, E::run_sample(head)))
    }

    /// The head, if the lock is free and it is preempted. Its old edge is withdrawn.
    fn absent_head(&self) -> Option<Cpu> {
        let (head, sample) = self
            .next_holder()
            .filter(|(_, sample)| sample.is_preempted())?;
        ask::withdraw_edge_of::<E>(head, sample);
        Some(head)
    }

    /// Whether a halt helps anybody, and is sure to end.
    ///
    /// A host remembers one kick for each CPU. If an interrupted wait and the one that interrupted
    /// it both halted, the inner halt could use up the kick that was meant for the outer: so only
    /// the outermost wait of a CPU halts.
    pub(crate) fn may_halt(&self) -> bool {
        let outermost = mutate!("halt_in_inner_wait", self.nodes.in_use() == 1, true);
        mutate!("never_halt", E::pressure() && outermost, false)
    }

    /// Nobody wants a pCPU, but the head sleeps under a held lock: it fell asleep, or was promoted
    /// asleep, when there were others. Awake it will stand ready at the release.
    fn wake_head_in_time(&self) {
        let seen = self.word.load(Ordering::Relaxed);
        let Some(head) = head_of(seen).filter(|_| Self::YIELDS && seen & LOCKED != 0) else {
            return;
        };
        let sample = E::run_sample(head);
        if sample.state() == RunState::Halted && !E::pressure() {
            self.kick_if_overdue(head, sample);
        }
    }

    /// Halts until promoted and kicked, or woken for any other reason.
    fn halt_in_queue(&self, before: Option<Cpu>) {
        if !self.may_halt() {
            self.wake_head_in_time();
            return;
        }
        let node_state = &self.node.state;
        // One location decides: either this exchange comes first, and the promoter finds HALTED
        // and arranges for a kick; or the promotion came first, and we do not halt.
        let promoted = mutate!(
            "drop_recheck",
            node_state
                .compare_exchange(
                    state::WAITING,
                    state::HALTED,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_err(),
            {
                node_state.store(state::HALTED, Ordering::Relaxed);
                false
            }
        );
        if promoted {
            return;
        }
        self.nodes.count(Event::HaltInQueue);
        E::checkpoint(Point::Halting);
        let target = match P::RULES.names {
            Names::Predecessor => self.absent_head().or(before),
            Names::Holder => self.holder().or(before),
        };
        E::halt(target.map(ask::hint_for::<E>));
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

    /// Who holds the lock, as far as a waiter in the middle can tell.
    pub(crate) fn holder(&self) -> Option<Cpu> {
        join::holder_of::<E, W>(self.word.load(Ordering::Relaxed))
    }
}
