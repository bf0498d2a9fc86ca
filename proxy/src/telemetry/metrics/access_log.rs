//! What is counted about the lines of the access log.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::registered;

/// What becomes of the lines of the access log.
#[derive(Clone, Debug)]
pub struct AccessLogMetrics {
    /// Lines that were written.
    pub written: IntCounter,
    /// Lines that found no room: too many waited to be written.
    pub dropped: IntCounter,
    /// Lines that could not be written.
    pub failed: IntCounter,
}

impl AccessLogMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lines = Opts::new("cognigate_access_log_lines_total", "Lines of the access log, by what became of them.");
        let lines = registered(registry, IntCounterVec::new(lines, &["result"])?)?;
        let [written, dropped, failed] =
            ["written", "dropped", "failed"].map(|result| lines.with_label_values(&[result]));
        Ok(Self { written, dropped, failed })
    }
}
