//! The revocations that are made while the proxy runs: at its own admin listener, or at that of another process with which
//! it shares a Redis. The write side of [`Source::Shared`](cognigate_auth::revocation::Source::Shared), and the only one.
//!
//! - What holds of a subject is the [merge](super::change) of all that was heard of it, here and from elsewhere. What was
//!   removed is remembered for as long as somebody may have it, so that nobody brings it back.
//! - Changes take turns. One that is made here is on disk before it counts, counts before it is told, and is told before
//!   whoever made it hears that it is done.
//! - Changes made here are all or nothing. Those from elsewhere count at once, whatever the disk says: forgetting one over a
//!   restart is better than never having heard of it. The disk is tried again with each change that follows.
//! - Nothing here runs on an async thread: a change waits for the disk on a thread that may block, and is finished even if
//!   nobody waits for it any more.
//!
//! For whoever replicates: [`subscribe`](SharedRevocations::subscribe) first, then
//! [`snapshot`](SharedRevocations::snapshot), so that nothing falls in between; what comes from elsewhere goes in with
//! [`apply`](SharedRevocations::apply), which tells no subscriber. Does not expire entries: the list does.

mod turn;

use std::{io, path::PathBuf, sync::Arc};

use cognigate_auth::{
    clock::{Clock, UnixSeconds},
    revocation::{ListFull, Revocation, RevocationList, Subject},
};
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

use self::turn::Turn;
use super::{
    change::{Change, Removal},
    metrics::RevocationMetrics,
    state_file::{StateFile, StateFileError},
};

/// Batches of changes that a subscriber may be behind before it misses the oldest.
const BACKLOG: usize = 1024;

/// What changed together, in order.
pub type Changes = Arc<[Change]>;

/// Why something was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no room.
    #[error(transparent)]
    Full(#[from] ListFull),
    /// This process has handed over to another: it would change what nobody asks any more.
    #[error("another process has taken over: ask it")]
    HandedOver,
    /// It could not be written down.
    #[error("the state file cannot be written")]
    State(#[from] io::Error),
}

/// Why entries are not kept from now on.
#[derive(Debug, Error)]
pub enum ClaimError {
    /// What the file has could not be taken in.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] StateFileError),
}

/// The entries of [`Source::Shared`](cognigate_auth::revocation::Source::Shared). Clones are the same entries.
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

impl SharedRevocations {
    /// The write side of a list, which keeps its entries in `state` too where there is one. `removals`: what is known to have
    /// been removed.
    #[must_use]
    pub fn new(
        list: Arc<RevocationList>,
        state: Option<StateFile>,
        removals: Vec<Removal>,
        clock: Arc<dyn Clock>,
        metrics: RevocationMetrics,
    ) -> Self {
        let (changes, _) = broadcast::channel(BACKLOG);
        let turn = Arc::new(Mutex::new(Turn::new(state, removals)));
        Self(Arc::new(Inner { list, clock, metrics, changes, turn }))
    }

    /// The list that it writes to.
    #[must_use]
    pub fn list(&self) -> &Arc<RevocationList> {
        &self.0.list
    }

    /// Adds entries that were made here, now: all of them or none. Returns them as they hold now, in the same order.
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
    /// [`ChangeError`]; nothing was removed then. Full is what remembers removals.
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

    /// Says that nothing is missing of what is shared there: all was read, and fitted. Kept over a restart, if anything is.
    /// The list is ready from now on.
    pub async fn note_whole(&self, of: &str) {
        let of = of.to_owned();
        let noted = self.in_turn(move |inner, turn| {
            inner.note_whole(turn, &of);
            Ok(())
        });
        // Fails only if the process is ending.
        let _ = noted.await;
        self.0.list.set_ready(true);
    }

    /// Changes nothing more that is made here, and lets go of the state file: another process takes over.
    pub async fn release(&self) {
        let released = self.in_turn(|_, turn| {
            turn.release();
            Ok(())
        });
        // As above.
        let _ = released.await;
    }

    /// Keeps the entries in a file from now on, which another process had until now, and takes in what it has.
    ///
    /// # Errors
    ///
    /// [`ClaimError`]; what is known holds, but is not kept.
    pub async fn claim(&self, path: PathBuf) -> Result<(), ClaimError> {
        let now = self.0.clock.now();
        let opened = tokio::task::spawn_blocking(move || StateFile::open(&path, now)).await;
        let (state, changes) = opened.map_err(|lost| ChangeError::State(io::Error::other(lost)))??;
        self.apply(changes).await?;
        let kept = self.in_turn(|inner, turn| {
            inner.keep_in(turn, state);
            Ok(())
        });
        Ok(kept.await?)
    }

    /// Forgets removals that nobody has to know of any more.
    pub async fn purge_removals(&self, now: UnixSeconds) {
        let purged = self.in_turn(move |_, turn| {
            turn.purge_removals(now);
            Ok(())
        });
        // As above.
        let _ = purged.await;
    }

    /// Tells what is changed here from now on, one message for each call of [`add`](Self::add) or
    /// [`remove`](Self::remove), in the order in which they took effect. A receiver that falls more than 1024 messages
    /// behind is told so ([`Lagged`](broadcast::error::RecvError::Lagged)) and has to look at a [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Changes> {
        self.0.changes.subscribe()
    }

    /// Everything that is known and has not expired: entries, and what was removed. Copies the entries page by page, about a
    /// microsecond each. What is changed meanwhile may be in it or not; a subject may be in it twice.
    ///
    /// # Errors
    ///
    /// [`ChangeError`], only if the process is ending.
    pub async fn snapshot(&self) -> Result<Vec<Change>, ChangeError> {
        let mut all = self.in_turn(|inner, turn| Ok(turn.removals(inner.clock.now()))).await?;
        let inner = Arc::clone(&self.0);
        let entries = tokio::task::spawn_blocking(move || inner.entries()).await.map_err(io::Error::other)?;
        all.extend(entries.into_iter().map(Change::Added));
        Ok(all)
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

/// Whether some token that the entry names may be alive.
const fn is_alive(entry: &Revocation, now: UnixSeconds) -> bool {
    entry.expires_at > now
}

#[cfg(test)]
mod tests;
