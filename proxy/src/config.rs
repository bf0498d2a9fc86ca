//! The configuration: YAML as written, then usable.
//!
//! ```text
//! FILE ─▶ load ─▶ yaml (what of YAML is allowed) ─▶ file (as written) ─▶ convert (the rules) ─▶ model (usable)
//! ```
//!
//! - Nothing is guessed: an unknown key, a key that appears twice, a key without a value, a wrong type, a name that nothing
//!   answers to, each is an error that says what was found and what is allowed.
//! - The parser stops at the first thing that it cannot read and says where. The rules report everything at once.
//! - A [`Config`] proves that its file was checked: what takes one checks nothing again.
//!
//! Names nothing of the proxy but itself, opens no socket and resolves no name.

mod convert;
pub mod error;
mod file;
mod finding;
mod load;
pub mod model;
pub mod origin;
pub mod pattern;
pub mod rule;
pub mod spelling;
mod yaml;

#[cfg(test)]
mod tests;

pub use load::{MAX_FILE_BYTES, load, parse};
pub use model::Config;
