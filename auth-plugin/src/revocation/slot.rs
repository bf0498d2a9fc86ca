//! Hot path: no lock, no I/O, no info log.
//!
//! The place of one shard, with a filter that spares most readers the look at it.
//!
//! The filter (Bloom's, with two bits of one word for an entry) has the bits of all entries of the shard and, while that is
//! replaced, of the next one too. A reader that misses a bit knows that there is no entry; one that finds both looks at the
//! shard. In a full list some 5 % of the questions about others find both.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::{ArcSwapOption, Guard};

use super::shard::Shard;

/// The words of a filter: 8 bits for each entry of a full list.
const WORDS: usize = 32;

/// A shard, or none where there are no entries.
#[derive(Default)]
pub(super) struct Slot {
    filter: [AtomicU64; WORDS],
    shard: ArcSwapOption<Shard>,
}

impl Slot {
    /// Whether an entry may lie there, as a fraction of 2^32 of the shard's range of hashes. If not, there is none.
    pub(super) fn may_hold(&self, within: u32) -> bool {
        let (word, bits) = bits_of(within);
        self.filter.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bits == bits)
    }

    pub(super) fn load(&self) -> Guard<Option<Arc<Shard>>> {
        self.shard.load()
    }

    pub(super) fn load_full(&self) -> Option<Arc<Shard>> {
        self.shard.load_full()
    }

    /// Puts entries that lie at these places in the place of what it holds. Writers take turns.
    pub(super) fn swap(&self, fresh: Option<Shard>, places: impl Iterator<Item = u32>) -> Option<Arc<Shard>> {
        let mut filter = [0; WORDS];
        for (word, bits) in places.map(bits_of) {
            if let Some(word) = filter.get_mut(word) {
                *word |= bits;
            }
        }
        for (word, bits) in self.filter.iter().zip(filter) {
            word.fetch_or(bits, Ordering::Relaxed);
        }
        let old = self.shard.swap(fresh.map(Arc::new));
        for (word, bits) in self.filter.iter().zip(filter) {
            word.store(bits, Ordering::Relaxed);
        }
        old
    }
}

/// The word of a place, and its two bits there.
const fn bits_of(within: u32) -> (usize, u64) {
    let word = (within >> 27) as usize;
    (word, 1 << (within >> 21 & 63) | 1 << (within >> 15 & 63))
}
