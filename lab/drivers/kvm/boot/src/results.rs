//! What the guest says at the end: the account of its locks, or why it panicked.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use pvqspin_load::record::CLASSES;

/// How long a panic message may be; the rest is cut off.
const MESSAGE_BYTES: usize = 480;

/// The result area.
///
/// The guest writes it while it runs; the VMM reads it when no vCPU runs any more, and believes
/// none of it: see [`account`](Self::account) and [`message`](Self::message).
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Results {
    /// How many vCPUs have done their work. Guest only.
    pub finished: AtomicU32,
    classes: AtomicU32,
    entered: AtomicU64,
    class_sizes: [AtomicU64; CLASSES],
    message_bytes: AtomicU32,
    message: [AtomicU8; MESSAGE_BYTES],
}

impl Results {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            finished: AtomicU32::new(0),
            classes: AtomicU32::new(0),
            entered: AtomicU64::new(0),
            class_sizes: [const { AtomicU64::new(0) }; CLASSES],
            message_bytes: AtomicU32::new(0),
            message: [const { AtomicU8::new(0) }; MESSAGE_BYTES],
        }
    }

    /// Guest side: how often its locks were entered, and how many there are of each kind.
    pub fn set_account(&self, entered: u64, class_sizes: &[usize]) {
        self.entered.store(entered, Relaxed);
        for (place, &size) in self.class_sizes.iter().zip(class_sizes) {
            place.store(size as u64, Relaxed);
        }
        self.classes.store(class_sizes.len() as u32, Relaxed);
    }

    /// VMM side: how often the guest's locks were entered, and how many there are of each kind.
    /// `None` if there are more kinds than a workload can have, or a kind without locks.
    #[must_use]
    pub fn account(&self) -> Option<(u64, impl Iterator<Item = usize> + '_)> {
        let classes = usize::try_from(self.classes.load(Relaxed)).ok()?;
        let sizes = self.class_sizes.get(..classes)?;
        let size_of = |size: &AtomicU64| usize::try_from(size.load(Relaxed)).unwrap_or(0);
        (sizes.iter().all(|size| size_of(size) > 0))
            .then(|| (self.entered.load(Relaxed), sizes.iter().map(size_of)))
    }

    /// VMM side: the bytes of the panic message, whatever they are.
    pub fn message(&self) -> impl Iterator<Item = u8> + '_ {
        let length = self.message_bytes.load(Relaxed) as usize;
        let bytes = self.message.iter().take(length);
        bytes.map(|byte| byte.load(Relaxed))
    }

    /// Guest side: something that writes into the panic message.
    #[must_use]
    pub fn message_writer(&self) -> impl fmt::Write + '_ {
        MessageWriter(self)
    }
}

impl Default for Results {
    fn default() -> Self {
        Self::new()
    }
}

struct MessageWriter<'a>(&'a Results);

impl fmt::Write for MessageWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Results {
            message_bytes,
            message,
            ..
        } = self.0;
        let begin = (message_bytes.load(Relaxed) as usize).min(MESSAGE_BYTES);
        let space = &message[begin..];
        for (place, byte) in space.iter().zip(text.bytes()) {
            place.store(byte, Relaxed);
        }
        let end = begin + text.len().min(space.len());
        message_bytes.store(end as u32, Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::fmt::Write;
    use std::vec::Vec;

    #[test]
    fn an_account_comes_back_and_a_senseless_one_does_not() {
        let results = Results::new();
        results.set_account(17, &[1, 100]);
        let (entered, sizes) = results.account().expect("makes sense");
        assert_eq!((entered, sizes.collect::<Vec<_>>()), (17, [1, 100].into()));
        results.classes.store(CLASSES as u32 + 1, Relaxed);
        assert!(results.account().is_none(), "more kinds than there can be");
        results.set_account(17, &[1, 0]);
        assert!(results.account().is_none(), "a kind without locks");
    }

    #[test]
    fn a_message_is_cut_off_where_its_room_ends() {
        let results = Results::new();
        let mut writer = results.message_writer();
        for _ in 0..200 {
            write!(writer, "word ").expect("never fails");
        }
        let message: Vec<u8> = results.message().collect();
        assert_eq!(message.len(), MESSAGE_BYTES);
        assert!(message.starts_with(b"word word"));
        results.message_bytes.store(u32::MAX, Relaxed);
        assert_eq!(results.message().count(), MESSAGE_BYTES);
    }
}
