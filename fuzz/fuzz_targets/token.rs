//! libFuzzer's way into [`cognigate_fuzz::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cognigate_fuzz::token::check(data));
