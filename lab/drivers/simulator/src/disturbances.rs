//! What happens at the calls of the environment: disturbances, costs, faults and marks.

use pvqspin::Point;
use pvqspin_driver_common::What;

use crate::guest_side::GuestSide;
use crate::request::Request;
use crate::shared::Shared;

impl Shared {
    /// The running vCPU calls its environment: perhaps something comes between.
    #[inline]
    pub(crate) fn disturb(&self) {
        if self.jitters && !self.evaluating.get() {
            self.disturb_by_chance();
        }
    }

    #[cold]
    fn disturb_by_chance(&self) {
        if self.one_in(self.jitter.preempt_one_in) {
            self.record_mine(What::Jitter);
            self.me().suspend(Request::Lose);
        } else if self.one_in(self.jitter.delay_one_in) {
            let ns = self.draw(self.jitter.longest_ns.max(1));
            self.me().suspend(Request::Compute(ns.into()));
        } else if self.one_in(self.jitter.interrupt_one_in) {
            self.interrupt();
        }
    }

    /// The running vCPU passes a point.
    pub(crate) fn pass(&self, point: Point) {
        let me = self.me();
        if point == Point::Joined {
            self.wait_begins();
        }
        let cost = self.cost_of(point);
        self.note_lines(point);
        if self.detailed {
            self.record_mine(What::Passed(point));
        }
        if point == Point::Taken {
            self.wait_ends();
        }
        self.pass_time(cost.into());
        if me.watched_points & 1 << point as u32 != 0 {
            self.perhaps_fail(me, point);
        }
    }

    /// The running vCPU has just taken a lock, or released it.
    pub(crate) fn mark(&self, lock: usize, held: bool) {
        if !self.detailed {
            return;
        }
        let number = {
            let mut numbers = self.lock_numbers.borrow_mut();
            let next = numbers.len() as u32;
            *numbers.entry(lock).or_insert(next)
        };
        self.record_mine(if held {
            What::Holds(number)
        } else {
            What::Left(number)
        });
    }

    fn perhaps_fail(&self, me: &GuestSide, point: Point) {
        let passings = &me.passings[point as usize];
        passings.set(passings.get().wrapping_add(1));
        let chance = |many| self.one_in(many);
        if self.faults.hit(me.cpu, point, passings.get(), chance) {
            self.faults_fired.set(self.faults_fired.get() + 1);
            self.record_mine(What::Fault(Some(point)));
            me.suspend(Request::Lose);
        }
    }
}
