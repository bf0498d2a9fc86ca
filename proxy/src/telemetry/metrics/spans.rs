//! What is counted about the spans of requests.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::registered;

/// What became of spans.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    /// A collector took them.
    pub exported: IntCounter,
    /// The queue was full.
    pub dropped: IntCounter,
    /// No collector took them in time, or one refused them.
    pub failed: IntCounter,
}

impl SpanMetrics {
    /// Makes the metrics and registers them.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new("cognigate_tracing_spans_total", "Spans of requests, by what became of them.");
        let spans = registered(registry, IntCounterVec::new(options, &["result"])?)?;
        let [exported, dropped, failed] =
            ["exported", "dropped", "failed"].map(|result| spans.with_label_values(&[result]));
        Ok(Self { exported, dropped, failed })
    }
}
