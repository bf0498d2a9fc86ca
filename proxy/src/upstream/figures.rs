//! What pools say of their endpoints, read whenever someone asks: requests count nothing twice, and what has left a pool, or
//! the configuration, says nothing any more.

use std::{fmt, sync::Arc};

use prometheus::{
    IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::pool::Pool;

/// The pools that are served at one moment.
pub type Pools = Arc<[Arc<Pool>]>;

/// Pools and where their figures are shown.
struct Figures<P> {
    pools: P,
    families: Families,
}

struct Families {
    healthy: IntGaugeVec,
    in_flight: IntGaugeVec,
}

/// Shows the endpoints of the pools that `pools` names, in a registry: `cognigate_upstream_endpoint_healthy` and
/// `cognigate_upstream_endpoint_requests_in_flight`, by `upstream` and `endpoint`.
///
/// # Errors
///
/// The registry's, if it holds metrics of these names already.
pub fn register(
    registry: &Registry,
    pools: impl Fn() -> Pools + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Figures { pools, families: Families::new()? }))
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        let gauges = |name, help| IntGaugeVec::new(Opts::new(name, help), &["upstream", "endpoint"]);
        Ok(Self {
            healthy: gauges(
                "cognigate_upstream_endpoint_healthy",
                "1 while an endpoint is in rotation: its health checks are good, and it is not ejected. Else 0.",
            )?,
            in_flight: gauges(
                "cognigate_upstream_endpoint_requests_in_flight",
                "Requests that an endpoint has at this moment.",
            )?,
        })
    }
}

impl<P: Fn() -> Pools + Send + Sync> Collector for Figures<P> {
    fn desc(&self) -> Vec<&Desc> {
        [self.families.healthy.desc(), self.families.in_flight.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // New ones, so that nothing of the last time is left, and two who ask at once do not meet.
        let Ok(Families { healthy, in_flight }) = Families::new() else { return Vec::new() };
        for pool in (self.pools)().iter() {
            for endpoint in pool.members().endpoints() {
                let labels = [pool.name(), &endpoint.address().to_string()];
                healthy.with_label_values(&labels).set(endpoint.is_available().into());
                let requests = i64::try_from(endpoint.in_flight()).unwrap_or(i64::MAX);
                in_flight.with_label_values(&labels).set(requests);
            }
        }
        [healthy.collect(), in_flight.collect()].concat()
    }
}

impl<P> fmt::Debug for Figures<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Figures").finish_non_exhaustive()
    }
}
