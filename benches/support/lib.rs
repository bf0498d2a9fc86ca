//! What the benchmarks stand on: the same tokens, routes and requests in all of them, none of which is random.

pub mod gate;
pub mod jwks_document;
#[path = "../../tests/support/log_entry.rs"]
pub mod log_entry;
pub mod routes;
pub mod signature;
pub mod weak_key;
