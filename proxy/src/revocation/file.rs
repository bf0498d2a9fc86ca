//! The revocation file while the proxy runs: read again when it changes.
//!
//! A file that cannot be read or is not as it should be changes nothing: what it last said holds, and the error is told once. One
//! that does not fit is tried again and again, since entries from elsewhere expire.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cognigate_auth::{
    clock::Clock,
    revocation::{RevocationList, Source},
};
use tokio::time::timeout;

use super::{entry, metrics::RevocationMetrics};
use crate::{
    config::revocations::{self, ContentDigest, RevocationFile, RevocationFileError},
    watch::Watch,
};

/// How often a file that did not fit is tried again.
const ROOM_INTERVAL: Duration = Duration::from_secs(10);

/// The file, and the list that it fills.
#[derive(Debug)]
pub struct WatchedFile {
    /// Where it is.
    pub path: PathBuf,
    /// The content that there is no use in reading again: it is in the list, or is not as it should be.
    pub digest: Option<ContentDigest>,
    /// Whether it could not be read when it was last looked at.
    pub is_unreadable: bool,
    /// Whether it did not fit when it was last looked at.
    pub is_too_long: bool,
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
            match self.is_too_long {
                // There may be room by now, though the file is the same.
                true => drop(timeout(ROOM_INTERVAL.max(interval), watch.changed()).await),
                false => watch.changed().await,
            }
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
        let was_too_long = std::mem::take(&mut self.is_too_long);
        match revocations::read(&self.path, self.digest) {
            Ok(Some(file)) => self.take_over(&file, was_too_long),
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

    fn take_over(&mut self, RevocationFile { entries, digest }: &RevocationFile, was_too_long: bool) {
        let now = self.clock.now();
        let entries = entries.iter().filter_map(|written| entry::of_file(written, now)).collect();
        if let Err(full) = self.list.replace(Source::File, entries) {
            self.is_too_long = true;
            if !was_too_long {
                self.refuse(&full);
            }
            return;
        }
        self.digest = Some(*digest);
        self.metrics.file_loaded(true);
        let entries = self.list.len_of(Source::File);
        tracing::info!(file = %self.path.display(), entries, "the revocation file was loaded");
    }

    fn refuse(&self, error: &dyn std::error::Error) {
        self.metrics.file_loaded(false);
        tracing::error!(file = %self.path.display(), %error, "the revocation file is not used: what it said before holds");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cognigate_auth::{
        clock::FixedClock,
        revocation::{Revocation, Subject, SubjectKind},
    };
    use prometheus::Registry;

    use super::*;

    #[test]
    fn a_file_that_did_not_fit_is_loaded_once_there_is_room() {
        let path = std::env::temp_dir().join(format!("cognigate-room-{}", std::process::id()));
        fs::write(&path, "revocations: [{ jti: a }, { jti: b }]").unwrap();
        let list = Arc::new(RevocationList::new(2));
        let subject = Subject::new(SubjectKind::Jti, "c").unwrap();
        let entry = Revocation { subject: subject.clone(), issued_before: None, expires_at: 9, made_at: 0 };
        list.add(Source::Shared, entry).unwrap();
        let mut file = WatchedFile {
            path: path.clone(),
            digest: None,
            is_unreadable: false,
            is_too_long: false,
            list: Arc::clone(&list),
            clock: Arc::new(FixedClock::at(1)),
            metrics: RevocationMetrics::register(&Registry::new()).unwrap(),
        };
        for _ in 0..2 {
            file.load();
            assert_eq!((file.is_too_long, list.len_of(Source::File)), (true, 0));
        }
        list.remove(Source::Shared, &subject);
        file.load();
        assert_eq!((file.is_too_long, list.len_of(Source::File)), (false, 2));
        fs::remove_file(path).unwrap();
    }
}
