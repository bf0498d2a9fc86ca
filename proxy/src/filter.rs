//! What happens to a request before it goes to an upstream: one rule a file, in the order of the request path.

pub mod auth;
pub mod cors;
pub mod forwarded;
pub mod hygiene;
pub mod identity;
pub mod limits;
pub mod outgoing;
pub mod request_id;
pub mod rewrite;
pub mod websocket;
