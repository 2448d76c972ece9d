//! What KVM counts itself: its binary statistics, as `Documentation/virt/kvm/api.rst` describes them
//! under `KVM_GET_STATS_FD`.
//!
//! ```text
//!   header        sizes and offsets of the rest
//!   descriptors   what is counted: name, how many 64-bit words, where in the data
//!   data          the words
//! ```

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::FileExt as _;

use kvm_bindings::KVMIO;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

// `kvm-ioctls` does not have it.
ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);

/// What is of interest: KVM's name, and ours.
const WANTED: [(&str, &str); 6] = [
    ("directed_yield_attempted", "kvm_directed_yield_attempted"),
    ("directed_yield_successful", "kvm_directed_yield_successful"),
    ("halt_exits", "kvm_halt_exits"),
    ("preemption_reported", "kvm_preemption_reported"),
    ("preemption_other", "kvm_preemption_other"),
    ("hypercalls", "kvm_hypercalls"),
];

const HEADER_BYTES: usize = 24;
/// A descriptor without its name.
const DESCRIPTOR_BYTES: usize = 16;
/// Far more than any KVM counts, and far longer than its names.
const MOST_DESCRIPTORS: usize = 1_000;
const LONGEST_NAME: usize = 256;

/// Counts of KVM, of all vCPUs together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KvmStats([u64; WANTED.len()]);

impl KvmStats {
    /// What came to be since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (now, before) in since.0.iter_mut().zip(before.0) {
            *now = now.wrapping_sub(before);
        }
        since
    }

    /// Those that are not 0, by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = WANTED.iter().map(|&(_, name)| name);
        names.zip(self.0).filter(|&(_, count)| count > 0)
    }
}

/// Where the counts of one vCPU are.
#[derive(Debug)]
pub(crate) struct StatsFile {
    file: File,
    /// Offsets in the file.
    offsets: [Option<u64>; WANTED.len()],
}

impl StatsFile {
    /// The statistics of a vCPU; `None` before Linux 5.14.
    pub(crate) fn open(vcpu: &VcpuFd) -> Option<Self> {
        // SAFETY: takes no argument; returns a file descriptor of its own, or -1.
        let fd = unsafe { ioctl(vcpu, KVM_GET_STATS_FD()) };
        if fd < 0 {
            return None;
        }
        // SAFETY: the descriptor is new, and owned by this function alone.
        let file = unsafe { File::from_raw_fd(fd) };
        let offsets = offsets(|bytes, at| file.read_exact_at(bytes, at)).ok()?;
        Some(Self { file, offsets })
    }

    /// Adds what is counted now.
    pub(crate) fn add_to(&self, stats: &mut KvmStats) {
        for (sum, place) in stats.0.iter_mut().zip(self.offsets) {
            let mut word = [0; 8];
            if let Some(at) = place
                && self.file.read_exact_at(&mut word, at).is_ok()
            {
                *sum = sum.wrapping_add(u64::from_ne_bytes(word));
            }
        }
    }
}

/// Finds what is wanted.
fn offsets(
    read_at: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<[Option<u64>; WANTED.len()]> {
    let mut header = [0; HEADER_BYTES];
    read_at(&mut header, 0)?;
    let word = |bytes: &[u8], at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[at..at + 4]);
        u32::from_ne_bytes(word)
    };
    let [name_bytes, count] = [4, 8].map(|at| word(&header, at) as usize);
    let [descriptors_at, data_at] = [16, 20].map(|at| u64::from(word(&header, at)));
    if count > MOST_DESCRIPTORS || name_bytes > LONGEST_NAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let each = DESCRIPTOR_BYTES + name_bytes;
    let mut descriptors = vec![0; each * count];
    read_at(&mut descriptors, descriptors_at)?;
    let mut offsets = [None; WANTED.len()];
    for descriptor in descriptors.chunks_exact(each) {
        let name = descriptor[DESCRIPTOR_BYTES..]
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        let wanted = WANTED
            .iter()
            .position(|(wanted, _)| wanted.as_bytes() == name);
        if let Some(index) = wanted {
            offsets[index] = Some(data_at + u64::from(word(descriptor, 8)));
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(names: &[(&str, u32)]) -> Vec<u8> {
        const NAME: usize = 48;
        let mut bytes = Vec::new();
        let descriptors_at = 100_u32;
        for word in [
            0,
            NAME as u32,
            names.len() as u32,
            24,
            descriptors_at,
            4_000,
        ] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.resize(descriptors_at as usize, 0);
        for (name, offset) in names {
            bytes.extend([0; 4]);
            bytes.extend(i16::to_ne_bytes(0));
            bytes.extend(u16::to_ne_bytes(1));
            bytes.extend(u32::to_ne_bytes(*offset));
            bytes.extend([0; 4]);
            let mut padded = [0; NAME];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(padded);
        }
        bytes
    }

    fn find(bytes: &[u8]) -> io::Result<[Option<u64>; WANTED.len()]> {
        offsets(|to, at| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let from = bytes
                .get(at..at.saturating_add(to.len()))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            to.copy_from_slice(from);
            Ok(())
        })
    }

    #[test]
    fn counts_are_found_by_their_whole_name() {
        let bytes = file(&[
            ("halt_exits_of_old", 8),
            ("directed_yield_successful", 24),
            ("halt_exits", 16),
        ]);
        let found = find(&bytes).unwrap();
        assert_eq!(found, [None, Some(4_024), Some(4_016), None, None, None]);
    }

    proptest! {
        #[test]
        fn no_file_is_a_panic(
            words in prop::array::uniform6(prop_oneof![0..200_u32, any::<u32>()]),
            rest in prop::collection::vec(any::<u8>(), 0..500),
        ) {
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.extend(rest);
            let _ = find(&bytes);
        }
    }

    #[test]
    fn a_header_that_makes_no_sense_is_refused() {
        let mut bytes = file(&[("halt_exits", 0)]);
        bytes[8..12].fill(0xff);
        assert!(find(&bytes).is_err());
        assert!(find(&bytes[..10]).is_err());
    }
}
