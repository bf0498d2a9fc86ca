//! What is counted about the configuration, and the end of series that it no longer names.

use std::collections::HashMap;

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use super::registered;

/// What is counted about the configuration being loaded anew.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    /// Configurations that took the place of the one before.
    pub success: IntCounter,
    /// Configurations that were refused.
    pub failure: IntCounter,
    /// 1, or 0 from when a configuration was refused to when one is taken again.
    pub is_last_successful: IntGauge,
    /// When the configuration that is served was loaded, in seconds since 1970; also at start.
    pub last_success: IntGauge,
}

impl ReloadMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads =
            Opts::new("cognigate_config_reloads_total", "Times the configuration was loaded anew, by result.");
        let reloads = registered(registry, IntCounterVec::new(reloads, &["result"])?)?;
        let is_last_successful = IntGauge::new(
            "cognigate_config_last_reload_successful",
            "Whether the configuration that was offered last is the one that is served: 1, or 0.",
        )?;
        let last_success = IntGauge::new(
            "cognigate_config_last_reload_success_timestamp_seconds",
            "When the configuration that is served was loaded.",
        )?;
        Ok(Self {
            success: reloads.with_label_values(&["success"]),
            failure: reloads.with_label_values(&["failure"]),
            is_last_successful: registered(registry, is_last_successful)?,
            last_success: registered(registry, last_success)?,
        })
    }
}

/// Ends every series whose `label` is not to be kept. What still counts in one counts where nobody looks.
pub(super) fn retain<B: MetricVecBuilder>(metric: &MetricVec<B>, label: &str, is_kept: impl Fn(&str) -> bool)
where
    MetricVec<B>: Collector,
{
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels: HashMap<_, _> = series.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if !labels.get(label).is_none_or(|value| is_kept(value)) {
                // Fails only if somebody else has just removed it.
                let _ = metric.remove(&labels);
            }
        }
    }
}
