//! Stock zlib under the name of zlib-ng.
//!
//! Pingora asks flate2 for `zlib-ng`, whose build script needs cmake. This crate takes its place through
//! `[patch.crates-io]`, so that gcc and cargo are enough. Only the speed of gzip differs, and the proxy compresses nothing.

pub use libz_sys::*;
