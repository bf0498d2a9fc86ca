//! What the tests of the whole proxy stand on: the proxy as a process of its own, and the world around it on loopback.
//!
//! - [`Edge`](edge::Edge) is all of it at once: a [`Pool`](pool::Pool) whose keys a [`KeyServer`](key_server::KeyServer)
//!   publishes, an [`Upstream`](upstream::Upstream) that records what reaches it, and the [`Proxy`](process::Proxy).
//! - A [`Client`](client::Client) is one connection: what it sends is what the proxy reads, to the byte.
//! - Every port is chosen by the kernel, every wait has a bound ([`wait`]), and every process ends with its test.
//!
//! Nothing here judges: what is right is for the tests to say.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in here fails the test that asked for it"
)]

pub mod authority;
pub mod client;
pub mod dns;
pub mod edge;
pub mod frame;
pub mod h2;
pub mod key_server;
pub mod load;
pub mod log_entry;
pub mod loopback;
pub mod message;
pub mod metrics;
pub mod pool;
pub mod process;
pub mod redis;
pub mod secure;
pub mod upstream;
pub mod wait;
