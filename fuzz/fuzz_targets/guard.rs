#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scrip::fuzzing::guard(data));
