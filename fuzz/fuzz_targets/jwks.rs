//! libFuzzer's way into [`cognigate_fuzz::jwks`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cognigate_fuzz::jwks::check(data));
