//! What is counted outside of the guests' own records, for each VM.

use core::ops::Range;

use pvqspin::Event;
use pvqspin_host::VcpuId;
use pvqspin_load::{Hypercalls, Outcome};

use crate::machine::Machine;

/// Counts of some vCPUs.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    halts: u64,
    kicks: u64,
    yields: [u64; 4],
    wasted_ns: u64,
    events: [u64; Event::ALL.len()],
    /// Chains that the host followed, their hops, and the longest of the whole run.
    chains: [u64; 3],
}

impl Counts {
    /// The counts of these vCPUs so far.
    pub(crate) fn read(machine: &Machine<'_>, vcpus: Range<usize>) -> Self {
        let mut counts = Self {
            chains: machine.chains(vcpus.clone()),
            ..Self::default()
        };
        let guests = &machine.shared.guests[vcpus.clone()];
        for (vcpu, guest) in machine.vcpus[vcpus].iter().zip(guests) {
            let nodes = guest.memory.nodes(guest.cpu);
            counts.add(&Self {
                halts: vcpu.calls.halts,
                kicks: vcpu.calls.kicks,
                yields: vcpu.calls.yields,
                wasted_ns: guest.wasted_ns.get(),
                events: Event::ALL.map(|event| nodes.events(event)),
                chains: [0; 3],
            });
        }
        counts
    }

    /// Adds those of others. Of what is a maximum, the larger one stays.
    pub(crate) fn add(&mut self, others: &Self) {
        self.halts += others.halts;
        self.kicks += others.kicks;
        self.wasted_ns += others.wasted_ns;
        self.chains[0] += others.chains[0];
        self.chains[1] += others.chains[1];
        self.chains[2] = others.chains[2].max(self.chains[2]);
        for (mine, theirs) in self.yields.iter_mut().zip(others.yields) {
            *mine += theirs;
        }
        for ((mine, theirs), event) in self.events.iter_mut().zip(others.events).zip(Event::ALL) {
            if event.is_sum() {
                *mine += theirs;
            } else {
                *mine = theirs.max(*mine);
            }
        }
    }

    /// What came to be since `before`. Maxima are those of the whole run.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        self.halts -= before.halts;
        self.kicks -= before.kicks;
        self.wasted_ns -= before.wasted_ns;
        self.chains[0] -= before.chains[0];
        self.chains[1] -= before.chains[1];
        for (now, before) in self.yields.iter_mut().zip(before.yields) {
            *now -= before;
        }
        for ((now, before), event) in self.events.iter_mut().zip(before.events).zip(Event::ALL) {
            if event.is_sum() {
                *now -= before;
            }
        }
        self
    }

    /// Writes them into a summary.
    pub(crate) fn put_into(&self, outcome: Outcome) -> Outcome {
        let of_lock = Event::ALL.map(Event::name).into_iter().zip(self.events);
        let of_host = ["chains", "chain_hops", "longest_chain"].into_iter();
        let events = of_lock
            .chain(of_host.zip(self.chains))
            .filter(|&(_, count)| count > 0);
        Outcome {
            hypercalls: Hypercalls {
                halt: self.halts,
                kick: self.kicks,
                yield_to: self.yields.iter().sum(),
            },
            yields: self.yields.into(),
            events: events.collect(),
            wasted_ns: self.wasted_ns,
            // A halt that lasts too long is an error, not a count.
            halt_timeouts: 0,
            ..outcome
        }
    }
}

impl Machine<'_> {
    /// What the host counted of chains for some vCPUs: how many it followed, their hops, and the
    /// longest.
    fn chains(&self, vcpus: core::ops::Range<usize>) -> [u64; 3] {
        let mut sums = [0; 3];
        for index in vcpus {
            let stats = self.host.stats(VcpuId::new(index as u32));
            sums[0] += stats.chains;
            sums[1] += stats.chain_hops;
            sums[2] = stats.longest_chain.max(sums[2]);
        }
        sums
    }
}
