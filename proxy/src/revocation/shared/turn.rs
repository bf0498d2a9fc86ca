//! What happens while somebody has the turn: the disk, the list and what was removed change together.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use cognigate_auth::{
    clock::UnixSeconds,
    revocation::{ListFull, Revocation, Source, Subject},
};

use super::{ChangeError, Changes, Inner, is_alive};
use crate::revocation::{
    change::{self, Change, Removal},
    state_file::StateFile,
};

/// From this many changes on, the list is rebuilt once rather than changed one by one.
pub(super) const REBUILD: usize = 10_000;

/// How many entries are copied out of the list at a time.
const PAGE: usize = 4096;

/// What only the one whose turn it is may touch.
#[derive(Debug)]
pub(super) struct Turn {
    state: Option<StateFile>,
    /// Of subjects that have no entry. As many as the list may have entries.
    removals: HashMap<Subject, Removal>,
    /// Whether the state file lacks something that holds.
    is_state_behind: bool,
    /// Whether another process has taken over.
    is_released: bool,
}

/// A change that changes something.
struct News {
    /// What was known of its subject.
    known: Option<Change>,
    /// What holds now: that, merged with the change.
    change: Change,
}

impl News {
    /// Whether the list gets one entry more.
    const fn is_new_entry(&self) -> bool {
        matches!((&self.known, &self.change), (None | Some(Change::Removed(_)), Change::Added(_)))
    }

    /// Whether an entry comes or becomes another, rather than being made once more as it is.
    fn is_addition(&self) -> bool {
        match (&self.known, &self.change) {
            (Some(Change::Added(known)), Change::Added(entry)) => {
                (known.issued_before, known.expires_at) != (entry.issued_before, entry.expires_at)
            }
            (None | Some(Change::Removed(_)), Change::Added(_)) => true,
            (_, Change::Removed(_)) => false,
        }
    }

    /// Whether an entry goes.
    const fn is_removal(&self) -> bool {
        matches!((&self.known, &self.change), (Some(Change::Added(_)), Change::Removed(_)))
    }
}

impl Turn {
    pub(super) fn new(state: Option<StateFile>, removals: Vec<Removal>) -> Self {
        let removals = removals.into_iter().map(|removal| (removal.subject.clone(), removal)).collect();
        Self { state, removals, is_state_behind: false, is_released: false }
    }

    pub(super) fn release(&mut self) {
        (self.state, self.is_released) = (None, true);
    }

    /// Whether something may be changed here.
    const fn check_charge(&self) -> Result<(), ChangeError> {
        if self.is_released { Err(ChangeError::HandedOver) } else { Ok(()) }
    }

    /// What was removed, as far as anybody has to know.
    pub(super) fn removals(&self, now: UnixSeconds) -> Vec<Change> {
        let removals = self.removals.values().filter(|removal| removal.until > now);
        removals.cloned().map(Change::Removed).collect()
    }

    pub(super) fn purge_removals(&mut self, now: UnixSeconds) {
        self.removals.retain(|_, removal| removal.until > now);
    }

    /// Makes sure that so many removals more can be remembered, or as many as can be.
    fn make_room(&mut self, wanted: usize, max: usize, now: UnixSeconds) -> Result<(), ListFull> {
        if self.removals.len().saturating_add(wanted) > max {
            self.purge_removals(now);
        }
        if self.removals.len().saturating_add(wanted) > max { Err(ListFull { max_entries: max }) } else { Ok(()) }
    }

    /// Remembers a removal, or that there is none any more.
    fn remember(&mut self, change: &Change, max: usize) -> Result<(), ListFull> {
        match change {
            Change::Added(Revocation { subject, .. }) => {
                self.removals.remove(subject);
            }
            Change::Removed(removal) => {
                if self.removals.len() >= max && !self.removals.contains_key(&removal.subject) {
                    return Err(ListFull { max_entries: max });
                }
                self.removals.insert(removal.subject.clone(), removal.clone());
            }
        }
        Ok(())
    }
}

impl Inner {
    pub(super) fn add(&self, turn: &mut Turn, entries: Vec<Revocation>) -> Result<Vec<Revocation>, ChangeError> {
        turn.check_charge()?;
        let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.clone()).collect();
        let mut news: Vec<_> = change::fold(entries.into_iter().map(Change::Added))
            .into_iter()
            .map(|change| self.made_now(turn, change))
            .collect();
        let fresh = news.iter().filter(|news| news.is_new_entry()).count();
        let max_entries = self.list.max_entries();
        if self.list.len() + fresh > max_entries {
            return Err(ListFull { max_entries }.into());
        }
        let added: Changes = news.iter().map(|news| news.change.clone()).collect();
        self.write(turn, added.iter())?;
        // What may not fit after all comes first.
        news.sort_by_key(|news| !news.is_new_entry());
        for (done, one) in news.iter().enumerate() {
            if let Err(full) = self.put(turn, one) {
                // The file took the room meanwhile.
                self.take_back(turn, news.into_iter().take(done).filter(News::is_new_entry));
                return Err(full.into());
            }
        }
        self.compact(turn);
        self.count(&news);
        self.tell(added);
        Ok(subjects.iter().filter_map(|subject| self.find(subject)).collect())
    }

    /// Keeps everything in a file from now on.
    pub(super) fn keep_in(&self, turn: &mut Turn, state: StateFile) {
        (turn.state, turn.is_state_behind) = (Some(state), true);
        self.compact(turn);
    }

    pub(super) fn remove(&self, turn: &mut Turn, subject: &Subject) -> Result<bool, ChangeError> {
        turn.check_charge()?;
        let Some(entry) = self.find(subject) else { return Ok(false) };
        turn.make_room(1, self.list.max_entries(), self.clock.now())?;
        let change = Change::Removed(Removal::of(&entry, self.clock.now_millis()));
        let removed: Changes = [change.clone()].into();
        self.write(turn, removed.iter())?;
        let news = News { known: Some(Change::Added(entry)), change };
        self.put(turn, &news)?;
        self.compact(turn);
        self.count(&[news]);
        self.tell(removed);
        Ok(true)
    }

    pub(super) fn apply(&self, turn: &mut Turn, changes: Vec<Change>) -> Result<(), ChangeError> {
        let now = self.clock.now();
        let news = change::fold(changes).into_iter().filter_map(|change| self.news(turn, change, now));
        let mut news: Vec<_> = news.collect();
        if news.is_empty() {
            return Ok(());
        }
        // What leaves makes room.
        news.sort_by_key(|news| matches!(news.change, Change::Added(_)));
        // That there may be too little is found one by one.
        let _ = turn.make_room(news.len(), self.list.max_entries(), now);
        let applied = match news.len() < REBUILD {
            true => self.apply_each(turn, &mut news),
            false => self.apply_together(turn, &mut news),
        };
        let written = self.write(turn, news.iter().map(|news| &news.change));
        turn.is_state_behind |= written.is_err();
        self.compact(turn);
        self.count(&news);
        applied?;
        if turn.is_state_behind { Ok(written?) } else { Ok(()) }
    }

    /// Applies one after the other, and keeps what could be applied.
    fn apply_each(&self, turn: &mut Turn, news: &mut Vec<News>) -> Result<(), ListFull> {
        let mut applied = Ok(());
        news.retain(|news| {
            // Each try costs a copy of a shard.
            if applied.is_err() && news.is_new_entry() {
                return false;
            }
            let put = self.put(turn, news);
            applied = applied.and(put);
            put.is_ok()
        });
        applied
    }

    /// Rebuilds the list once, so that no change costs a copy of its neighbours.
    fn apply_together(&self, turn: &mut Turn, news: &mut Vec<News>) -> Result<(), ListFull> {
        let subjects: HashSet<_> = news.iter().map(|news| news.change.subject()).collect();
        let mut all = self.entries();
        all.retain(|entry| !subjects.contains(&entry.subject));
        all.extend(news.iter().filter_map(|news| match &news.change {
            Change::Added(entry) => Some(entry.clone()),
            Change::Removed(_) => None,
        }));
        if self.list.replace(Source::Shared, all).is_err() {
            // As many as fit.
            return self.apply_each(turn, news);
        }
        let mut applied = Ok(());
        news.retain(|news| {
            let remembered = turn.remember(&news.change, self.list.max_entries());
            applied = applied.and(remembered);
            remembered.is_ok()
        });
        applied
    }

    fn put(&self, turn: &mut Turn, News { known: _, change }: &News) -> Result<(), ListFull> {
        match change {
            Change::Added(entry) => self.list.add(Source::Shared, entry.clone())?,
            Change::Removed(removal) => {
                self.list.remove(Source::Shared, &removal.subject);
            }
        }
        turn.remember(change, self.list.max_entries())
    }

    /// Undoes additions that are on disk already.
    fn take_back(&self, turn: &mut Turn, added: impl Iterator<Item = News>) {
        for News { known, change } in added {
            self.list.remove(Source::Shared, change.subject());
            if let Some(removed) = known {
                // There was room for it before.
                let _ = turn.remember(&removed, self.list.max_entries());
            }
        }
        // If it fails, a restart revokes what this one could not: nobody is let in by that.
        turn.is_state_behind = true;
        self.compact(turn);
    }

    /// A change that is made now, later than whatever is known.
    fn made_now(&self, turn: &Turn, mut change: Change) -> News {
        let known = self.known(turn, change.subject());
        let after = known.as_ref().map_or(0, |known| known.made_at().saturating_add(1));
        if let Change::Added(entry) = &mut change {
            entry.made_at = self.clock.now_millis().max(after);
        }
        News { change: merged(known.clone(), change), known }
    }

    /// What is left of a change if what is known already is taken away.
    fn news(&self, turn: &Turn, change: Change, now: UnixSeconds) -> Option<News> {
        let known = self.known(turn, change.subject());
        let change = merged(known.clone(), change);
        (change.is_alive(now) && known.as_ref() != Some(&change)).then_some(News { known, change })
    }

    fn known(&self, turn: &Turn, subject: &Subject) -> Option<Change> {
        let removed = || turn.removals.get(subject).cloned().map(Change::Removed);
        self.find(subject).map(Change::Added).or_else(removed)
    }

    fn find(&self, subject: &Subject) -> Option<Revocation> {
        let mut found = self.list.find(subject).into_iter();
        found.find(|(source, _)| *source == Source::Shared).map(|(_, entry)| entry)
    }

    /// Every entry that has not expired.
    pub(super) fn entries(&self) -> Vec<Revocation> {
        let now = self.clock.now();
        let mut all = Vec::with_capacity(self.list.len_of(Source::Shared));
        let mut page = self.list.entries(None, PAGE);
        while let Some(last) = page.last().map(|(_, entry)| entry.subject.clone()) {
            let shared = page.into_iter().filter(|(source, entry)| *source == Source::Shared && is_alive(entry, now));
            all.extend(shared.map(|(_, entry)| entry));
            page = self.list.entries(Some(&last), PAGE);
        }
        all
    }

    /// A file that lacks something does not say that nothing is missing.
    pub(super) fn note_whole(&self, turn: &mut Turn, of: &str) {
        self.compact(turn);
        let is_state_behind = turn.is_state_behind;
        let Some(state) = turn.state.as_mut().filter(|_| !is_state_behind) else { return };
        if let Err(error) = state.note_whole(of, self.clock.now()) {
            self.metrics.state_written(false);
            tracing::error!(file = %state.path().display(), %error, "revocations cannot be saved");
        }
    }

    fn write<'c>(&self, turn: &mut Turn, changes: impl Iterator<Item = &'c Change>) -> io::Result<()> {
        let Some(state) = &mut turn.state else { return Ok(()) };
        let written = state.append(changes);
        self.metrics.state_written(written.is_ok());
        if let Err(error) = &written {
            tracing::error!(file = %state.path().display(), %error, "revocations cannot be saved");
        }
        written
    }

    /// Rewrites the state file once most of it is dead, or if it lacks something. If that fails, it is tried again.
    fn compact(&self, turn: &mut Turn) {
        let is_due = |state: &StateFile| turn.is_state_behind || state.is_bloated();
        if !turn.state.as_ref().is_some_and(is_due) {
            turn.is_state_behind &= turn.state.is_some();
            return;
        }
        let mut all = turn.removals(self.clock.now());
        all.extend(self.entries().into_iter().map(Change::Added));
        let Some(state) = &mut turn.state else { return };
        let compacted = state.rewrite(&all);
        self.metrics.state_written(compacted.is_ok());
        match compacted {
            Ok(()) => turn.is_state_behind = false,
            Err(error) => {
                tracing::error!(file = %state.path().display(), %error, "saved revocations cannot be compacted");
            }
        }
    }

    fn count(&self, news: &[News]) {
        self.metrics.added(news.iter().filter(|news| news.is_addition()).count());
        self.metrics.removed(news.iter().filter(|news| news.is_removal()).count());
    }

    fn tell(&self, changes: Changes) {
        // Fails only if nobody listens.
        let _ = self.changes.send(changes);
    }
}

fn merged(known: Option<Change>, change: Change) -> Change {
    match known {
        Some(known) => known.merge(change),
        None => change,
    }
}
