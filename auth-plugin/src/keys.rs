//! The signing keys of an issuer: a JWKS document becomes keys, swapped whole, refreshed off the request path.

pub mod archive;
pub(crate) mod demand;
pub mod fetch;
pub(crate) mod issuer;
pub mod jwk;
pub mod key_set;
pub mod refresh;
mod schedule;
pub(crate) mod source;
pub mod store;
