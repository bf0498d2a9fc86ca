//! What is done with the bytes that a fuzzer thinks of: one module a target, each with a `check` that panics where something
//! does not hold that must.
//!
//! That nothing panics is the least of it. A target knows the rules a second time, written differently from the code under
//! test, and compares: what is accepted is what should be, and what should be is accepted.
//!
//! The same functions run under libFuzzer (`fuzz_targets/`, feature `libfuzzer`, nightly compiler) and over the corpus as a
//! test (`tests/replay.rs`, stable compiler).

pub mod config;
mod gate;
mod input;
pub mod jwks;
mod members;
pub mod path;
pub mod token;
