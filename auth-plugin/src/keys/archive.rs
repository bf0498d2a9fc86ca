//! Where the last keys of a pool are kept, so that a restart while they cannot be fetched still has some.
//!
//! - What is kept is the document and when it was fetched: its age goes on counting while nothing runs.
//! - What comes back is checked like a document that was just fetched. One that cannot be used, is for another address or
//!   was fetched in the future is left out with a warning; nothing that is kept is better than what was fetched.
//! - It is written off the threads that serve, one write a pool at a time. A write that fails is counted and reported, and
//!   costs nothing else.
//!
//! This module does not know where that is: a [`KeyArchive`] does.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use crate::{
    clock::UnixSeconds,
    keys::{key_set::KeySet, source::KeySource, store::MAX_CLOCK_STEP_SECONDS},
    metrics::KeyMetrics,
    pool::UserPool,
};

/// Keeps the last keys of one pool.
pub trait KeyArchive: Debug + Send + Sync {
    /// What tells it from others, such as a path. Two archives of one name are the same.
    fn name(&self) -> &str;

    /// What was saved last; nothing if nothing ever was. Blocks.
    ///
    /// # Errors
    ///
    /// Why it cannot be read or trusted.
    fn load(&self) -> Result<Vec<ArchivedKeys>, ArchiveError>;

    /// Puts these in the place of what was saved before, all of them or none. Blocks.
    ///
    /// # Errors
    ///
    /// Why they are not saved.
    fn save(&self, keys: &[ArchivedKeys]) -> Result<(), ArchiveError>;
}

/// Why an archive cannot be read or written.
pub type ArchiveError = Box<dyn Error + Send + Sync>;

/// What was published at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedKeys {
    /// The address.
    pub jwks_uri: String,
    /// When it was fetched.
    pub fetched_at: UnixSeconds,
    /// The document: a JSON object of at most 64 KiB.
    pub document: String,
}

/// The archive of a pool, and what is in it. All addresses of the pool share it.
#[derive(Debug)]
pub(crate) struct PoolArchive {
    user_pool: Box<str>,
    jwks_uris: Box<[Box<str>]>,
    archive: Arc<dyn KeyArchive>,
    metrics: Arc<KeyMetrics>,
    loaded: OnceLock<Vec<ArchivedKeys>>,
    pending: Mutex<Pending>,
}

/// What is to be saved.
#[derive(Debug, Default)]
struct Pending {
    keys: BTreeMap<Box<str>, ArchivedKeys>,
    is_changed: bool,
    is_saving: bool,
}

impl PoolArchive {
    pub(crate) fn new(pool: &UserPool, archive: Arc<dyn KeyArchive>, metrics: Arc<KeyMetrics>) -> Self {
        let jwks_uris = pool.endpoints().map(|endpoint| endpoint.jwks_uri.as_str().into()).collect();
        Self {
            user_pool: pool.name.clone(),
            jwks_uris,
            archive,
            metrics,
            loaded: OnceLock::new(),
            pending: Mutex::default(),
        }
    }

    /// Whether it is the archive of this name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.archive.name() == name
    }

    /// Gives a source without keys those that are kept for it. Reads the archive the first time, and blocks then.
    pub(crate) fn restore(&self, source: &KeySource, now: UnixSeconds) {
        let uri = source.jwks_uri.as_str();
        let kept = self.loaded.get_or_init(|| self.load(now));
        let Some(kept) = kept.iter().find(|kept| kept.jwks_uri == uri) else {
            return;
        };
        let fetched_at = kept.fetched_at.min(now);
        match KeySet::parse(kept.document.as_bytes(), fetched_at, None) {
            Ok(set) => {
                let kids: Vec<_> = set.kids().collect();
                let (user_pool, archive, age) = (&*self.user_pool, self.archive.name(), now - fetched_at);
                tracing::info!(user_pool, uri, archive, ?kids, age, "keys restored");
                source.report(&set);
                source.store.publish(set);
                self.pending.lock().keys.insert(uri.into(), kept.clone());
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn load(&self, now: UnixSeconds) -> Vec<ArchivedKeys> {
        let kept = self.archive.load().unwrap_or_else(|error| {
            self.refuse(&*error);
            Vec::new()
        });
        let usable = kept.into_iter().filter(|kept| match self.check(kept, now) {
            Ok(()) => true,
            Err(fault) => {
                self.refuse(&fault);
                false
            }
        });
        usable.collect()
    }

    fn check(&self, kept: &ArchivedKeys, now: UnixSeconds) -> Result<(), UnusableArchive> {
        let ArchivedKeys { jwks_uri, fetched_at, document: _ } = kept;
        if !self.jwks_uris.iter().any(|own| **own == **jwks_uri) {
            return Err(UnusableArchive::ForeignAddress(jwks_uri.clone()));
        }
        if *fetched_at > now.saturating_add(MAX_CLOCK_STEP_SECONDS) {
            return Err(UnusableArchive::Future { seconds: fetched_at - now });
        }
        Ok(())
    }

    fn refuse(&self, error: &dyn Error) {
        let (user_pool, archive) = (&*self.user_pool, self.archive.name());
        tracing::warn!(user_pool, archive, error = %Chain(error), "kept keys are not used");
    }

    /// Keeps what was just fetched. Within a Tokio runtime; does not block.
    pub(crate) fn keep(self: &Arc<Self>, keys: ArchivedKeys) {
        let mut pending = self.pending.lock();
        if pending.keys.get(&*keys.jwks_uri) == Some(&keys) {
            return;
        }
        pending.keys.insert(keys.jwks_uri.clone().into(), keys);
        pending.is_changed = true;
        if !std::mem::replace(&mut pending.is_saving, true) {
            let this = Arc::clone(self);
            tokio::task::spawn_blocking(move || this.save_changes());
        }
    }

    /// Saves until there is nothing new to save.
    fn save_changes(&self) {
        while let Some(keys) = self.changes() {
            let counter = match self.archive.save(&keys) {
                Ok(()) => &self.metrics.archived,
                Err(error) => {
                    let (user_pool, archive) = (&*self.user_pool, self.archive.name());
                    tracing::warn!(user_pool, archive, error = %Chain(&*error), "keys not kept for a restart");
                    &self.metrics.not_archived
                }
            };
            counter.inc();
        }
    }

    fn changes(&self) -> Option<Vec<ArchivedKeys>> {
        let mut pending = self.pending.lock();
        let is_changed = std::mem::take(&mut pending.is_changed);
        pending.is_saving = is_changed;
        is_changed.then(|| pending.keys.values().cloned().collect())
    }
}

/// Why kept keys are left out.
#[derive(Debug, thiserror::Error)]
enum UnusableArchive {
    #[error("{0:?} is not where keys of the pool are")]
    ForeignAddress(String),
    #[error("fetched {seconds} s in the future")]
    Future { seconds: u64 },
}

/// An error with its causes in one line.
pub(super) struct Chain<'e>(pub(super) &'e dyn Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
