//! Where revocations come from: a file that is watched, the admin listener, and what a restart must not forget.
//!
//! ```text
//! revocation file ──▶ file ─────────────────▶ Source::File   ┐
//! admin listener ──▶ shared ─▶ state_file ─▶ Source::Shared ┴▶ RevocationList ─▶ requests
//!                      ▲
//! other processes ◀──▶ redis
//! ```
//!
//! What is shared holds by the rule of [`change`], wherever it is kept and however it comes.
//!
//! Everything that can be wrong at start is an error then: a list that lacks what it should have lets somebody in.

pub mod change;
pub mod entry;
pub mod file;
pub mod metrics;
pub mod redis;
pub mod shared;
pub mod state_file;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use cognigate_auth::{
    clock::{Clock, UnixSeconds},
    revocation::{ListFull, RevocationList, Source},
};
use thiserror::Error;
use tokio::task::JoinSet;

use self::{
    change::Change,
    file::WatchedFile,
    metrics::RevocationMetrics,
    redis::{NoClient, RedisMetrics, Replication},
    shared::SharedRevocations,
    state_file::{StateFile, StateFileError},
};
use crate::{
    config::{
        model::{RedisConfig, RevocationConfig},
        revocations::RevocationFile,
        secret::Secret,
    },
    watch,
};

/// The time between two looks for entries that have expired.
const PURGE_INTERVAL: Duration = Duration::from_secs(30);

/// The list, and what fills it.
#[derive(Debug)]
pub struct Revocations {
    list: Arc<RevocationList>,
    shared: SharedRevocations,
    replication: Option<Replication>,
    /// Whether what is known is enough if Redis cannot be asked.
    is_enough: bool,
    file: Option<WatchedFile>,
    clock: Arc<dyn Clock>,
    metrics: RevocationMetrics,
}

/// Why there is no list.
#[derive(Debug, Error)]
pub enum RevocationError {
    /// What there is of entries does not fit.
    #[error("the revocation file and the state file do not fit in `revocation.max_entries`")]
    Full(#[from] ListFull),
    /// What was revoked before the start cannot be told.
    #[error(transparent)]
    State(#[from] StateFileError),
}

impl Revocations {
    /// A list with what the revocation file and the state file have. A process that takes over from another does not claim the
    /// state file yet, which the other one has: see [`SharedRevocations::claim`]. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`RevocationError`].
    pub fn open(
        config: &RevocationConfig,
        file: Option<&RevocationFile>,
        takes_over: bool,
        clock: Arc<dyn Clock>,
        metrics: RevocationMetrics,
    ) -> Result<Self, RevocationError> {
        let RevocationConfig { file: path, state_file, max_entries, redis } = config;
        let list = Arc::new(RevocationList::new(*max_entries));
        if let Some(RevocationFile { entries, digest: _ }) = file {
            let now = clock.now();
            list.replace(Source::File, entries.iter().filter_map(|written| entry::of_file(written, now)).collect())?;
            metrics.file_loaded(true);
        }
        let place = redis.as_ref().map(redis::place);
        let (state, changes, is_enough) = kept(state_file.as_deref(), place.as_deref(), takes_over, clock.now())?;
        let (mut entries, mut removals) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Added(entry) => entries.push(entry),
                Change::Removed(removal) => removals.push(removal),
            }
        }
        list.replace(Source::Shared, entries)?;
        tracing::info!(file = list.len_of(Source::File), shared = list.len_of(Source::Shared), "revocations loaded");
        let file = path.as_ref().map(|path| WatchedFile {
            path: path.clone(),
            digest: file.map(|file| file.digest),
            is_unreadable: false,
            is_too_long: false,
            list: Arc::clone(&list),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
        });
        let shared = SharedRevocations::new(Arc::clone(&list), state, removals, Arc::clone(&clock), metrics.clone());
        // Where others revoke too, a list that was not read is not the list.
        list.set_ready(redis.is_none());
        Ok(Self { list, shared, replication: None, is_enough, file, clock, metrics })
    }

    /// Shares the entries of [`Source::Shared`] through a Redis from now on; that of the configuration, with the password and
    /// the certificates that are in its files.
    ///
    /// # Errors
    ///
    /// [`NoClient`].
    pub fn share(
        &mut self,
        config: &RedisConfig,
        password: Option<&Secret>,
        ca: Option<&[u8]>,
        metrics: RedisMetrics,
    ) -> Result<(), NoClient> {
        let (shared, clock) = (self.shared.clone(), Arc::clone(&self.clock));
        self.replication = Some(Replication::new(config, password, ca, shared, self.is_enough, clock, metrics)?);
        Ok(())
    }

    /// The list.
    #[must_use]
    pub const fn list(&self) -> &Arc<RevocationList> {
        &self.list
    }

    /// The write side, for the admin listener and for whatever replicates.
    #[must_use]
    pub const fn shared(&self) -> &SharedRevocations {
        &self.shared
    }

    /// Follows the file and the Redis and drops what has expired, until it is dropped. Ends only if one of these has failed,
    /// which is logged: the list does not hear of everything any more then.
    pub async fn run(self) {
        let Self { list, shared, replication, is_enough: _, file, clock, metrics } = self;
        let mut tasks = JoinSet::new();
        let mut names = HashMap::new();
        names.insert(tasks.spawn(purge(list, shared, clock, metrics)).id(), "expiry");
        if let Some(file) = file {
            names.insert(tasks.spawn(file.follow(watch::INTERVAL)).id(), "file");
        }
        if let Some(replication) = replication {
            names.insert(tasks.spawn(replication.run()).id(), "redis");
        }
        let (id, error) = match tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, None),
            Some(Err(error)) => (error.id(), Some(error)),
            None => return,
        };
        let (task, error) = (names.get(&id), error.map(tracing::field::display));
        tracing::error!(task, error, "revocations are not followed any more");
    }
}

/// What the state file has, and whether that is enough where others revoke too.
fn kept(
    path: Option<&Path>,
    place: Option<&str>,
    takes_over: bool,
    now: UnixSeconds,
) -> Result<(Option<StateFile>, Vec<Change>, bool), StateFileError> {
    let Some(path) = path else { return Ok((None, Vec::new(), false)) };
    if takes_over {
        let (changes, is_enough) = StateFile::look(path, place, now)?;
        return Ok((None, changes, is_enough));
    }
    let (state, changes) = StateFile::open(path, now)?;
    let is_enough = place.is_some_and(|place| state.is_whole(place, now));
    Ok((Some(state), changes, is_enough))
}

async fn purge(
    list: Arc<RevocationList>,
    shared: SharedRevocations,
    clock: Arc<dyn Clock>,
    metrics: RevocationMetrics,
) {
    loop {
        tokio::time::sleep(PURGE_INTERVAL).await;
        let (list, metrics, now) = (Arc::clone(&list), metrics.clone(), clock.now());
        let purged = tokio::task::spawn_blocking(move || {
            let expired = list.purge(now);
            metrics.expired(expired);
            expired
        });
        if let Ok(expired @ 1..) = purged.await {
            tracing::info!(entries = expired, "revocations expired");
        }
        shared.purge_removals(now).await;
    }
}
