//! When each pCPU's next event is: the earliest comes first, ties by number.
//!
//! ```text
//!                    [1] 20                 each node: the earliest of its two children
//!            [2] 20          [3] 35
//!         [4] 50  [5] 20  [6] 35  [7] -     the leaves: one for each pCPU
//!         pcpu0   pcpu1   pcpu2
//! ```
//!
//! A change climbs only as far as it makes a difference, at most the logarithm of the pCPUs.

/// No event at all.
const NEVER: u64 = u64::MAX;

/// See the module.
pub(crate) struct Agenda {
    tree: Box<[u64]>,
    leaves: usize,
}

impl Agenda {
    /// So many pCPUs without events.
    pub(crate) fn new(pcpus: usize) -> Self {
        let leaves = pcpus.next_power_of_two();
        Self {
            tree: vec![NEVER; 2 * leaves].into(),
            leaves,
        }
    }

    /// The next event of a pCPU is then, or never.
    pub(crate) fn set(&mut self, p: usize, at: Option<u64>) {
        let mut node = self.leaves + p;
        let mut at = at.unwrap_or(NEVER);
        while self.tree[node] != at {
            self.tree[node] = at;
            if node == 1 {
                return;
            }
            at = at.min(self.tree[node ^ 1]);
            node /= 2;
        }
    }

    /// The earliest event, and whose it is.
    pub(crate) fn earliest(&self) -> Option<(u64, usize)> {
        let at = self.tree[1];
        if at == NEVER {
            return None;
        }
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            // The left child has the lower numbers.
            node += usize::from(self.tree[node] != at);
        }
        Some((at, node - self.leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;
    use rand_pcg::Pcg32;

    #[test]
    fn it_finds_what_a_search_finds() {
        for pcpus in [1, 2, 3, 7, 64, 65] {
            let mut random = Pcg32::new(1, pcpus);
            let pcpus = pcpus as usize;
            let mut agenda = Agenda::new(pcpus);
            let mut plain = vec![None; pcpus];
            assert_eq!(agenda.earliest(), None);
            for _ in 0..2_000 {
                let p = random.next_u32() as usize % pcpus;
                // Few different times, so that many are equal.
                let at = Some(u64::from(random.next_u32() % 8)).filter(|at| *at != 0);
                agenda.set(p, at);
                plain[p] = at;
                let first = (plain.iter().enumerate())
                    .filter_map(|(p, at)| at.map(|at| (at, p)))
                    .min();
                assert_eq!(agenda.earliest(), first);
            }
        }
    }
}
