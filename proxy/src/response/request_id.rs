//! Ids for responses, in the form of a random UUID (RFC 9562 section 5.4).
//!
//! They tell responses apart and are no secret, so they come from a keyed hash of a counter: no lock, no system call, no
//! global state.

use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

/// Draws ids.
#[derive(Debug)]
pub(super) struct RequestIds {
    hasher: RandomState,
    drawn: AtomicU64,
}

impl RequestIds {
    /// Ids that no other process draws, as far as chance goes.
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    /// An id that was not drawn before.
    pub(super) fn draw(&self) -> String {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        let [high, low] = [0_u8, 1].map(|half| self.hasher.hash_one((number, half)));
        // Version 4, variant 10.
        let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_id_is_a_random_uuid_of_its_own() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids: HashSet<_> = (0..10_000).flat_map(|_| [one.draw(), other.draw()]).collect();
        assert_eq!(ids.len(), 20_000);
        for id in &ids {
            let parts: Vec<_> = id.split('-').collect();
            let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(parts.concat().bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{id}");
            assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
        }
        // Every other digit takes every value.
        let digits: HashSet<_> = ids.iter().flat_map(|id| id.char_indices()).collect();
        assert_eq!(digits.len(), 30 * 16 + 4 + 1 + 4);
    }
}
