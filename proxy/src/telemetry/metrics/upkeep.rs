//! What is counted about keeping upstreams in order: health checks, and look-ups of names.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::{registered, reload};

/// The metrics of all upstreams.
#[derive(Clone, Debug)]
pub(super) struct UpkeepFamilies {
    checks: IntCounterVec,
    resolutions: IntCounterVec,
}

/// What is counted about keeping one upstream in order.
#[derive(Clone, Debug)]
pub struct UpkeepMetrics {
    /// Health checks of its endpoints.
    pub checks: ResultCounters,
    /// Look-ups of its name.
    pub resolutions: ResultCounters,
}

/// How often something succeeded, and how often it failed.
#[derive(Clone, Debug)]
pub struct ResultCounters {
    success: IntCounter,
    failure: IntCounter,
}

impl UpkeepFamilies {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name, help| registered(registry, IntCounterVec::new(Opts::new(name, help), &["upstream", "result"])?);
        Ok(Self {
            checks: counters(
                "cognigate_upstream_health_checks_total",
                "Health checks of an upstream's endpoints, by result.",
            )?,
            resolutions: counters("cognigate_dns_resolutions_total", "Look-ups of an upstream's name, by result.")?,
        })
    }

    pub(super) fn of(&self, upstream: &str) -> UpkeepMetrics {
        let counters = |family: &IntCounterVec| ResultCounters {
            success: family.with_label_values(&[upstream, "success"]),
            failure: family.with_label_values(&[upstream, "failure"]),
        };
        UpkeepMetrics { checks: counters(&self.checks), resolutions: counters(&self.resolutions) }
    }

    pub(super) fn retain(&self, is_upstream: impl Fn(&str) -> bool) {
        for family in [&self.checks, &self.resolutions] {
            reload::retain(family, "upstream", &is_upstream);
        }
    }
}

impl ResultCounters {
    /// Counts one.
    pub fn count(&self, is_success: bool) {
        if is_success { self.success.inc() } else { self.failure.inc() }
    }
}
