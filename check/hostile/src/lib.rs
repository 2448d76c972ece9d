//! Arbitrary bytes against everything that reads what others write.
//!
//! Each function takes bytes, makes what they say happen, and panics if a promise is broken. The
//! fuzz targets in `fuzz/` call them with what a fuzzer comes up with, and the property tests beside
//! this crate with random bytes and with texts that are nearly right: the same bodies, so that a
//! finding of either is a test of both.
//!
//! | function | what reads the bytes | what is promised |
//! | --- | --- | --- |
//! | [`host_events`] | `pvqspin-host`, as calls and pages of a hostile guest | see the module |
//! | [`lock_word`] | the lock word, the registers of calls, the samples in pages | nothing panics, what is written is read |
//! | [`grid_text`], [`profile_text`] | TOML of `pvq sweep` and of machine profiles | nothing panics, errors say where |
//! | [`results_text`] | JSON of results | nothing panics, what is read is written again |
//! | [`page_text`] | any file of results, up to its page and pictures | nothing panics, what is read can be drawn |
//! | [`journals_text`] | the files of a sweep's shards, up to the merged rows | nothing panics, nor takes memory or time by what a file claims |
//! | [`vmm_exits`] | the VMM of `pvqspin-kvm`, as a guest's exits | nothing panics, what is no call ends the guest with a sentence |
//! | [`vmm_results`] | the same, as the memory that a guest leaves | nothing panics, it is results or an error |
//!
//! The last two are there where the VMM is: on Linux on x86-64.

#![doc(test(attr(deny(warnings))))]

mod bytes;
mod host_events;
mod lock_word;
mod texts;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod vmm;

pub use host_events::host_events;
pub use lock_word::lock_word;
pub use texts::{grid_text, journals_text, page_text, profile_text, results_text};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use vmm::{vmm_exits, vmm_results};
