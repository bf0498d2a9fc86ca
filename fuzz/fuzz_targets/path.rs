//! libFuzzer's way into [`cognigate_fuzz::path`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cognigate_fuzz::path::check(data));
