//! Addresses on loopback for programs of others that cannot be given port 0, or have to come back where they were.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU8, Ordering},
};

/// An address of 127.0.0.0/8 that nobody else listens on, on any port: another one for each of the first 250 calls in a
/// process, and others in other processes.
pub fn address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = (std::process::id() & 0xffff).to_be_bytes();
    // Never 127.0.0.x, where everybody else is.
    Ipv4Addr::new(127, high.saturating_add(1), low, 2 + COUNT.fetch_add(1, Ordering::Relaxed) % 250)
}
