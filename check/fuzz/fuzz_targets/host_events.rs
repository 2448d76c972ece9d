//! `pvqspin_hostile::host_events` on what libFuzzer comes up with.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pvqspin_hostile::host_events(input));
