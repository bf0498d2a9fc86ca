//! What is counted about the accounts of who is limited.

use prometheus::{IntCounter, IntGauge, Registry};

use super::registered;

/// What the rate limits keep in mind.
#[derive(Clone, Debug)]
pub struct RateMetrics {
    /// Places that are taken. One that nobody owes anything for is taken by the next who needs it.
    pub keys: IntGauge,
    /// Accounts that were forgotten although they owed something.
    pub evictions: IntCounter,
}

impl RateMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let keys = IntGauge::new("cognigate_rate_limit_keys", "Callers that the rate limits have a place for.")?;
        let evictions = IntCounter::new(
            "cognigate_rate_limit_evictions_total",
            "Callers that were forgotten before their time because others needed the place.",
        )?;
        Ok(Self { keys: registered(registry, keys)?, evictions: registered(registry, evictions)? })
    }
}
