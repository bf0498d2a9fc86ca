//! Hot path: no lock, no I/O, no info log.
//!
//! A part of the list: an immutable, sorted slice of entries with an index of their hashes.
//!
//! The hashes lie next to each other and are as good as random, so a hash's place is guessed from its value and found within
//! a few steps, nearly always in the cache line that was guessed. An entry is looked at only if its hash is equal.

use std::cmp::Ordering;

use super::{
    Revocation, Source,
    subject::{Id, Subject, SubjectKind},
};
use crate::clock::{UnixMillis, UnixSeconds};

/// What one source says about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Id,
    /// Of a user: tokens issued before it are revoked. Of the other kinds: all are.
    issued_before: UnixSeconds,
    pub(super) expires_at: UnixSeconds,
    made_at: UnixMillis,
    pub(super) hash: u32,
    pub(super) kind: SubjectKind,
    pub(super) source: Source,
}

impl Entry {
    pub(super) fn new(source: Source, entry: Revocation, hash: u32) -> Self {
        let Revocation { subject: Subject { kind, id }, issued_before, expires_at, made_at } = entry;
        let issued_before = match kind {
            SubjectKind::Jti | SubjectKind::OriginJti => UnixSeconds::MAX,
            SubjectKind::Sub => issued_before.unwrap_or(UnixSeconds::MAX),
        };
        Self { id, issued_before, expires_at, made_at, hash, kind, source }
    }

    pub(super) fn revocation(&self) -> Revocation {
        let issued_before = match self.kind {
            SubjectKind::Jti | SubjectKind::OriginJti => None,
            SubjectKind::Sub => Some(self.issued_before),
        };
        let subject = Subject { kind: self.kind, id: self.id.clone() };
        Revocation { subject, issued_before, expires_at: self.expires_at, made_at: self.made_at }
    }

    /// Whether a token that names the subject is revoked, by when it was issued.
    pub(super) fn revokes(&self, issued_at: Option<UnixSeconds>) -> bool {
        match self.kind {
            SubjectKind::Jti | SubjectKind::OriginJti => true,
            SubjectKind::Sub => issued_at.is_none_or(|issued_at| issued_at < self.issued_before),
        }
    }

    /// Makes this entry the stricter of two for the same subject, made when the later was. Says whether that changed it.
    pub(super) fn tighten(&mut self, other: &Self) -> bool {
        let issued_before = self.issued_before.max(other.issued_before);
        let expires_at = self.expires_at.max(other.expires_at);
        let made_at = self.made_at.max(other.made_at);
        let is_changed = (issued_before, expires_at, made_at) != (self.issued_before, self.expires_at, self.made_at);
        (self.issued_before, self.expires_at, self.made_at) = (issued_before, expires_at, made_at);
        is_changed
    }

    /// The order of the list: that of the hashes; entries for one subject are neighbours.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.compare_subject(other.hash, other.kind, &other.id).then(self.source.cmp(&other.source))
    }

    pub(super) fn compare_subject(&self, hash: u32, kind: SubjectKind, id: &Id) -> Ordering {
        self.hash.cmp(&hash).then(self.kind.cmp(&kind)).then_with(|| self.id.cmp(id))
    }
}

/// Entries in their order.
#[derive(Debug)]
pub(super) struct Shard {
    hashes: Box<[u32]>,
    entries: Box<[Entry]>,
}

impl Shard {
    /// Nothing for no entries. They must be in order.
    pub(super) fn new(entries: Vec<Entry>) -> Option<Self> {
        let hashes = entries.iter().map(|entry| entry.hash).collect();
        (!entries.is_empty()).then(|| Self { hashes, entries: entries.into_boxed_slice() })
    }

    pub(super) const fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries for a subject: one a source. `within` is how far along the shard's range of hashes `hash` lies, as a
    /// fraction of 2^32.
    pub(super) fn find(&self, hash: u32, within: u32, kind: SubjectKind, text: &str) -> impl Iterator<Item = &Entry> {
        let first = self.first_of(hash, within);
        let hashes = self.hashes.iter().skip(first).take_while(move |other| **other == hash);
        let same = hashes.zip(self.entries.iter().skip(first)).map(|(_, entry)| entry);
        same.filter(move |entry| entry.kind == kind && entry.id.is(text))
    }

    /// Where the entries with this hash begin, if there are any.
    fn first_of(&self, hash: u32, within: u32) -> usize {
        let hashes = &self.hashes;
        let guess = (u64::from(within) * hashes.len() as u64) >> 32;
        let mut first = usize::try_from(guess).unwrap_or_default();
        while first.checked_sub(1).and_then(|before| hashes.get(before)).is_some_and(|other| *other >= hash) {
            first -= 1;
        }
        while hashes.get(first).is_some_and(|other| *other < hash) {
            first += 1;
        }
        first
    }
}

const _: () = assert!(size_of::<Entry>() <= 56, "a million entries are to fit into 64 MiB");
