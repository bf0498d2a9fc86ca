//! Hot path: no lock, no I/O, no info log.
//!
//! Tokens that are refused although they are genuine and alive: sessions that were ended, users that were signed out.
//!
//! - An entry names a token (`jti`), a session (`origin_jti`) or a user (`sub`) and a moment: tokens that were issued to the
//!   user before it are revoked, and tokens that do not say when they were issued.
//! - What a [`Source`] says holds beside what the other says: a subject has at most one entry from each.
//! - Readers take no lock and allocate nothing. While a layer is replaced they see the old entries or the new ones: what is
//!   in both is revoked at every moment.
//! - A verified token stays in the cache when it is revoked: what is cached is what a token says and not what was decided
//!   on it, so refusing it again costs a look-up and no signature. A revoked token never enters the cache.
//! - An entry takes 61 bytes, if its text is a UUID as Cognito's ids are. One of them is taken for each entry that there may
//!   be, whether or not it is there.
//! - A list that may not be complete says so with [`RevocationList::is_ready`], and then no token is let through.
//!
//! How it is stored: shards of some 256 entries, found by a hash that is keyed anew in each process. One entry more costs a
//! copy of its shard. A kind without entries costs a reader one load, and a subject that is not in the list nearly always one
//! more, of a filter that is small enough for a second-level cache.

mod metrics;
mod shard;
mod slot;
mod subject;
mod write;

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

use ahash::RandomState;
use thiserror::Error;

pub use self::subject::{InvalidSubject, MAX_SUBJECT_BYTES, Subject, SubjectKind};
use self::{shard::Entry, slot::Slot, write::WriterLock};
use crate::{
    clock::{UnixMillis, UnixSeconds},
    identity::Identity,
    rejection::Rejection,
};

/// No token lives longer after it was issued, or after the moment that an entry is made, in seconds: Cognito's longest
/// token, a day, with five minutes for clocks that differ and the largest `clock_skew`, five minutes.
pub const MAX_TOKEN_LIFETIME_SECONDS: u64 = 24 * 60 * 60 + 5 * 60 + 5 * 60;

/// The entries that a list holds at most where nothing else is said.
pub const DEFAULT_MAX_ENTRIES: usize = 1_000_000;

/// The entries of a shard, if the list is full.
const SHARD_ENTRIES: usize = 256;

/// The most shards: enough for 16 million entries of the usual size of a shard.
const MAX_SHARDS: usize = 1 << 16;

/// Who or what is revoked, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whom or what it names.
    pub subject: Subject,
    /// Tokens issued before it, or at an unknown time, are revoked. Only for [`SubjectKind::Sub`]; a list takes an entry
    /// without it as one that revokes all of the user's tokens, and ignores it for other kinds.
    pub issued_before: Option<UnixSeconds>,
    /// When no token that it names can be alive any more. [`UnixSeconds::MAX`] for as long as its source names it.
    pub expires_at: UnixSeconds,
    /// When it was made, in milliseconds since 1970; 0 where nobody knows, as in the file. The list only keeps it, for whoever
    /// has to tell what came later: a token that was issued after it is revoked all the same.
    pub made_at: UnixMillis,
}

/// Where entries come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A file, which says everything at once: replaced whole.
    File,
    /// The admin listener, and what replicas share.
    Shared,
}

impl Source {
    /// Every source, in order.
    pub const ALL: [Self; 2] = [Self::File, Self::Shared];

    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Shared => "shared",
        }
    }
}

/// There is no room for what was to be added. The list is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {max_entries} revocations")]
pub struct ListFull {
    /// What the list holds at most.
    pub max_entries: usize,
}

/// What is revoked: many readers, one writer at a time.
pub struct RevocationList {
    slots: Box<[Slot]>,
    hasher: RandomState,
    max_entries: usize,
    is_ready: AtomicBool,
    kinds: [AtomicUsize; SubjectKind::ALL.len()],
    sources: [AtomicUsize; Source::ALL.len()],
    /// How often entries began to leave after others had come in their place.
    departures: AtomicUsize,
    writer: WriterLock,
}

impl RevocationList {
    /// An empty list of at most `max_entries`, over all sources. It is ready.
    #[must_use]
    pub fn new(max_entries: usize) -> Self {
        Self::with_shards(max_entries.div_ceil(SHARD_ENTRIES).next_power_of_two().min(MAX_SHARDS), max_entries)
    }

    fn with_shards(shards: usize, max_entries: usize) -> Self {
        Self {
            slots: (0..shards).map(|_| Slot::default()).collect(),
            hasher: RandomState::new(),
            max_entries,
            is_ready: AtomicBool::new(true),
            kinds: Default::default(),
            sources: Default::default(),
            departures: AtomicUsize::new(0),
            writer: WriterLock::default(),
        }
    }

    /// Whether an entry names the token of this caller, its session or its user.
    #[must_use]
    pub fn revokes(&self, identity: &Identity) -> bool {
        self.revoking(identity).is_some()
    }

    /// What names the caller's token.
    pub(crate) fn revoking(&self, identity: &Identity) -> Option<SubjectKind> {
        loop {
            let departures = self.departures.load(Ordering::Acquire);
            let found = self.look(identity);
            fence(Ordering::Acquire);
            // Of two entries that name the token, one may have left before it was looked for and the other come after that.
            if found.is_some() || self.departures.load(Ordering::Relaxed) == departures {
                return found;
            }
        }
    }

    fn look(&self, identity: &Identity) -> Option<SubjectKind> {
        // A text is not so much as looked at where no entry is of its kind: it may be far away.
        let named = |kind, text: fn(&Identity) -> Option<&str>| {
            let text = if self.has_none(kind) { None } else { text(identity) };
            text.is_some_and(|text| self.is_named(kind, text, identity.issued_at())).then_some(kind)
        };
        let by_token = || named(SubjectKind::Jti, Identity::jti);
        let by_session = || named(SubjectKind::OriginJti, Identity::origin_jti);
        by_token().or_else(by_session).or_else(|| named(SubjectKind::Sub, |identity| Some(identity.sub())))
    }

    /// Whether the caller's token may be let through.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenRevoked`], and [`Rejection::KeysUnavailable`] if the list may lack entries.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Rejection> {
        // Asked first: a list that becomes ready meanwhile may have been looked through before it was.
        let is_ready = self.is_ready();
        if self.revokes(identity) {
            return Err(Rejection::TokenRevoked);
        }
        if is_ready { Ok(()) } else { Err(Rejection::KeysUnavailable) }
    }

    /// What each source says about a subject.
    #[must_use]
    pub fn find(&self, subject: &Subject) -> Vec<(Source, Revocation)> {
        let text = subject.to_text();
        let hash = self.hash(subject.kind, &text);
        let (index, within) = self.place(hash);
        let shard = self.slots.get(index).and_then(|slot| slot.load_full());
        let found = shard.iter().flat_map(|shard| shard.find(hash, within, subject.kind, &text));
        found.map(|entry| (entry.source, entry.revocation())).collect()
    }

    /// The entries for the next `limit` subjects after a given one, whether or not that one is in the list. The order means
    /// nothing but stays the same for as long as the list lives.
    #[must_use]
    pub fn entries(&self, after: Option<&Subject>, limit: usize) -> Vec<(Source, Revocation)> {
        let after = after.map(|subject| (self.hash(subject.kind, &subject.to_text()), subject));
        let first = after.map_or(0, |(hash, _)| self.place(hash).0);
        let is_after = |entry: &Entry| {
            after.is_none_or(|(hash, subject)| entry.compare_subject(hash, subject.kind, &subject.id).is_gt())
        };
        let mut page: Vec<(Source, Revocation)> = Vec::new();
        let mut subjects = 0;
        for shard in self.slots.iter().skip(first).filter_map(Slot::load_full) {
            for entry in shard.entries().iter().filter(|entry| is_after(entry)) {
                let is_same = |last: &Subject| last.kind == entry.kind && last.id == entry.id;
                if !page.last().is_some_and(|(_, last)| is_same(&last.subject)) {
                    subjects += 1;
                }
                if subjects > limit {
                    return page;
                }
                page.push((entry.source, entry.revocation()));
            }
        }
        page
    }

    /// How many entries there are, over all sources.
    #[must_use]
    pub fn len(&self) -> usize {
        Source::ALL.into_iter().map(|source| self.len_of(source)).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries a source has.
    #[must_use]
    pub fn len_of(&self, source: Source) -> usize {
        self.sources.get(source as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How many entries there may be, over all sources.
    #[must_use]
    pub const fn max_entries(&self) -> usize {
        self.max_entries
    }

    /// Whether the list knows what it has to. Until it does, no token is let through.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Says whether the list knows what it has to.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Release);
    }

    fn has_none(&self, kind: SubjectKind) -> bool {
        self.kinds.get(kind as usize).is_none_or(|count| count.load(Ordering::Relaxed) == 0)
    }

    fn is_named(&self, kind: SubjectKind, text: &str, issued_at: Option<UnixSeconds>) -> bool {
        let hash = self.hash(kind, text);
        let (index, within) = self.place(hash);
        let shard = self.slots.get(index).filter(|slot| slot.may_hold(within)).map(Slot::load);
        let shard = shard.as_ref().and_then(|shard| shard.as_deref());
        shard.is_some_and(|shard| shard.find(hash, within, kind, text).any(|entry| entry.revokes(issued_at)))
    }

    /// Hashes the text and not what it is packed to, so that a reader need not pack what it looks for.
    fn hash(&self, kind: SubjectKind, text: &str) -> u32 {
        (self.hasher.hash_one((kind as u8, text)) >> 32) as u32
    }

    /// The slot of a hash, and how far along the slot's range of hashes it lies, as a fraction of 2^32.
    fn place(&self, hash: u32) -> (usize, u32) {
        let place = u64::from(hash) * self.slots.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
        let within = place as u32;
        (usize::try_from(place >> 32).unwrap_or_default(), within)
    }
}

impl Default for RevocationList {
    /// An empty list of at most [`DEFAULT_MAX_ENTRIES`]. It is ready.
    fn default() -> Self {
        Self::new(DEFAULT_MAX_ENTRIES)
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RevocationList({} of {} entries)", self.len(), self.max_entries)
    }
}

#[cfg(test)]
mod tests;
