//! Hot path: no lock, no I/O, no info log.
//!
//! One set of the cache: a few entries that are looked through together.
//!
//! - An entry is published whole, and before its tag: whoever sees the tag sees the entry.
//! - A tag that is out of step with its entry costs a miss and never an identity: equality is decided on the entry itself.
//! - A reader writes nothing but that it found an entry, and that only where it is news.

use std::{hint::black_box, sync::Arc};

use super::{
    VerifiedToken, WAYS,
    sync::{AtomicBool, AtomicU32, Guard, Ordering, Slot, WriterLock},
};
use crate::token::RawToken;

/// Two cache lines: what is read to choose an entry comes first.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct Set {
    /// Part of the hash, to skip most entries without looking at them.
    pub(super) tags: [AtomicU32; WAYS],
    pub(super) entries: [Slot<VerifiedToken>; WAYS],
    /// Found since the clock hand last passed.
    pub(super) recent: [AtomicBool; WAYS],
    pub(super) writer: WriterLock,
}

impl Set {
    /// The entry of this very token, whose tag this is.
    pub(super) fn find(&self, token: RawToken<'_>, tag: u32) -> Option<Arc<VerifiedToken>> {
        // The second line is asked for before it is known whether it is needed, so that nobody waits for both in turn.
        black_box(self.recent.first().map(|recent| recent.load(Ordering::Relaxed)));
        let mut ways = self.tags.iter().zip(&self.entries).zip(&self.recent);
        ways.find_map(|((other, entry), recent)| {
            if other.load(Ordering::Acquire) != tag {
                return None;
            }
            let entry = entry.load();
            if let Some(entry) = &*entry {
                entry.touch();
            }
            let is_same = entry.as_ref().is_some_and(|entry| entry.is_of(token));
            // Written only when it changes anything, so that a hot token's line stays shared between cores.
            if is_same && !recent.load(Ordering::Relaxed) {
                recent.store(true, Ordering::Relaxed);
            }
            if is_same { Guard::into_inner(entry) } else { None }
        })
    }
}
