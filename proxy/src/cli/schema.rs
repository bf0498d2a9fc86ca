//! `cognigate schema`: the JSON Schema of the configuration, for editors.

use std::io::Write;

use super::EXIT_FAILURE;
use crate::config::SCHEMA;

/// Writes the schema to `out`. Returns the exit status: not 0 if it cannot be written.
#[must_use]
pub fn run(out: &mut dyn Write) -> u8 {
    let written = out.write_all(SCHEMA.as_bytes()).and_then(|()| out.flush());
    if written.is_ok() { 0 } else { EXIT_FAILURE }
}
