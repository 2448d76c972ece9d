//! What happens at a step, and why: a sentence from the event and from what the snapshot shows.

use pvqspin::word::{PENDING, head_of};
use pvqspin::{Point, Tail};
use pvqspin_abi::{Cpu, RunState, Status};
use pvqspin_simulator::{Snapshot, What};
use pvqspin_timeline::{Doing, Scene};

use crate::explain::view::{Reader, name};

/// What the sentences are made from.
pub(crate) struct Narrator<'a> {
    pub(crate) reader: Reader,
    pub(crate) scene: &'a Scene,
}

/// Steps that say nothing that the step before did not.
pub(crate) fn says_nothing(snapshot: &Snapshot, same_vcpu_before: Option<&Snapshot>) -> bool {
    let before = same_vcpu_before.map(|before| before.event.what);
    match snapshot.event.what {
        What::LongWait(_) => true,
        // The slow path has said so already.
        What::Holds(_) => before == Some(What::Passed(Point::Taken)),
        What::Left(_) => matches!(
            before,
            Some(What::Passed(Point::Released) | What::YieldTo(..) | What::Kick(..) | What::Enter)
        ),
        _ => false,
    }
}

impl Narrator<'_> {
    /// The sentence of a step. `before` is the step before.
    pub(crate) fn sentence(&self, snapshot: &Snapshot, before: Option<&Snapshot>) -> String {
        let Some(vcpu) = snapshot.event.vcpu else {
            return match (snapshot.event.what, snapshot.event.pcpu) {
                (What::Idle, Some(pcpu)) => format!("pCPU {pcpu} has nothing to run."),
                (other, _) => format!("{other}."),
            };
        };
        let who = self.scene.name(vcpu);
        match snapshot.event.what {
            What::Enter => self.enters(vcpu, &who, snapshot),
            What::SliceEnd => self.loses(vcpu, snapshot, &format!("The slice of {who} is over")),
            What::Poked => self.loses(
                vcpu,
                snapshot,
                &format!("{who} is interrupted for another vCPU"),
            ),
            What::Passed(point) => self.passes(point, vcpu, &who, snapshot, before),
            What::Holds(_) => format!(
                "{who} finds the lock free, and takes it with one compare-exchange: {}",
                self.who_is_named(snapshot)
            ),
            What::Left(_) if self.reader.is_native() => {
                format!("{who} clears the locked byte: the lock is free.")
            }
            What::Left(_) => {
                format!("{who} releases the lock with one compare-exchange: none waits.")
            }
            What::YieldTo(cpu, status) => self.yields(&who, cpu, status, snapshot, before),
            What::Halt(hint, status) => self.halts(&who, hint, status, snapshot),
            What::Kick(cpu, status) => {
                let target = name(cpu);
                let came = match status {
                    Status::Ran => "the host wakes it, and runs it",
                    Status::AlreadyRunning => "it is awake already",
                    Status::Stale | Status::Refused => "the host does nothing",
                };
                format!("{who} kicks {target}, which asked for that: {came}.")
            }
            other => format!("{who}: {other}."),
        }
    }

    fn doing(&self, vcpu: u32, at_ns: u64) -> Doing {
        let lane = self.scene.lanes.get(vcpu as usize);
        lane.and_then(|lane| lane.at(at_ns))
            .map_or(Doing::Outside, |span| span.doing)
    }

    fn enters(&self, vcpu: u32, who: &str, snapshot: &Snapshot) -> String {
        let pcpu = snapshot.event.pcpu.unwrap_or(0);
        let goes_on = match self.doing(vcpu, snapshot.event.at_ns) {
            Doing::Holds => "It goes on in its critical section.",
            Doing::Waits => "It goes on waiting.",
            Doing::Outside => "It goes on outside the lock.",
        };
        format!("The host puts {who} on pCPU {pcpu}. {goes_on}")
    }

    fn loses(&self, vcpu: u32, snapshot: &Snapshot, why: &str) -> String {
        let at = snapshot.event.at_ns;
        let pcpu = snapshot.event.pcpu.unwrap_or(0);
        let lane = &self.scene.lanes[vcpu as usize];
        let goes = lane.at(at).is_some_and(|span| span.place.is_off());
        if !goes {
            return format!("{why}, and no vCPU comes before it: it keeps pCPU {pcpu}.");
        }
        let then = match self.doing(vcpu, at) {
            Doing::Holds => {
                "It holds the lock: this is lock-holder preemption. A vCPU that wants the lock now waits \
                 for a vCPU that does not run."
            }
            Doing::Waits => {
                "It waits for the lock: this is lock-waiter preemption. In strict order its turn \
                 comes, whether it runs or not."
            }
            Doing::Outside => "It holds no lock and waits for none, so that does no harm.",
        };
        format!("{why}: the host takes pCPU {pcpu} away. {then}")
    }

    fn passes(
        &self,
        point: Point,
        vcpu: u32,
        who: &str,
        snapshot: &Snapshot,
        before: Option<&Snapshot>,
    ) -> String {
        let word = snapshot.word.unwrap_or(0);
        let me = Cpu::new(vcpu as usize);
        match point {
            Point::Joining => {
                format!("{who} wants the lock, finds it taken, and enters the slow path.")
            }
            Point::Joined => {
                let tail_is_me =
                    matches!(self.reader.tail(word), Tail::Waiter(cpu, _) if Some(cpu) == me);
                if self.reader.is_native() && !tail_is_me && word & PENDING != 0 {
                    return format!(
                        "{who} sets the pending bit: the second in line needs no node. It spins on the word."
                    );
                }
                let last = before.and_then(|before| match self.reader.tail(before.word?) {
                    Tail::Waiter(cpu, _) => Some(cpu),
                    _ => None,
                });
                match last {
                    _ if head_of(word) == me => format!(
                        "{who} swaps itself into the tail. It is the first to queue, so the same step names it as the head."
                    ),
                    Some(last) if Some(last) != me => format!(
                        "{who} swaps itself into the tail, behind {}. It has its place, but nothing links it yet.",
                        name(last)
                    ),
                    _ => format!("{who} swaps itself into the tail, and spins."),
                }
            }
            Point::Linked => {
                let told = match snapshot
                    .vcpus
                    .get(vcpu as usize)
                    .and_then(|me| me.waits_for)
                {
                    Some(to) => format!(
                        "the node of {} names it as the next, and its page tells the host that it waits for {}",
                        name(to),
                        name(to)
                    ),
                    None => "the node before it names it as the next".to_owned(),
                };
                format!("{who} links itself: {told}. It spins on its own node.")
            }
            Point::Halting => {
                format!("{who} has said that it wants to be kicked, and is about to halt.")
            }
            Point::Taken => format!("{who} takes the free word: {}", self.who_is_named(snapshot)),
            Point::Released => self.released(who, snapshot),
            Point::Fallback => {
                format!("{who} has no node left, and waits for the word without one.")
            }
        }
    }

    /// What the word says, now that it has just been taken.
    fn who_is_named(&self, snapshot: &Snapshot) -> String {
        let word = snapshot.word.unwrap_or(0);
        match (self.reader.tail(word), head_of(word)) {
            (Tail::SoleHolder(cpu), _) => {
                format!(
                    "the word names {} as the holder, in the same step.",
                    name(cpu)
                )
            }
            (Tail::Waiter(..), Some(head)) => format!(
                "the word names {} as the head now, which will be told who holds the lock.",
                name(head)
            ),
            (Tail::Waiter(..), None) if !self.reader.is_native() => {
                "the next waiter has not linked itself yet.".to_owned()
            }
            _ if self.reader.is_native() => {
                "the word says that it is held, and does not name the holder.".to_owned()
            }
            _ => "it is held.".to_owned(),
        }
    }

    fn released(&self, who: &str, snapshot: &Snapshot) -> String {
        let Some(head) = snapshot.word.and_then(head_of) else {
            return format!("{who} makes the word free.");
        };
        let state = snapshot
            .vcpus
            .get(head.index())
            .map(|vcpu| vcpu.run.state());
        let state = match state {
            Some(RunState::Preempted) => {
                "It has no pCPU: without help a free lock waits for a vCPU that does not run."
            }
            Some(RunState::Halted) => "It has halted: it needs a kick.",
            _ => "It will see that the word is free, and take it.",
        };
        format!(
            "{who} makes the word free. The word names the head, {}, and only that one may take it. {state}",
            name(head)
        )
    }

    fn yields(
        &self,
        who: &str,
        cpu: Cpu,
        status: Status,
        snapshot: &Snapshot,
        before: Option<&Snapshot>,
    ) -> String {
        let named = name(cpu);
        let saw = (before.and_then(|before| before.vcpus.get(cpu.index())))
            .filter(|target| target.run.is_preempted())
            .map_or_else(
                || format!("{who} waits behind {named}"),
                |_| format!("{who} sees on the shared page that {named} is preempted"),
            );
        let pcpu = snapshot.event.pcpu.unwrap_or(0);
        let came = match status {
            Status::Ran => {
                let ran = snapshot.host.pcpus.get(pcpu as usize).copied().flatten();
                let ran = ran.map_or("no vCPU".to_owned(), |vcpu| self.scene.name(vcpu));
                let chain = if ran == named {
                    format!("the host runs {ran}")
                } else {
                    format!("the host follows the edges from {named} to their end, and runs {ran}")
                };
                format!(
                    "{chain} at once, on pCPU {pcpu}, for what is left of the slice of {who}, which stays runnable"
                )
            }
            Status::AlreadyRunning => "the end of the chain runs already".to_owned(),
            Status::Stale => "too late, it has run since".to_owned(),
            Status::Refused => "the host refuses".to_owned(),
        };
        format!("{saw}, and names it in a hypercall, YIELD_TO({named}): {came}.")
    }

    fn halts(&self, who: &str, hint: Option<Cpu>, status: Status, snapshot: &Snapshot) -> String {
        let pcpu = snapshot.event.pcpu.unwrap_or(0);
        let hinted = hint.map_or("no vCPU".to_owned(), name);
        let next = snapshot.host.pcpus.get(pcpu as usize).copied().flatten();
        let next = next.map_or("no vCPU".to_owned(), |vcpu| self.scene.name(vcpu));
        format!(
            "{who} halts until it is kicked, and names {hinted}: HALT({hinted}) -> {status:?}. pCPU {pcpu} is for {next} now."
        )
    }
}
