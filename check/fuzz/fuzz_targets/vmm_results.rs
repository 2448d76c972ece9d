//! `pvqspin_hostile::vmm_results` on what libFuzzer comes up with.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pvqspin_hostile::vmm_results(input));
