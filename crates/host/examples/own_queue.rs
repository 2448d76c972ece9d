//! The loan by itself: a hypervisor with a run queue of its own adopts [`pvqspin_host::loan`], and nothing else.
//!
//! The queue is a list in turns, fifty lines of it; a real one would be a kernel's. What it has to offer is
//! [`RunQueue`]; what it gets are directed yields that keep the contract: the target runs now, the caller pays,
//! and no vCPU owns two slices.
//!
//! ```sh
//! cargo run -p pvqspin-host --example own_queue
//! ```

use std::collections::VecDeque;

use pvqspin_host::loan::{self, Next, RunQueue, Slice, Terms, Waits, Why};

// excerpt: queue
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Asleep,
    Waiting,
    Running,
}

struct Vcpu {
    state: State,
    owns: Option<usize>,
    charged_ns: u64,
}

struct Scheduler {
    vcpus: Vec<Vcpu>,
    queue: VecDeque<usize>,
    /// What runs on each pCPU.
    slices: Vec<Option<Slice<usize>>>,
}

impl RunQueue for Scheduler {
    type Task = usize;

    fn slice(&mut self, pcpu: usize) -> &mut Option<Slice<usize>> {
        &mut self.slices[pcpu]
    }

    fn owns(&mut self, vcpu: usize) -> &mut Option<usize> {
        &mut self.vcpus[vcpu].owns
    }

    fn is_waiting(&self, vcpu: usize) -> bool {
        self.vcpus[vcpu].state == State::Waiting
    }

    fn waits(&mut self, vcpu: usize, how: Waits) {
        self.vcpus[vcpu].state = State::Waiting;
        match how {
            Waits::ForItsSlice => {}
            // Borrowed time costs no place.
            Waits::AfterLoan => self.queue.push_front(vcpu),
            _ => self.queue.push_back(vcpu),
        }
    }

    fn runs(&mut self, vcpu: usize) {
        self.queue.retain(|&queued| queued != vcpu);
        self.vcpus[vcpu].state = State::Running;
    }

    fn charge(&mut self, owner: usize, _current: usize, _ran_ns: u64, charged_ns: u64) {
        self.vcpus[owner].charged_ns += charged_ns;
    }
}
// end: queue

const TERMS: Terms = Terms {
    slice_ns: 3_000_000,
    min_loan_ns: 100_000,
    most_charged_ns: 12_000_000,
};

// excerpt: events
impl Scheduler {
    fn pick(&mut self, now: u64, pcpu: usize) {
        if let Some(&vcpu) = self.queue.front() {
            self.runs(vcpu);
            loan::begin(self, now, pcpu, vcpu, &TERMS);
        }
    }

    /// The timer of a pCPU.
    fn slice_over(&mut self, now: u64, pcpu: usize) {
        loan::end(self, now, pcpu, Some(Why::Over));
        self.pick(now, pcpu);
    }

    /// A directed yield. True: the target runs.
    fn yield_to(&mut self, now: u64, pcpu: usize, target: usize) -> bool {
        loan::lend(self, now, pcpu, target, true).is_some()
    }

    /// The vCPU on a pCPU halts.
    fn halt(&mut self, now: u64, pcpu: usize, vcpu: usize) {
        self.vcpus[vcpu].state = State::Asleep;
        if loan::leave(self, now, pcpu) == Next::Pick {
            self.pick(now, pcpu);
        }
    }

    /// A vCPU wakes. `Some(pcpu)`: interrupt that pCPU, which then calls `loan::take_back`.
    fn wake(&mut self, vcpu: usize) -> Option<usize> {
        loan::wake(self, vcpu)
    }
}
// end: events

fn main() {
    let vcpu = || Vcpu {
        state: State::Asleep,
        owns: None,
        charged_ns: 0,
    };
    let mut scheduler = Scheduler {
        vcpus: (0..3).map(|_| vcpu()).collect(),
        queue: VecDeque::new(),
        slices: vec![None],
    };
    for vcpu in 0..3 {
        assert_eq!(scheduler.wake(vcpu), None, "it is queued");
    }
    scheduler.pick(0, 0);
    // vCPU 0 holds a lock; its slice ends inside.
    scheduler.slice_over(3_000_000, 0);
    // vCPU 1 waits for it and lends its pCPU, although vCPU 2 is first in the queue.
    assert!(scheduler.yield_to(3_100_000, 0, 0));
    // vCPU 0 releases the lock, has nothing more to do, and vCPU 1 goes on where it was.
    scheduler.halt(3_150_000, 0, 0);
    let on = scheduler.slices[0].map(|slice| (slice.current(), slice.end()));
    assert_eq!(on, Some((1, 6_000_000)));
    scheduler.slice_over(6_000_000, 0);
    for (number, vcpu) in scheduler.vcpus.iter().enumerate() {
        println!("vCPU {number} was charged {} us", vcpu.charged_ns / 1_000);
    }
    assert_eq!(scheduler.vcpus[1].charged_ns, 3_000_000, "the lender paid");
}

#[test]
fn the_lender_pays_and_goes_on() {
    main();
}
