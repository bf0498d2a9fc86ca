//! Verifies Amazon Cognito tokens: tokens in, identities out.
//!
//! An [`Authorizer`] holds the user pools that are trusted, keeps their signing keys fresh in the background and decides,
//! for each request, whether the bearer of a token may use a route with a given [`Policy`]. It knows no proxy and no files,
//! so it serves under any Rust server.
//!
//! What it promises:
//!
//! - as strict as Cognito: RS256 and nothing else, every claim of one type, no leeway unless asked for
//! - a key server's bad day refuses nobody, and a request waits for one only if its token names a key that is not known
//!   yet: for 1 second at most, and within limits that strangers cannot stretch
//! - a token costs its signature check once; after that a look-up without a lock
//! - a token that is revoked is refused from that moment, whether it was seen before or not
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
pub mod revocation;
mod signature;
pub mod token;
mod verifier;
