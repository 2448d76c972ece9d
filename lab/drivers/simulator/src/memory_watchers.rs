//! Who watches memory: for each VM, the pCPUs whose guests spin and have not seen what they wait
//! for. After something was written, only they have to look.

/// A set of pCPUs for each VM.
pub(crate) struct Watchers {
    bits: Box<[u64]>,
    words: usize,
    /// In which VM's set each pCPU is.
    of_pcpu: Box<[Option<usize>]>,
}

impl Watchers {
    /// No pCPU watches.
    pub(crate) fn new(vms: usize, pcpus: usize) -> Self {
        let words = pcpus.div_ceil(64);
        Self {
            bits: vec![0; vms * words].into(),
            words,
            of_pcpu: vec![None; pcpus].into(),
        }
    }

    /// The guest of a pCPU watches the memory of this VM, its own, or nothing.
    pub(crate) fn set(&mut self, p: usize, vm: Option<usize>) {
        let before = core::mem::replace(&mut self.of_pcpu[p], vm);
        if before == vm {
            return;
        }
        for vm in [before, vm].into_iter().flatten() {
            self.bits[vm * self.words + p / 64] ^= 1 << (p % 64);
        }
    }

    /// The first pCPU from `from` on whose guest watches this VM's memory.
    pub(crate) fn next(&self, vm: usize, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while word < self.words {
            let bits = self.bits[vm * self.words + word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pcpu_is_in_one_set_at_most() {
        let mut watchers = Watchers::new(2, 200);
        let all = |watchers: &Watchers, vm| -> Vec<usize> {
            core::iter::successors(watchers.next(vm, 0), |p| watchers.next(vm, p + 1)).collect()
        };
        for p in [199, 0, 64, 63] {
            watchers.set(p, Some(1));
        }
        assert_eq!(all(&watchers, 1), [0, 63, 64, 199]);
        watchers.set(63, Some(0));
        watchers.set(64, None);
        watchers.set(64, None);
        watchers.set(0, Some(1));
        assert_eq!(
            (all(&watchers, 0), all(&watchers, 1)),
            (vec![63], vec![0, 199])
        );
    }
}
