//! Verifies Amazon Cognito tokens: tokens in, identities out.
//!
//! An [`Authorizer`] holds the user pools that are trusted, keeps their signing keys fresh in the background and decides,
//! for each request, whether the bearer of a token may use a route with a given [`Policy`]. It knows no proxy and no files,
//! so it serves under any Rust server.
//!
//! What it promises:
//!
//! - as strict as Cognito: RS256 and nothing else, every claim of one type, no leeway unless asked for
//! - a request never waits for the network, and a key server's bad day refuses nobody
//! - a token costs its signature check once; after that a look-up without a lock
//! - what cannot be decided is refused as [`Rejection::KeysUnavailable`], never let through
//! - the bytes of a token reach neither a log, an error nor a `Debug` text
//!
//! [`Authorizer`]: authorizer::Authorizer
//! [`Policy`]: policy::Policy
//! [`Rejection::KeysUnavailable`]: rejection::Rejection::KeysUnavailable

pub mod authorizer;
pub mod cache;
mod claims;
pub mod clock;
pub mod explanation;
mod header;
pub mod identity;
mod json;
pub mod keys;
#[cfg(any(test, feature = "local-pool"))]
pub mod local_pool;
pub mod metrics;
pub mod policy;
pub mod pool;
pub mod rejection;
mod signature;
pub mod token;
mod verifier;
