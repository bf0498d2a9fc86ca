//! The revocations that are made while the proxy runs: at its own admin listener, or at that of another process with which
//! it shares a Redis. The write side of [`Source::Shared`], and the only one.
//!
//! - Changes take turns. One that is made here is on disk before it counts, counts before it is told, and is told before
//!   whoever made it hears that it is done.
//! - Changes made here are all or nothing. Those from elsewhere count at once, whatever the disk says: forgetting one over a
//!   restart is better than never having heard of it.
//! - Nothing here runs on an async thread: a change waits for the disk on a thread that may block, and is finished even if
//!   nobody waits for it any more.
//!
//! For whoever replicates: [`subscribe`](SharedRevocations::subscribe) first, then
//! [`snapshot`](SharedRevocations::snapshot), so that nothing falls in between; what comes from elsewhere goes in with
//! [`apply`](SharedRevocations::apply), which tells no subscriber. Does not expire anything: the list does.

use std::{io, sync::Arc};

use cognigate_auth::{
    clock::{Clock, UnixSeconds},
    revocation::{ListFull, Revocation, RevocationList, Source, Subject},
};
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

use super::{metrics::RevocationMetrics, state_file::StateFile};

/// Batches of changes that a subscriber may be behind before it misses the oldest.
const BACKLOG: usize = 1024;

/// From this many changes on, the list is rebuilt once rather than changed one by one.
const REBUILD: usize = 10_000;

/// How many entries are copied out of the list at a time.
const PAGE: usize = 4096;

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry was added. If there was one for its subject, the later times of both hold.
    Added(Revocation),
    /// The entry of a subject was removed.
    Removed(Subject),
}

/// What changed together, in order.
pub type Changes = Arc<[Change]>;

/// Why something was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no room.
    #[error(transparent)]
    Full(#[from] ListFull),
    /// It could not be written down.
    #[error("the state file cannot be written")]
    State(#[from] io::Error),
}

/// The entries of [`Source::Shared`]. Clones are the same entries.
#[derive(Clone, Debug)]
pub struct SharedRevocations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    list: Arc<RevocationList>,
    clock: Arc<dyn Clock>,
    metrics: RevocationMetrics,
    changes: broadcast::Sender<Changes>,
    /// Whose turn it is; held over the disk and the list, so that both see one order.
    turn: Arc<Mutex<Turn>>,
}

/// What only the one whose turn it is may touch.
#[derive(Debug)]
struct Turn {
    state: Option<StateFile>,
}

impl SharedRevocations {
    /// The write side of a list, which keeps its entries in `state` too where there is one.
    #[must_use]
    pub fn new(
        list: Arc<RevocationList>,
        state: Option<StateFile>,
        clock: Arc<dyn Clock>,
        metrics: RevocationMetrics,
    ) -> Self {
        let (changes, _) = broadcast::channel(BACKLOG);
        let turn = Arc::new(Mutex::new(Turn { state }));
        Self(Arc::new(Inner { list, clock, metrics, changes, turn }))
    }

    /// The list that it writes to.
    #[must_use]
    pub fn list(&self) -> &Arc<RevocationList> {
        &self.0.list
    }

    /// Adds entries that were made here: all of them or none. Returns them as they hold now, in the same order.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing was added then.
    pub async fn add(&self, entries: Vec<Revocation>) -> Result<Vec<Revocation>, ChangeError> {
        self.in_turn(move |inner, turn| inner.add(turn, entries)).await
    }

    /// Removes the entry of a subject, as somebody asked for here. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`ChangeError::State`]; nothing was removed then.
    pub async fn remove(&self, subject: Subject) -> Result<bool, ChangeError> {
        self.in_turn(move |inner, turn| inner.remove(turn, &subject)).await
    }

    /// Applies what changed elsewhere, and tells no subscriber. What changes nothing costs nothing: it may come again.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Full`]: what fitted was applied. [`ChangeError::State`]: all was applied, but may be forgotten by a
    /// restart.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<(), ChangeError> {
        self.in_turn(move |inner, turn| inner.apply(turn, changes)).await
    }

    /// Says that nothing is missing: all was read that is shared. Kept over a restart, if anything is.
    pub async fn note_whole(&self) {
        let noted = self.in_turn(|inner, turn| {
            inner.note_whole(turn);
            Ok(())
        });
        // Fails only if the process is ending.
        let _ = noted.await;
        self.0.list.set_ready(true);
    }

    /// Tells what is changed here from now on, one message for each call of [`add`](Self::add) or
    /// [`remove`](Self::remove), in the order in which they took effect. A receiver that falls more than 1024 messages
    /// behind is told so ([`Lagged`](broadcast::error::RecvError::Lagged)) and has to look at a [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Changes> {
        self.0.changes.subscribe()
    }

    /// Every entry that has not expired. Copies them page by page, on the thread that it is called on: about a microsecond
    /// each. What is changed meanwhile may be in it or not.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Revocation> {
        self.0.snapshot()
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Inner, &mut Turn) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let inner = Arc::clone(&self.0);
        let mut turn: OwnedMutexGuard<Turn> = Arc::clone(&inner.turn).lock_owned().await;
        let done = tokio::task::spawn_blocking(move || change(&inner, &mut turn)).await;
        done.unwrap_or_else(|lost| Err(io::Error::other(lost).into()))
    }
}

impl Inner {
    fn add(&self, turn: &mut Turn, entries: Vec<Revocation>) -> Result<Vec<Revocation>, ChangeError> {
        let mut fresh: Vec<_> = entries.iter().map(|entry| &entry.subject).collect();
        fresh.retain(|subject| self.find(subject).is_none());
        fresh.sort_unstable();
        fresh.dedup();
        let max_entries = self.list.max_entries();
        if self.list.len() + fresh.len() > max_entries {
            return Err(ListFull { max_entries }.into());
        }
        let added: Changes = entries.iter().cloned().map(Change::Added).collect();
        self.write(turn, &added)?;
        if let Err(full) = entries.iter().try_for_each(|entry| self.list.add(Source::Shared, entry.clone())) {
            // The file took the room meanwhile.
            self.take_back(turn, &fresh);
            return Err(full.into());
        }
        self.compact(turn);
        self.metrics.added(entries.len());
        self.tell(added);
        Ok(entries.into_iter().map(|entry| self.find(&entry.subject).unwrap_or(entry)).collect())
    }

    fn remove(&self, turn: &mut Turn, subject: &Subject) -> Result<bool, ChangeError> {
        if self.find(subject).is_none() {
            return Ok(false);
        }
        let removed: Changes = [Change::Removed(subject.clone())].into();
        self.write(turn, &removed)?;
        let was_there = self.list.remove(Source::Shared, subject);
        self.compact(turn);
        self.metrics.removed(1);
        self.tell(removed);
        Ok(was_there)
    }

    fn apply(&self, turn: &mut Turn, mut changes: Vec<Change>) -> Result<(), ChangeError> {
        changes.retain(|change| self.is_news(change));
        if changes.is_empty() {
            return Ok(());
        }
        let applied = match changes.len() < REBUILD {
            true => self.apply_each(&changes),
            false => self.apply_together(&changes),
        };
        self.write(turn, &changes)?;
        self.compact(turn);
        Ok(applied?)
    }

    fn apply_each(&self, changes: &[Change]) -> Result<(), ListFull> {
        let mut applied = Ok(());
        for change in changes {
            match change {
                Change::Added(entry) => applied = applied.and(self.list.add(Source::Shared, entry.clone())),
                Change::Removed(subject) => {
                    self.list.remove(Source::Shared, subject);
                }
            }
        }
        self.metrics.added(changes.iter().filter(|change| matches!(change, Change::Added(_))).count());
        self.metrics.removed(changes.iter().filter(|change| matches!(change, Change::Removed(_))).count());
        applied
    }

    /// Rebuilds the list with runs of additions, so that each costs no copy of its neighbours.
    fn apply_together(&self, changes: &[Change]) -> Result<(), ListFull> {
        let mut applied = Ok(());
        for run in changes.chunk_by(|one, other| matches!((one, other), (Change::Added(_), Change::Added(_)))) {
            let entries = run.iter().filter_map(|change| match change {
                Change::Added(entry) => Some(entry.clone()),
                Change::Removed(_) => None,
            });
            let mut all = self.snapshot();
            let known = all.len();
            all.extend(entries);
            let rebuilt = match all.len() - known < REBUILD {
                true => self.apply_each(run),
                // Where not all of them fit, as many as do.
                false => self.list.replace(Source::Shared, all).or_else(|_| self.apply_each(run)),
            };
            applied = applied.and(rebuilt);
        }
        applied
    }

    /// Whether it would change anything.
    fn is_news(&self, change: &Change) -> bool {
        match change {
            Change::Added(entry) => self
                .find(&entry.subject)
                .is_none_or(|own| own.issued_before < entry.issued_before || own.expires_at < entry.expires_at),
            Change::Removed(subject) => self.find(subject).is_some(),
        }
    }

    fn take_back(&self, turn: &mut Turn, fresh: &[&Subject]) {
        let removed: Vec<_> = fresh.iter().map(|subject| Change::Removed((*subject).clone())).collect();
        for subject in fresh {
            self.list.remove(Source::Shared, subject);
        }
        // If it fails, a restart revokes what this one could not: nobody is let in by that.
        let _ = self.write(turn, &removed);
    }

    fn find(&self, subject: &Subject) -> Option<Revocation> {
        let mut found = self.list.find(subject).into_iter();
        found.find(|(source, _)| *source == Source::Shared).map(|(_, entry)| entry)
    }

    fn snapshot(&self) -> Vec<Revocation> {
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

    fn note_whole(&self, turn: &mut Turn) {
        let Some(state) = &mut turn.state else { return };
        if let Err(error) = state.note_whole() {
            self.metrics.state_written(false);
            tracing::error!(file = %state.path().display(), %error, "revocations cannot be saved");
        }
    }

    fn write(&self, turn: &mut Turn, changes: &[Change]) -> io::Result<()> {
        let Some(state) = &mut turn.state else { return Ok(()) };
        let written = state.append(changes);
        self.metrics.state_written(written.is_ok());
        if let Err(error) = &written {
            tracing::error!(file = %state.path().display(), %error, "revocations cannot be saved");
        }
        written
    }

    /// Rewrites the state file once most of it is dead. If that fails, it goes on growing, and is tried again.
    fn compact(&self, turn: &mut Turn) {
        let Some(state) = turn.state.as_mut().filter(|state| state.is_bloated()) else { return };
        let compacted = state.rewrite(&self.snapshot());
        self.metrics.state_written(compacted.is_ok());
        if let Err(error) = compacted {
            tracing::error!(file = %state.path().display(), %error, "saved revocations cannot be compacted");
        }
    }

    fn tell(&self, changes: Changes) {
        // Fails only if nobody listens.
        let _ = self.changes.send(changes);
    }
}

/// Whether some token that the entry names may be alive.
pub(super) const fn is_alive(entry: &Revocation, now: UnixSeconds) -> bool {
    entry.expires_at > now
}

#[cfg(test)]
mod tests {
    use cognigate_auth::{clock::FixedClock, revocation::SubjectKind};
    use prometheus::Registry;

    use super::*;

    const NOW: UnixSeconds = 1_767_225_600;

    fn shared(max_entries: usize) -> SharedRevocations {
        let list = Arc::new(RevocationList::new(max_entries));
        let metrics = RevocationMetrics::register(&Registry::new()).unwrap();
        SharedRevocations::new(list, None, Arc::new(FixedClock::at(NOW)), metrics)
    }

    fn entry(text: &str, expires_at: UnixSeconds) -> Revocation {
        Revocation { subject: Subject::new(SubjectKind::Jti, text).unwrap(), issued_before: None, expires_at }
    }

    fn names(shared: &SharedRevocations) -> Vec<String> {
        let mut names: Vec<_> = shared.snapshot().iter().map(|entry| entry.subject.to_string()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_is_added_is_returned_as_it_holds_and_told_once() {
        let shared = shared(10);
        let mut told = shared.subscribe();
        shared.add(vec![entry("a", NOW + 9)]).await.unwrap();
        let stored = shared.add(vec![entry("a", NOW + 1), entry("b", NOW + 1)]).await.unwrap();
        assert_eq!(stored, [entry("a", NOW + 9), entry("b", NOW + 1)]);
        assert!(shared.remove(entry("a", 0).subject).await.unwrap());
        assert!(!shared.remove(entry("a", 0).subject).await.unwrap());
        assert_eq!(names(&shared), ["b"]);
        assert_eq!(*told.try_recv().unwrap(), [Change::Added(entry("a", NOW + 9))]);
        assert_eq!(told.try_recv().unwrap().len(), 2);
        assert_eq!(*told.try_recv().unwrap(), [Change::Removed(entry("a", 0).subject)]);
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_does_not_fit_adds_nothing() {
        let shared = shared(2);
        let mut told = shared.subscribe();
        shared.add(vec![entry("a", NOW + 1), entry("a", NOW + 2)]).await.unwrap();
        let full = shared.add(vec![entry("b", NOW + 1), entry("c", NOW + 1)]).await;
        assert!(matches!(full, Err(ChangeError::Full(ListFull { max_entries: 2 }))), "{full:?}");
        assert_eq!(names(&shared), ["a"]);
        // An entry that is there takes no room.
        shared.add(vec![entry("a", NOW + 3), entry("b", NOW + 1)]).await.unwrap();
        assert_eq!(told.try_recv().unwrap().len(), 2);
        assert_eq!(told.try_recv().unwrap().len(), 2);
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_counts_and_is_not_told() {
        let shared = shared(10);
        let mut told = shared.subscribe();
        let changes = vec![Change::Added(entry("a", NOW + 1)), Change::Added(entry("b", NOW + 1))];
        shared.apply(changes.clone()).await.unwrap();
        shared.apply(changes).await.unwrap();
        shared.apply(vec![Change::Removed(entry("a", 0).subject)]).await.unwrap();
        assert_eq!(names(&shared), ["b"]);
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn many_at_once_are_the_same_as_one_by_one() {
        let shared = shared(3 * REBUILD);
        shared.add(vec![entry("own", NOW + 1), entry("0", NOW + 9)]).await.unwrap();
        let many = (0..2 * REBUILD).map(|number| Change::Added(entry(&number.to_string(), NOW + 2)));
        let mut changes: Vec<_> = many.collect();
        changes.insert(REBUILD + 1, Change::Removed(entry("0", 0).subject));
        changes.push(Change::Removed(entry("1", 0).subject));
        changes.push(Change::Added(entry("1", NOW + 3)));
        shared.apply(changes).await.unwrap();
        let all = shared.snapshot();
        assert_eq!(all.len(), 2 * REBUILD);
        assert!(all.contains(&entry("own", NOW + 1)) && all.contains(&entry("1", NOW + 3)));
        assert!(!all.iter().any(|entry| *entry.subject.to_text() == *"0"));
    }

    #[tokio::test]
    async fn of_too_many_from_elsewhere_as_many_count_as_fit() {
        let shared = shared(REBUILD);
        let many = (0..2 * REBUILD).map(|number| Change::Added(entry(&number.to_string(), NOW + 2))).collect();
        let full = shared.apply(many).await;
        assert!(matches!(full, Err(ChangeError::Full(_))), "{full:?}");
        assert_eq!(shared.list().len(), REBUILD);
    }

    #[tokio::test]
    async fn a_snapshot_has_what_has_not_expired() {
        let shared = shared(10_000);
        let entries = (0..9_000_u64).map(|number| entry(&number.to_string(), NOW + number % 2)).collect();
        shared.add(entries).await.unwrap();
        shared.list().replace(Source::File, vec![entry("file", u64::MAX)]).unwrap();
        assert_eq!(shared.snapshot().len(), 4_500);
    }
}
