//! Hot path: no lock, no I/O, no info log.
//!
//! Numbers for ids: those of requests, traces and spans. They tell things apart and are no secret, so they come from a keyed hash
//! of a counter: no lock, no system call, no global state.

use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

/// Numbers that no other process draws, as far as chance goes.
#[derive(Debug)]
pub struct Numbers {
    hasher: RandomState,
    drawn: AtomicU64,
}

impl Numbers {
    /// With a key of their own.
    #[must_use]
    pub fn new() -> Self {
        Self { hasher: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    /// The next 64 bits.
    pub fn draw(&self) -> u64 {
        self.hasher.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// The next 128 bits.
    pub fn draw_wide(&self) -> u128 {
        u128::from(self.draw()) << 64 | u128::from(self.draw())
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::new()
    }
}
