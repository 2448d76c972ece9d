//! KVM's own counters: the binary statistics of a vCPU's file (`KVM_GET_STATS_FD`, Linux 5.14).
//!
//! ```text
//!   header │ id │ descriptors, each with its name │ data
//!     └── says where the others begin, and how long a name is
//! ```
//!
//! The file is the kernel's, and yet every offset in it is checked: a kernel that changes the
//! format gives no counts, and no panic.

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use kvm_bindings::KVMIO;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);

/// What is reported: KVM's name, and ours.
pub(crate) const COUNTERS: [(&str, &str); 4] = [
    ("exits", "kvm_exits"),
    ("halt_exits", "kvm_halt_exits"),
    ("directed_yield_attempted", "kvm_directed_yield_attempted"),
    ("directed_yield_successful", "kvm_directed_yield_successful"),
];

/// More than this is no statistics file.
const MOST_BYTES: usize = 1 << 20;

/// The counters of a vCPU since it was made, in the order of [`COUNTERS`]; `None` if this KVM does
/// not tell.
pub(crate) fn read(vcpu: &VcpuFd) -> Option<[u64; COUNTERS.len()]> {
    // SAFETY: no memory is passed.
    let fd = unsafe { ioctl(vcpu, KVM_GET_STATS_FD()) };
    if fd < 0 {
        return None;
    }
    // SAFETY: KVM has just made this file for us alone.
    let file = unsafe { File::from_raw_fd(fd) };
    let mut bytes = vec![0; 64 << 10];
    let mut length = 0;
    // The file is short; a read may be shorter still.
    while let Ok(more @ 1..) = file.read_at(&mut bytes[length..], length as u64) {
        length += more;
        if length == bytes.len() {
            if length >= MOST_BYTES {
                return None;
            }
            bytes.resize(2 * length, 0);
        }
    }
    let counters = parse(&bytes[..length]);
    Some(COUNTERS.map(|(name, _)| {
        let found = counters.iter().find(|(counter, _)| counter == name);
        found.map_or(0, |&(_, value)| value)
    }))
}

/// Every single-valued counter in a statistics file, as far as it makes sense.
fn parse(bytes: &[u8]) -> Vec<(String, u64)> {
    const DESCRIPTOR_BYTES: usize = 16;
    let word = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let header = [4, 8, 16, 20].map(word);
    let [Some(name_bytes), Some(count), Some(descriptors), Some(data)] = header else {
        return Vec::new();
    };
    let counter = |index: usize| -> Option<(String, u64)> {
        let length = DESCRIPTOR_BYTES.checked_add(name_bytes)?;
        let at = descriptors.checked_add(index.checked_mul(length)?)?;
        let offset = word(at.checked_add(8)?)?;
        let name_at = at.checked_add(DESCRIPTOR_BYTES)?;
        let name = bytes.get(name_at..name_at.checked_add(name_bytes)?)?;
        let name = name.split(|&byte| byte == 0).next()?;
        let value_at = data.checked_add(offset)?;
        let value = bytes.get(value_at..value_at.checked_add(8)?)?;
        Some((
            String::from_utf8_lossy(name).into_owned(),
            u64::from_le_bytes(value.try_into().ok()?),
        ))
    };
    // No more descriptors than bytes, whatever the header says.
    let count = count.min(bytes.len() / DESCRIPTOR_BYTES);
    (0..count).map_while(counter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(counters: &[(&str, u64)]) -> Vec<u8> {
        let name_bytes = 16;
        let descriptors = 24 + 8;
        let data = descriptors + counters.len() * (16 + name_bytes);
        let words = [0, name_bytes, counters.len(), 24, descriptors, data];
        let mut bytes: Vec<u8> = words
            .iter()
            .flat_map(|&w| (w as u32).to_le_bytes())
            .collect();
        bytes.extend([b'x'; 8]);
        for (index, (name, _)) in counters.iter().enumerate() {
            bytes.extend([0; 8]);
            bytes.extend((8 * index as u32).to_le_bytes());
            bytes.extend([0; 4]);
            let mut padded = [0; 16];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(padded);
        }
        bytes.extend(counters.iter().flat_map(|(_, value)| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn counters_are_found_by_name() {
        let bytes = file(&[("exits", 7), ("halt_exits", 1 << 40)]);
        let expected = [("exits".to_owned(), 7), ("halt_exits".to_owned(), 1 << 40)];
        assert_eq!(parse(&bytes), expected);
        assert_eq!(
            parse(&bytes[..bytes.len() - 1]).len(),
            1,
            "the last one is cut off"
        );
    }

    proptest! {
        #[test]
        fn no_file_is_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
        }

        #[test]
        fn no_header_is_a_panic(words in prop::array::uniform6(any::<u32>())) {
            let mut bytes = file(&[("exits", 7)]);
            for (at, word) in words.iter().enumerate() {
                bytes[4 * at..][..4].copy_from_slice(&word.to_le_bytes());
            }
            parse(&bytes);
        }
    }
}
