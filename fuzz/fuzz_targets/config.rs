//! libFuzzer's way into [`cognigate_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cognigate_fuzz::config::check(data));
