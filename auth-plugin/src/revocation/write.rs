//! How entries come and go. Writers take turns; readers notice nothing.
//!
//! A writer copies a shard, changes the copy and puts it in the shard's place, so that a reader finds all of what it held
//! before or all of what it holds after.

use std::{
    iter,
    sync::atomic::{AtomicUsize, Ordering, fence},
};

use parking_lot::Mutex;

use super::{
    ListFull, Revocation, RevocationList, Slot, Source, Subject, SubjectKind,
    shard::{Entry, Shard},
};
use crate::clock::UnixSeconds;

/// Held while the list is written.
pub(super) type WriterLock = Mutex<()>;

impl RevocationList {
    /// Replaces all entries of a source. Of several for one subject the stricter times hold, and the
    /// later `made_at`. A token that both the old and the
    /// new ones name, by whichever claim, is revoked at every moment: what comes is there before anything leaves.
    ///
    /// # Errors
    ///
    /// [`ListFull`].
    pub fn replace(&self, source: Source, entries: Vec<Revocation>) -> Result<(), ListFull> {
        let mut fresh: Vec<_> = entries.into_iter().map(|entry| self.entry(source, entry)).collect();
        fresh.sort_unstable_by(Entry::compare);
        fresh.dedup_by(|same, kept| {
            let is_same = kept.compare(same).is_eq();
            if is_same {
                kept.tighten(same);
            }
            is_same
        });
        let _turn = self.writer.lock();
        let kept = self.len() - self.len_of(source);
        self.check_room(kept + fresh.len())?;
        let leaving = self.publish_beside_old(source, fresh);
        self.announce_departure();
        for (slot, entries) in leaving {
            self.publish(slot, entries);
        }
        Ok(())
    }

    /// Adds an entry. If its source has one for the subject, the later of all times hold.
    ///
    /// # Errors
    ///
    /// [`ListFull`].
    pub fn add(&self, source: Source, entry: Revocation) -> Result<(), ListFull> {
        let entry = self.entry(source, entry);
        let _turn = self.writer.lock();
        let Some(slot) = self.slots.get(self.place(entry.hash).0) else { return Ok(()) };
        let mut entries = entries_of(slot, |_| true);
        match entries.binary_search_by(|other| other.compare(&entry)) {
            Ok(own) if entries.get_mut(own).is_some_and(|own| !own.tighten(&entry)) => return Ok(()),
            Ok(_) => {}
            Err(gap) => {
                self.check_room(self.len() + 1)?;
                entries.insert(gap, entry);
            }
        }
        self.publish(slot, entries);
        Ok(())
    }

    /// Removes the entry that a source has for a subject. Says whether it had one.
    pub fn remove(&self, source: Source, subject: &Subject) -> bool {
        let hash = self.hash(subject.kind, &subject.to_text());
        let _turn = self.writer.lock();
        let Some(slot) = self.slots.get(self.place(hash).0) else { return false };
        let is_it =
            |entry: &Entry| entry.source == source && entry.compare_subject(hash, subject.kind, &subject.id).is_eq();
        let has_it = slot.load().as_deref().is_some_and(|shard| shard.entries().iter().any(is_it));
        if has_it {
            self.announce_departure();
            self.publish(slot, entries_of(slot, |entry| !is_it(entry)));
        }
        has_it
    }

    /// Drops the entries that have expired. Says how many.
    pub fn purge(&self, now: UnixSeconds) -> usize {
        let is_alive = |entry: &Entry| entry.expires_at > now || entry.expires_at == UnixSeconds::MAX;
        let _turn = self.writer.lock();
        let before = self.len();
        self.announce_departure();
        for slot in &self.slots {
            let is_due = slot.load().as_deref().is_some_and(|shard| !shard.entries().iter().all(is_alive));
            if is_due {
                self.publish(slot, entries_of(slot, is_alive));
            }
        }
        before - self.len()
    }

    /// Before anything leaves: from here on a reader that misses it finds what has come in its place, or sees that it has to
    /// look again.
    fn announce_departure(&self) {
        self.departures.fetch_add(1, Ordering::AcqRel);
        fence(Ordering::Release);
    }

    /// Publishes the entries of a source, sorted, beside those that it has. Returns the slots that hold more than they are to
    /// hold, and what that is.
    fn publish_beside_old(&self, source: Source, fresh: Vec<Entry>) -> Vec<(&Slot, Vec<Entry>)> {
        let mut leaving = Vec::new();
        let mut fresh = fresh.into_iter().peekable();
        for (index, slot) in self.slots.iter().enumerate() {
            let mut entries = entries_of(slot, |entry| entry.source != source);
            entries.extend(iter::from_fn(|| fresh.next_if(|entry| self.place(entry.hash).0 == index)));
            entries.sort_by(Entry::compare);
            let mut old = entries_of(slot, |entry| entry.source == source);
            let stays = |old: &Entry| {
                let place = entries.binary_search_by(|entry| entry.compare(old)).ok();
                place.and_then(|place| entries.get(place)) == Some(old)
            };
            old.retain(|old| !stays(old));
            if old.is_empty() {
                self.publish(slot, entries);
                continue;
            }
            old.extend(entries.iter().cloned());
            old.sort_by(Entry::compare);
            self.publish(slot, old);
            leaving.push((slot, entries));
        }
        leaving
    }

    fn entry(&self, source: Source, entry: Revocation) -> Entry {
        let hash = self.hash(entry.subject.kind, &entry.subject.to_text());
        Entry::new(source, entry, hash)
    }

    fn check_room(&self, wanted: usize) -> Result<(), ListFull> {
        let max_entries = self.max_entries;
        if wanted > max_entries { Err(ListFull { max_entries }) } else { Ok(()) }
    }

    /// Puts entries in the place of what a slot holds. The counts rise before that and fall after it, so that a reader
    /// never finds one too low.
    fn publish(&self, slot: &Slot, entries: Vec<Entry>) {
        self.count(&entries, |count, entries| {
            count.fetch_add(entries, Ordering::Relaxed);
        });
        let places: Vec<_> = entries.iter().map(|entry| self.place(entry.hash).1).collect();
        let old = slot.swap(Shard::new(entries), places.into_iter());
        self.count(old.as_deref().map_or(&[], Shard::entries), |count, entries| {
            count.fetch_sub(entries, Ordering::Relaxed);
        });
    }

    fn count(&self, entries: &[Entry], change: impl Fn(&AtomicUsize, usize)) {
        for (count, kind) in self.kinds.iter().zip(SubjectKind::ALL) {
            change(count, entries.iter().filter(|entry| entry.kind == kind).count());
        }
        for (count, source) in self.sources.iter().zip(Source::ALL) {
            change(count, entries.iter().filter(|entry| entry.source == source).count());
        }
    }
}

/// A copy of what a slot holds, with room for one more.
fn entries_of(slot: &Slot, is_wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let shard = slot.load();
    let entries = shard.as_deref().map_or(&[] as &[_], Shard::entries);
    let mut copy = Vec::with_capacity(entries.len() + 1);
    copy.extend(entries.iter().filter(|entry| is_wanted(entry)).cloned());
    copy
}
