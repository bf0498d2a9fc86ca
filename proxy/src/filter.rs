//! What happens to a request before it goes to an upstream: one rule a file, in the order of the request path.

pub mod auth;
pub mod cors;
pub mod failed_auth;
pub mod forwarded;
mod hex;
pub mod hygiene;
pub mod identity;
pub mod limits;
pub mod number;
pub mod outgoing;
pub mod rate;
pub mod request_id;
pub mod rewrite;
pub mod trace_context;
pub mod websocket;
