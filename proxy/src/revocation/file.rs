//! The revocation file while the proxy runs: read again when it changes.
//!
//! A file that cannot be read or is not as it should be changes nothing: what it last said holds, and the error is told once.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cognigate_auth::{
    clock::Clock,
    revocation::{RevocationList, Source},
};

use super::{entry, metrics::RevocationMetrics};
use crate::{
    config::revocations::{self, ContentDigest, RevocationFile, RevocationFileError},
    watch::Watch,
};

/// The file, and the list that it fills.
#[derive(Debug)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// The content that was read last, good or bad.
    pub digest: Option<ContentDigest>,
    /// Whether it could not be read when it was last looked at.
    pub is_unreadable: bool,
    /// What it fills.
    pub list: Arc<RevocationList>,
    /// Tells what has expired.
    pub clock: Arc<dyn Clock>,
    /// Counts loads.
    pub metrics: RevocationMetrics,
}

impl WatchedFile {
    /// Reads the file whenever it may have changed, until it is dropped. Looks at it every `interval`.
    pub async fn follow(mut self, interval: Duration) {
        let mut watch = Watch::new(self.path.clone(), interval);
        loop {
            watch.changed().await;
            let load = tokio::task::spawn_blocking(move || {
                self.load();
                self
            });
            self = match load.await {
                Ok(this) => this,
                Err(lost) => {
                    tracing::error!(error = %lost, "the revocation file is not followed any more");
                    return;
                }
            };
        }
    }

    /// Takes the file over if its content is another than before and good.
    pub fn load(&mut self) {
        let was_unreadable = std::mem::take(&mut self.is_unreadable);
        match revocations::read(&self.path, self.digest) {
            Ok(Some(file)) => self.take_over(&file),
            Ok(None) if was_unreadable => {
                tracing::info!(file = %self.path.display(), "the revocation file can be read again, and is as it was");
            }
            Ok(None) => {}
            Err(RevocationFileError { error, digest }) => {
                self.is_unreadable = digest.is_none();
                self.digest = digest.or(self.digest);
                self.refuse(&*error);
            }
        }
    }

    fn take_over(&mut self, RevocationFile { entries, digest }: &RevocationFile) {
        self.digest = Some(*digest);
        let now = self.clock.now();
        let entries = entries.iter().filter_map(|written| entry::of_file(written, now)).collect();
        if let Err(full) = self.list.replace(Source::File, entries) {
            return self.refuse(&full);
        }
        self.metrics.file_loaded(true);
        let entries = self.list.len_of(Source::File);
        tracing::info!(file = %self.path.display(), entries, "the revocation file was loaded");
    }

    fn refuse(&self, error: &dyn std::error::Error) {
        self.metrics.file_loaded(false);
        tracing::error!(file = %self.path.display(), %error, "the revocation file is not used: what it said before holds");
    }
}
