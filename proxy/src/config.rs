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
//! - A path that is relative begins in the folder of the file that names it, wherever the process was started. What is in the
//!   [`Files`] that a configuration names is read and checked along with it.
//!
//! Names nothing of the proxy but itself, opens no socket and resolves no name.

pub mod collector;
mod convert;
pub mod dns;
pub mod error;
mod file;
pub mod files;
mod finding;
mod host_port;
mod load;
pub mod model;
pub mod origin;
pub mod pattern;
pub mod redis;
pub mod revocations;
pub mod rule;
pub mod secret;
pub mod spelling;
mod yaml;

#[cfg(test)]
mod tests;

/// The JSON Schema of a file, for editors. What is not of its shape is refused by [`load`], which also knows what a schema
/// cannot say.
pub const SCHEMA: &str = include_str!("config/schema.json");

pub use files::Files;
pub use load::{Loaded, MAX_FILE_BYTES, load, parse};
pub use model::Config;
