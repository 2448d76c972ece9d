//! A holder that lost its pCPU, a lock that waited for a sleeper: the events that cost most.
//!
//! ```text
//!   holder    holds ██████··········█████            off ─ on: no vCPU can get the lock
//!   waiter    waits ░░░░····························█████
//!                        free, and it is this one's turn: off ─ on
//! ```

use crate::scene::{Doing, Place, Scene, Span, Why};

/// A free lock that waits for less than this waits for no certain vCPU, in nanoseconds.
const SHORTEST_GAP_NS: u64 = 5_000;

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The holder was off its pCPU, and others waited.
    Holder,
    /// The lock was free, others waited too, and the next holder was off its pCPU.
    Waiter,
}

/// One such event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Episode {
    /// What went wrong.
    pub trouble: Trouble,
    /// The vCPU that all others waited for, by number on the host.
    pub vcpu: u32,
    /// Since when it had the lock, or waited for it.
    pub began_ns: u64,
    /// When it lost its pCPU, or the lock became free for it.
    pub off_ns: u64,
    /// When it was back on a pCPU.
    pub on_ns: u64,
    /// When it had released the lock, or taken it.
    pub ended_ns: u64,
    /// Why it was off.
    pub place: Place,
    /// The most of its VM's other vCPUs that waited meanwhile.
    pub waiters: usize,
}

impl Episode {
    /// For how long no vCPU could get the lock because of it, in nanoseconds.
    #[must_use]
    pub const fn cost_ns(&self) -> u64 {
        match self.trouble {
            Trouble::Holder => self.on_ns - self.off_ns,
            Trouble::Waiter => self.ended_ns - self.off_ns,
        }
    }
}

impl Scene {
    /// Every episode, in the order in which they ended.
    ///
    /// A lock that waits for a sleeper is recognised where a VM has one lock only.
    #[must_use]
    pub fn episodes(&self) -> Vec<Episode> {
        self.episodes_from(SHORTEST_GAP_NS)
    }

    /// The same, with free locks that waited for at least so many nanoseconds.
    #[must_use]
    pub fn episodes_from(&self, shortest_gap_ns: u64) -> Vec<Episode> {
        let mut episodes: Vec<Episode> = (0..self.lanes.len() as u32)
            .flat_map(|vcpu| self.holder_episodes(vcpu))
            .collect();
        if self.locks <= self.waiting.len() {
            for vm in 0..self.waiting.len() as u32 {
                episodes.extend(self.waiter_episodes(vm, shortest_gap_ns));
            }
        }
        episodes.sort_by_key(|episode| (episode.on_ns, episode.off_ns));
        episodes
    }

    fn holder_episodes(&self, vcpu: u32) -> impl Iterator<Item = Episode> {
        let spans = &self.lanes[vcpu as usize].spans;
        let off = |span: &Span| span.doing == Doing::Holds && span.place.is_off();
        let starts = (1..spans.len()).filter(move |&at| off(&spans[at]) && !off(&spans[at - 1]));
        starts.filter_map(move |first| {
            let back = (first..spans.len()).find(|&at| !off(&spans[at]))?;
            let holds = |span: &&Span| span.doing == Doing::Holds;
            let began = spans[..first].iter().rev().take_while(holds).last();
            let ended = spans[back..].iter().take_while(holds).last();
            let (off_ns, on_ns) = (spans[first].from_ns, spans[back].from_ns);
            let waiters = self.waiters(vcpu, off_ns, on_ns);
            (waiters > 0).then(|| Episode {
                trouble: Trouble::Holder,
                vcpu,
                began_ns: began.map_or(off_ns, |span| span.from_ns),
                off_ns,
                on_ns,
                ended_ns: ended.map_or(on_ns, |span| span.to_ns),
                place: spans[first].place,
                waiters,
            })
        })
    }

    fn waiter_episodes(&self, vm: u32, shortest_gap_ns: u64) -> Vec<Episode> {
        // Everything that begins or ends a hold, in order.
        let mut changes: Vec<(u64, bool, u32)> = Vec::new();
        for (vcpu, lane) in self.lanes_of(vm) {
            let mut held = false;
            for span in &lane.spans {
                let holds = span.doing == Doing::Holds;
                if holds != held {
                    changes.push((span.from_ns, holds, vcpu));
                    held = holds;
                }
            }
        }
        changes.sort_unstable();
        let mut holders = 0_usize;
        let mut free_since = None;
        let mut episodes = Vec::new();
        for (at, holds, vcpu) in changes {
            if !holds {
                holders = holders.saturating_sub(1);
                free_since = (holders == 0).then_some(at);
                continue;
            }
            holders += 1;
            let Some(free) = free_since.take() else {
                continue;
            };
            if at - free >= shortest_gap_ns {
                episodes.extend(self.waiter_episode(vcpu, free, at));
            }
        }
        episodes
    }

    /// The lock was free from one time to another, when this vCPU took it.
    fn waiter_episode(&self, vcpu: u32, free_ns: u64, taken_ns: u64) -> Option<Episode> {
        let lane = &self.lanes[vcpu as usize];
        let meanwhile: Vec<&Span> = lane.between(free_ns, taken_ns).collect();
        let waited = meanwhile.iter().all(|span| span.doing == Doing::Waits);
        let off = meanwhile.iter().find(|span| span.place.is_off())?;
        let back = meanwhile.iter().rev().find(|span| span.place.is_off())?;
        let waiters = self.waiters(vcpu, free_ns, taken_ns);
        let joined = (lane.spans.iter().rev())
            .skip_while(|span| span.from_ns >= taken_ns)
            .take_while(|span| span.doing == Doing::Waits)
            .last();
        (waited && waiters > 0).then(|| Episode {
            trouble: Trouble::Waiter,
            vcpu,
            began_ns: joined.map_or(free_ns, |span| span.from_ns),
            off_ns: off.from_ns.max(free_ns),
            on_ns: back.to_ns.min(taken_ns),
            ended_ns: taken_ns,
            place: off.place,
            waiters,
        })
    }

    /// The most others of its VM that waited at any time between.
    fn waiters(&self, vcpu: u32, from_ns: u64, to_ns: u64) -> usize {
        let vm = self.lanes[vcpu as usize].vm;
        (self.lanes_of(vm))
            .filter(|&(other, _)| other != vcpu)
            .filter(|(_, lane)| {
                (lane.between(from_ns, to_ns)).any(|span| span.doing == Doing::Waits)
            })
            .count()
    }
}

impl Why {
    /// In words that follow "is off its pCPU: ".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::New => "it has not run yet",
            Self::SliceEnd => "its slice is over",
            Self::Poked => "the host wants the pCPU for another vCPU",
            Self::Lent => "it has lent its pCPU",
            Self::Forced => "it was taken off on purpose",
            Self::Woken => "it was kicked, and waits for a pCPU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_preempted_holder_and_a_free_lock_that_waits_are_found() {
        let scene = samples::scene();
        let episodes = scene.episodes();
        let found: Vec<_> = (episodes.iter())
            .map(|episode| (episode.trouble, episode.vcpu, episode.off_ns, episode.on_ns))
            .collect();
        // cpu0 loses its pCPU at 4,000 while it holds, and is back at 20,000; cpu1 is off when
        // cpu0 releases at 22,000, and back at 40,000.
        assert_eq!(
            found,
            [
                (Trouble::Holder, 0, 4_000, 20_000),
                (Trouble::Waiter, 1, 22_000, 40_000)
            ]
        );
        assert_eq!(episodes[0].place, Place::Preempted(Why::SliceEnd));
        assert_eq!(
            (episodes[0].began_ns, episodes[0].ended_ns),
            (2_000, 22_000)
        );
        assert_eq!(
            (episodes[1].began_ns, episodes[1].ended_ns),
            (5_000, 41_000)
        );
        assert_eq!(episodes[0].waiters, 2);
        assert_eq!(episodes[0].cost_ns(), 16_000);
        assert_eq!(episodes[1].cost_ns(), 19_000, "until it has the lock");
    }
}
