//! What is counted about where revocations come from, in Prometheus' terms. The list itself tells how much is in it.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::telemetry::metrics::registered;

/// The metrics of the sources of the list.
#[derive(Clone, Debug)]
pub struct RevocationMetrics {
    added: IntCounter,
    removed: IntCounter,
    expired: IntCounter,
    file_loaded: IntCounter,
    file_failed: IntCounter,
    state_written: IntCounter,
    state_failed: IntCounter,
}

impl RevocationMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help, label: &str| registered(registry, IntCounterVec::new(Opts::new(name, help), &[label])?);
        let changes = counters(
            "cognigate_revocation_changes_total",
            "Entries that were added or removed while the proxy ran, and entries that expired.",
            "change",
        )?;
        let loads =
            counters("cognigate_revocation_file_loads_total", "Loads of the revocation file, by result.", "result")?;
        let writes = counters(
            "cognigate_revocation_state_writes_total",
            "Writes to the file that keeps revocations over a restart, by result.",
            "result",
        )?;
        Ok(Self {
            added: changes.with_label_values(&["added"]),
            removed: changes.with_label_values(&["removed"]),
            expired: changes.with_label_values(&["expired"]),
            file_loaded: loads.with_label_values(&["success"]),
            file_failed: loads.with_label_values(&["failure"]),
            state_written: writes.with_label_values(&["success"]),
            state_failed: writes.with_label_values(&["failure"]),
        })
    }

    pub(super) fn added(&self, count: usize) {
        self.added.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn removed(&self, count: usize) {
        self.removed.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn expired(&self, count: usize) {
        self.expired.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(super) fn file_loaded(&self, is_loaded: bool) {
        if is_loaded { self.file_loaded.inc() } else { self.file_failed.inc() }
    }

    pub(super) fn state_written(&self, is_written: bool) {
        if is_written { self.state_written.inc() } else { self.state_failed.inc() }
    }
}
