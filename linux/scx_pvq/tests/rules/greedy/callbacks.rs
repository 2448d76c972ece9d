//! The callbacks of `scx_pvq.bpf.c`, from `.enqueue` to `.dispatch`, with the same functions of `rules.h`.

use super::{Place, Placed, Task, Twin, id};

impl Twin {
    pub(super) fn task(&mut self, task: u32) -> &mut Task {
        &mut self.tasks[task as usize]
    }

    fn charge(&mut self, p: usize, now: u64) {
        let (due, _) = self.cpus[p].slice.due(now, self.clock.wanted_ns);
        if due > 0 {
            let owner = (self.cpus[p].slice.owner - 1) as u32;
            self.task(owner).account.charge(due);
        }
    }

    fn insert(&mut self, task: u32) {
        self.turn += 1;
        let turn = self.turn;
        let one = self.task(task);
        one.place = Place::Queued(turn);
        let key = (one.account.vtime, turn, task);
        self.queue.insert(key);
        if let Some(idle) = (0..self.cpus.len()).find(|&p| self.is_idle(p)) {
            self.pokes.push_back(idle);
        }
    }

    fn is_idle(&self, p: usize) -> bool {
        self.cpus[p].runs.is_none()
    }

    /// Leaves the place where it waits.
    pub(super) fn take(&mut self, task: u32) {
        if let Place::Queued(turn) = self.tasks[task as usize].place {
            let vtime = self.tasks[task as usize].account.vtime;
            // The key is the time at which it was queued; what it lent since may have been charged.
            if !self.queue.remove(&(vtime, turn, task)) {
                self.queue.retain(|&(_, _, other)| other != task);
            }
        }
    }

    /// Before every event that may change the queue.
    fn pass(&mut self, now: u64) {
        let queued = !self.queue.is_empty();
        self.clock.pass(now, queued);
    }

    /// `.enqueue`.
    fn enqueue(&mut self, now: u64, task: u32, woke: bool) {
        self.pass(now);
        if let Some(p) = self.tasks[task as usize].owns {
            let slice = &self.cpus[p].slice;
            if slice.owner == id(task) && slice.current != id(task) {
                self.task(task).place = Place::Held(p);
                return;
            }
            self.task(task).owns = None;
        }
        let (terms, clock) = (self.terms, self.clock);
        let one = self.task(task);
        if !one.started {
            one.started = true;
            one.account.start(&terms, &clock);
        } else if woke {
            one.account.wake(clock.vtime);
        } else {
            one.account.requeue(&terms, &clock);
        }
        let someone_idle = (0..self.cpus.len()).any(|p| self.is_idle(p));
        self.insert(task);
        if woke && !someone_idle {
            self.preempt(now, task);
        }
    }

    fn preempt(&mut self, now: u64, task: u32) {
        let (account, last) = (
            self.tasks[task as usize].account,
            self.tasks[task as usize].last_cpu,
        );
        let mut found: Option<(u64, usize)> = None;
        for by in 0..4.min(self.cpus.len()) {
            let p = (last + by) % self.cpus.len();
            let slice = self.cpus[p].slice;
            if slice.owner == 0 || slice.is_protected(now, &self.terms) {
                continue;
            }
            let owner = self.tasks[(slice.owner - 1) as usize].account;
            let vtime = slice.as_if_paid(now, &owner);
            if account.preempts(&self.terms, vtime) && found.is_none_or(|(v, _)| v < vtime) {
                found = Some((vtime, p));
            }
        }
        if let Some((_, p)) = found {
            self.cpus[p].preempted = true;
            self.pokes.push_back(p);
        }
    }

    /// `.running`.
    fn runs(&mut self, now: u64, p: usize, task: u32) -> Placed {
        self.take(task);
        let one = self.task(task);
        one.place = Place::On(p);
        one.last_cpu = p;
        self.cpus[p].runs = Some(task);
        if self.cpus[p].slice.owner == 0 || self.cpus[p].slice.current != id(task) {
            self.begin(now, p, task);
        }
        Placed {
            vcpu: Some(task),
            until: Some(self.cpus[p].slice.end),
        }
    }

    fn begin(&mut self, now: u64, p: usize, task: u32) {
        let (terms, clock) = (self.terms, self.clock);
        let one = self.task(task);
        if !one.started {
            one.started = true;
            one.account.start(&terms, &clock);
        }
        one.owns = Some(p);
        let account = one.account;
        self.cpus[p]
            .slice
            .begin(now, clock.wanted_ns, id(task), &terms);
        self.clock.picked(&account);
    }

    fn end_slice(&mut self, p: usize, prev: Option<u32>) {
        let owner = self.cpus[p].slice.owner;
        if let Some(prev) = prev
            && owner == id(prev)
        {
            self.task(prev).owns = None;
        }
        self.cpus[p].slice.owner = 0;
        self.cpus[p].slice.current = 0;
        let held: Vec<u32> = (0..self.tasks.len() as u32)
            .filter(|&task| self.tasks[task as usize].place == Place::Held(p))
            .collect();
        let (terms, clock) = (self.terms, self.clock);
        for task in held {
            let one = self.task(task);
            one.owns = None;
            one.account.requeue(&terms, &clock);
            self.insert(task);
        }
    }

    fn lend(&mut self, now: u64, p: usize, prev: u32, to: u32) -> Option<Placed> {
        let waits = matches!(
            self.tasks.get(to as usize)?.place,
            Place::Queued(_) | Place::Held(_)
        );
        let slice = self.cpus[p].slice;
        if !slice.can_lend(now, &self.terms) || slice.current != id(prev) || !waits {
            return None;
        }
        let terms = self.terms;
        self.cpus[p].slice.give_to(now, id(to), &terms);
        self.cpus[p].runs = None;
        self.enqueue(now, prev, false);
        Some(self.runs(now, p, to))
    }

    /// `.dispatch`, and what the kernel does around it.
    pub(super) fn dispatch(
        &mut self,
        now: u64,
        p: usize,
        stays: bool,
        asked: Option<u32>,
    ) -> Placed {
        let prev = self.cpus[p].runs;
        let runs = prev.filter(|_| stays);
        self.pass(now);
        self.charge(p, now);
        if let (Some(prev), Some(to)) = (runs, asked) {
            if let Some(placed) = self.lend(now, p, prev, to) {
                return placed;
            }
            if self.cpus[p].slice.current == id(prev) && !self.cpus[p].slice.is_over(now) {
                return self.runs(now, p, prev);
            }
        }
        self.cpus[p].preempted = false;
        if runs.is_none() {
            self.cpus[p].runs = None;
            let slice = self.cpus[p].slice;
            let owner = slice.owner.checked_sub(1).map(|owner| owner as u32);
            let waits =
                owner.is_some_and(|owner| self.tasks[owner as usize].place == Place::Held(p));
            if let Some(owner) = owner
                && slice.owner_goes_on(now, waits)
            {
                let terms = self.terms;
                self.cpus[p].slice.give_to(now, slice.owner, &terms);
                return self.runs(now, p, owner);
            }
        }
        self.end_slice(p, prev);
        let mut elsewhere = None;
        if let Some(prev) = runs {
            elsewhere = self.tasks[prev as usize].owns.filter(|&other| {
                let slice = &self.cpus[other].slice;
                slice.owner == id(prev) && slice.current != id(prev)
            });
            if elsewhere.is_none() {
                let (terms, clock) = (self.terms, self.clock);
                let one = self.task(prev);
                one.account.requeue(&terms, &clock);
                let vtime = one.account.vtime;
                if self.queue.first().is_none_or(|&(first, ..)| vtime < first) {
                    return self.keep(now, p, prev);
                }
            }
        }
        if let Some(&(_, _, first)) = self.queue.first() {
            self.take(first);
            self.cpus[p].runs = None;
            let placed = self.runs(now, p, first);
            if let Some(prev) = runs {
                self.enqueue(now, prev, false);
            }
            return placed;
        }
        if runs.is_none() || elsewhere.is_some() {
            let held = (0..self.tasks.len() as u32).find(|&task| {
                matches!(self.tasks[task as usize].place, Place::Held(other) if self.cpus[other].slice.owner == id(task))
            });
            if let Some(task) = held {
                self.convert(now, task);
                self.cpus[p].runs = None;
                let placed = self.runs(now, p, task);
                if let Some(prev) = runs {
                    self.enqueue(now, prev, false);
                }
                return placed;
            }
        }
        match runs {
            Some(prev) => {
                if elsewhere.is_some() {
                    self.convert(now, prev);
                }
                self.keep(now, p, prev)
            }
            None => Placed::default(),
        }
    }

    fn keep(&mut self, now: u64, p: usize, task: u32) -> Placed {
        self.begin(now, p, task);
        self.runs(now, p, task)
    }

    /// Another CPU takes the owner of a slice: the borrower goes on, on a slice of its own.
    fn convert(&mut self, now: u64, task: u32) {
        let Some(p) = self.task(task).owns.take() else {
            return;
        };
        self.charge(p, now);
        let (terms, wanted) = (self.terms, self.clock.wanted_ns);
        let Some(borrower) = self.cpus[p].runs else {
            return;
        };
        let account = self.task(borrower).account;
        self.clock.picked(&account);
        self.cpus[p].slice.convert(now, wanted, &terms);
        self.task(borrower).owns = Some(p);
    }

    pub(super) fn wake(&mut self, now: u64, task: u32) {
        self.task(task).halted = false;
        self.enqueue(now, task, true);
    }

    pub(super) fn sleep(&mut self, now: u64, p: usize) -> Placed {
        if let Some(task) = self.cpus[p].runs {
            self.task(task).place = Place::Asleep;
        }
        self.dispatch(now, p, false, None)
    }

    pub(super) fn now_on(&self, p: usize) -> Placed {
        let cpu = &self.cpus[p];
        Placed {
            vcpu: cpu.runs,
            until: cpu.runs.map(|_| cpu.slice.end),
        }
    }
}
