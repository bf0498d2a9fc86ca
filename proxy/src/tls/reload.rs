//! Certificates that change: their files are looked at once a second, and what is in them taken over if it fits together.
//!
//! What could not be taken over is read again now and then, even if no file changes: the system may have had no descriptor
//! left. A fault is told and counted once.

use std::{
    path::{Path, PathBuf},
    sync::Weak,
};

use tokio::{task::spawn_blocking, time::sleep};

use super::{CertificateInfo, FaultAt, TlsServer};
use crate::{
    telemetry::metrics::CertificateMetrics,
    watch::{Attention, Glance, INTERVAL},
};

/// How many looks pass until files that could not be taken over are read again.
const LOOKS_UNTIL_RETRY: u32 = 10;

/// The files of a listener, and what came of them.
struct Files {
    watched: Vec<(PathBuf, Attention)>,
    /// What was wrong when they were read the last time.
    faults: Vec<FaultAt>,
    /// Looks until they are read again whatever they look like. Only while something is wrong.
    looks_left: u32,
}

impl Files {
    fn of(server: &TlsServer) -> Self {
        let files = server.config().files();
        let watched = files.map(|file| (file.to_owned(), Attention::default())).collect();
        Self { watched, faults: Vec::new(), looks_left: 0 }
    }

    /// Looks at the files. Whether they are to be read.
    fn look(&mut self, glance: impl Fn(&Path) -> Glance) -> bool {
        let looks = self.watched.iter_mut().map(|(file, attention)| attention.is_drawn_by(glance(file)));
        // Every one of them is looked at, whatever the first says.
        let is_drawn = looks.fold(false, |before, is_drawn| before | is_drawn);
        self.looks_left = self.looks_left.saturating_sub(1);
        is_drawn || (self.looks_left == 0 && !self.faults.is_empty())
    }

    /// Takes note of what is wrong with them: nothing, if they were taken over. Whether that is to be told.
    fn note(&mut self, faults: Vec<FaultAt>) -> bool {
        let is_news = !faults.is_empty() && faults != self.faults;
        self.faults = faults;
        self.looks_left = LOOKS_UNTIL_RETRY;
        is_news
    }
}

/// Takes over what changes in the files of a listener, until nobody serves it any more.
pub async fn follow(tls: Weak<TlsServer>, metrics: CertificateMetrics) {
    let Some(server) = tls.upgrade() else { return };
    publish(&server, &metrics);
    let mut files = Files::of(&server);
    drop(server);
    loop {
        sleep(INTERVAL).await;
        let Some(server) = tls.upgrade() else { return };
        // A file system that hangs holds up a thread for such things, not one that serves.
        let look = spawn_blocking(move || {
            let outcome = files.look(Glance::at).then(|| server.reload());
            (files, server, outcome)
        });
        let Ok((looked_at, server, outcome)) = look.await else { return };
        files = looked_at;
        match outcome {
            None => {}
            Some(Ok(is_new)) => {
                files.note(Vec::new());
                if is_new {
                    tracing::info!(listener = metrics.listener(), "certificates reloaded");
                    metrics.success.inc();
                }
                // A configuration that was reloaded may have taken them over before.
                publish(&server, &metrics);
            }
            Some(Err(faults)) => report(&mut files, faults, &metrics),
        }
    }
}

fn report(files: &mut Files, faults: Vec<FaultAt>, metrics: &CertificateMetrics) {
    if files.note(faults) {
        for FaultAt { key, fault } in &files.faults {
            tracing::error!(listener = metrics.listener(), key, %fault, "certificates not reloaded: the old ones stay");
        }
        metrics.failure.inc();
    }
}

fn publish(server: &TlsServer, metrics: &CertificateMetrics) {
    for CertificateInfo { file, expires } in server.certificates() {
        metrics.set_expiry(&file.to_string_lossy(), expires);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Fault;

    #[test]
    fn what_could_not_be_read_is_read_again_though_nothing_changes() {
        let watched =
            vec![(PathBuf::from("one"), Attention::default()), (PathBuf::from("other"), Attention::default())];
        let mut files = Files { watched, faults: Vec::new(), looks_left: 0 };
        let fault = |cause: &str| Fault::Unreadable { file: "one".into(), cause: cause.to_owned() };
        let faults = |cause: &str| vec![FaultAt { key: "certificates[0].cert".to_owned(), fault: fault(cause) }];
        let still = |_: &Path| Glance::Nothing;
        let looks_until_read = |files: &mut Files| (1..=50).find(|_| files.look(still));
        assert_eq!(looks_until_read(&mut files), Some(1), "the first look");
        assert!(files.note(faults("too many open files")));
        assert_eq!(looks_until_read(&mut files), Some(LOOKS_UNTIL_RETRY));
        assert!(!files.note(faults("too many open files")), "told once");
        assert_eq!(looks_until_read(&mut files), Some(LOOKS_UNTIL_RETRY));
        assert!(files.note(faults("permission denied")), "another");
        assert!(!files.note(Vec::new()));
        assert_eq!(looks_until_read(&mut files), None, "nothing is wrong any more");
    }
}
