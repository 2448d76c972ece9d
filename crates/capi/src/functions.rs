//! The functions of the header, once for each policy.

use core::fmt::{self, Write};
use core::mem::MaybeUninit;

use pvqspin::{QRwLock, QSpinLock};

use crate::env::InC;

/// Writes text into memory of the kernel's, as much of it as there is room for.
struct Text {
    to: *mut u8,
    room: usize,
    length: usize,
}

impl Text {
    /// # Safety
    ///
    /// At `to` are `size` bytes that may be written, for as long as this lives.
    unsafe fn new(to: *mut u8, size: usize) -> Self {
        Self {
            to,
            // One for the 0.
            room: size.saturating_sub(1),
            length: 0,
        }
    }

    fn put(&mut self, byte: u8) {
        if self.length < self.room {
            // SAFETY: below `room`, for which `new` was promised memory.
            unsafe { self.to.add(self.length).write(byte) };
        }
        self.length += 1;
    }

    /// # Safety
    ///
    /// `size` is what this was made with.
    unsafe fn end(self, size: usize) -> usize {
        if size > 0 {
            // SAFETY: at most `room`, which is one less than the size.
            unsafe { self.to.add(self.length.min(self.room)).write(0) };
        }
        self.length
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
        Ok(())
    }
}

fn report(text: &impl fmt::Display, to: *mut u8, size: usize) -> usize {
    // SAFETY: there are `size` bytes at `to`, which the header asks of the caller of both report functions.
    let mut out = unsafe { Text::new(to, size) };
    // It never fails: what has no room is counted.
    let _ = write!(out, "{text}");
    // SAFETY: the size is the same.
    unsafe { out.end(size) }
}

macro_rules! functions {
    ($module:ident, $policy:ty, $suffix:literal) => {
        #[doc = concat!("The functions with the suffix `", $suffix, "`.")]
        ///
        /// # Safety
        ///
        /// Of all of them: the lock is one of the header's (zero at first, touched by this library
        /// alone, and always with this suffix), the tokens are what taking it returned, and a release
        /// is on the CPU that took it.
        pub mod $module {
            use super::*;
            use pvqspin::{ReadToken, Token, WriteToken};

            type Lock = QSpinLock<InC, $policy>;
            type RwLock = QRwLock<InC, $policy>;

            // As in the header. (A Rust library may be built with `lockdep`.)
            #[cfg(pvqspin_staticlib)]
            const _: () = assert!(size_of::<Lock>() == 4 && size_of::<RwLock>() == 8);
            const _: () = assert!(align_of::<Lock>() >= 4 && align_of::<RwLock>() >= 4);

            /// Takes the lock.
            #[unsafe(export_name = concat!("pvq_lock_", $suffix))]
            pub extern "C" fn lock(lock: &Lock) -> u32 {
                lock.lock().into_raw()
            }

            /// Takes the lock if it is free and has no waiters.
            #[unsafe(export_name = concat!("pvq_try_lock_", $suffix))]
            pub extern "C" fn try_lock(lock: &Lock, token: &mut MaybeUninit<u32>) -> bool {
                lock.try_lock()
                    .map(|taken| token.write(taken.into_raw()))
                    .is_some()
            }

            /// Releases the lock.
            ///
            /// # Safety
            ///
            /// See the module.
            #[unsafe(export_name = concat!("pvq_unlock_", $suffix))]
            pub unsafe extern "C" fn unlock(lock: &Lock, token: u32) {
                // SAFETY: the caller holds the lock on this CPU, and the token is what taking it returned:
                // the header asks for both.
                unsafe { lock.unlock(Token::from_raw(token)) }
            }

            /// Writes who holds the lock and who waits.
            ///
            /// # Safety
            ///
            /// See the module; at `text` are `size` bytes.
            #[unsafe(export_name = concat!("pvq_report_", $suffix))]
            pub unsafe extern "C" fn report(lock: &Lock, text: *mut u8, size: usize) -> usize {
                super::report(&lock.report(), text, size)
            }

            /// Takes the lock to read.
            #[unsafe(export_name = concat!("pvq_read_lock_", $suffix))]
            pub extern "C" fn read_lock(lock: &RwLock) -> u32 {
                lock.read().into_raw()
            }

            /// Takes the lock to read if it has no writer and no waiter.
            #[unsafe(export_name = concat!("pvq_try_read_lock_", $suffix))]
            pub extern "C" fn try_read_lock(lock: &RwLock, token: &mut MaybeUninit<u32>) -> bool {
                lock.try_read()
                    .map(|taken| token.write(taken.into_raw()))
                    .is_some()
            }

            /// Takes the lock to read, past all that wait.
            #[unsafe(export_name = concat!("pvq_read_lock_nested_", $suffix))]
            pub extern "C" fn read_lock_nested(lock: &RwLock) -> u32 {
                lock.read_nested().into_raw()
            }

            /// Ends a read section.
            ///
            /// # Safety
            ///
            /// See the module.
            #[unsafe(export_name = concat!("pvq_read_unlock_", $suffix))]
            pub unsafe extern "C" fn read_unlock(lock: &RwLock, token: u32) {
                // SAFETY: the caller reads on this CPU, and the token is what taking the lock returned.
                unsafe { lock.unlock_read(ReadToken::from_raw(token)) }
            }

            /// Takes the lock to write.
            #[unsafe(export_name = concat!("pvq_write_lock_", $suffix))]
            pub extern "C" fn write_lock(lock: &RwLock) -> u64 {
                lock.write().into_raw()
            }

            /// Takes the lock to write if it is free and has no waiters.
            #[unsafe(export_name = concat!("pvq_try_write_lock_", $suffix))]
            pub extern "C" fn try_write_lock(lock: &RwLock, token: &mut MaybeUninit<u64>) -> bool {
                lock.try_write()
                    .map(|taken| token.write(taken.into_raw()))
                    .is_some()
            }

            /// Ends a write section.
            ///
            /// # Safety
            ///
            /// See the module.
            #[unsafe(export_name = concat!("pvq_write_unlock_", $suffix))]
            pub unsafe extern "C" fn write_unlock(lock: &RwLock, token: u64) {
                // SAFETY: the caller writes on this CPU, and the token is what taking the lock returned.
                unsafe { lock.unlock_write(WriteToken::from_raw(token)) }
            }
        }
    };
}

functions!(native, pvqspin::Native, "native");
functions!(fifo, pvqspin::Fifo, "fifo");
functions!(bounded, pvqspin::Bounded, "bounded");
