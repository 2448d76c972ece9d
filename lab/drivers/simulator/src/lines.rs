//! Where the cache lines of locks are, and what it costs to fetch them.

use pvqspin::Point;
use pvqspin_abi::Cpu;

use crate::shared::Shared;

impl Shared {
    /// The atomic that the running vCPU makes next waits for the lock's word.
    pub(crate) fn fetch_word(&self) {
        let (me, here) = (self.me(), self.pcpu.get());
        let vm = &self.vms[me.vm];
        if !self.costs.line.word_travels || !vm.locks {
            return;
        }
        let from = vm.word_at.replace(here);
        if from != here {
            self.pass_time(self.transfer(from, here).into());
        }
    }

    /// The running vCPU reads a line that another one of its VM has written.
    pub(crate) fn fetch_from(&self, writer: Cpu) {
        let (me, here) = (self.me(), self.pcpu.get());
        // The vCPUs of a VM stand in a row, in the order of their numbers.
        let first = self.current.get() - me.cpu.index();
        let from = self.guests[first + writer.index()].ran_at.get();
        self.pass_time(self.transfer(from, here).into());
    }

    /// What passing a point costs.
    pub(crate) fn cost_of(&self, point: Point) -> u32 {
        let (me, here) = (self.me(), self.pcpu.get());
        match point {
            Point::Joining => self.transfer(self.vms[me.vm].word_at.get(), here),
            Point::Linked => self.transfer(me.predecessor_at.get(), here),
            Point::Joined | Point::Taken => self.costs.atomic_ns,
            Point::Halting | Point::Released | Point::Fallback => 0,
        }
    }

    /// Notes which lines the running vCPU has touched at a point, and what it polls from here on.
    pub(crate) fn note_lines(&self, point: Point) {
        let (me, here) = (self.me(), self.pcpu.get());
        let vm = &self.vms[me.vm];
        match point {
            Point::Joined => {
                me.predecessor_at.set(vm.joined_at.replace(here));
                me.polls_word.set(true);
            }
            Point::Linked | Point::Taken => me.polls_word.set(false),
            Point::Joining | Point::Halting | Point::Released | Point::Fallback => {}
        }
        if !matches!(point, Point::Linked | Point::Halting) {
            vm.word_at.set(here);
        }
    }

    /// Which pCPU has touched the word of a vCPU's lock last.
    pub(crate) fn word_of(&self, vcpu: usize) -> usize {
        self.vms[self.guests[vcpu].vm].word_at.get()
    }

    /// How long a spinner needs to see what a pCPU wrote.
    ///
    /// On a word that others poll, too, the next owner's atomic waits for the line among them.
    pub(crate) fn sight(&self, vcpu: usize, writer: usize, here: usize) -> u64 {
        let guest = &self.guests[vcpu];
        let others = if guest.polls_word.get() {
            self.vms[guest.vm].pollers.get().saturating_sub(1)
        } else {
            0
        };
        let each_ns = self.costs.line.each_poller_ns;
        let mut ns =
            u64::from(self.transfer(writer, here)) + u64::from(each_ns) * u64::from(others);
        if others > 0 && each_ns > 0 {
            // Who of them comes first is a matter of chance. By number it would always be the same.
            ns += u64::from(self.draw(each_ns));
        }
        ns
    }

    /// The guest of a pCPU polled the word of one VM, and polls that of another now, or of none.
    pub(crate) fn poller_moves(&self, from: Option<usize>, to: Option<usize>) {
        if from == to {
            return;
        }
        if let Some(vm) = from {
            self.vms[vm].pollers.update(|count| count - 1);
        }
        if let Some(vm) = to {
            self.vms[vm].pollers.update(|count| count + 1);
        }
    }

    fn transfer(&self, from: usize, to: usize) -> u32 {
        self.costs.line.transfer(self.topology.as_ref(), from, to)
    }
}
