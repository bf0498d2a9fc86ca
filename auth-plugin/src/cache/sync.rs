//! What the cache's threads meet over. The tests put a model checker's stand-ins of the same names in its place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(super) use arc_swap::Guard;

/// Where one entry is published: readers take it without a lock, and what was there before goes when its last reader has.
pub(super) type Slot<T> = arc_swap::ArcSwapOption<T>;

/// Held while a set is written. Guards the clock hand: where the next search for a victim begins.
pub(super) type WriterLock = parking_lot::Mutex<usize>;
