//! What a list says of itself, read whenever someone asks: writers count nothing twice.

use std::sync::Arc;

use prometheus::{
    IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{RevocationList, Source};

/// A list and where its figures are shown.
struct Figures {
    list: Arc<RevocationList>,
    entries: IntGaugeVec,
    max_entries: IntGauge,
    ready: IntGauge,
}

impl RevocationList {
    /// Shows the list in a registry: `cognigate_revocations` by `source`, `cognigate_revocations_max` and
    /// `cognigate_revocations_ready`. An alert asks whether the sum of the first comes near the second, which is where
    /// entries are refused, and whether the last is 0, which is when no token is let through.
    ///
    /// # Errors
    ///
    /// The registry's, if it holds metrics of these names already.
    pub fn register(self: &Arc<Self>, registry: &Registry) -> Result<(), prometheus::Error> {
        let entries = Opts::new("cognigate_revocations", "Entries that say what is revoked, by where they come from.");
        let figures = Figures {
            list: Arc::clone(self),
            entries: IntGaugeVec::new(entries, &["source"])?,
            max_entries: IntGauge::new("cognigate_revocations_max", "Entries beyond which none is taken.")?,
            ready: IntGauge::new("cognigate_revocations_ready", "1 once it is known what is revoked; until then 0.")?,
        };
        registry.register(Box::new(figures))
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        [self.entries.desc(), self.max_entries.desc(), self.ready.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for source in Source::ALL {
            self.entries.with_label_values(&[source.as_str()]).set(count(self.list.len_of(source)));
        }
        self.max_entries.set(count(self.list.max_entries()));
        self.ready.set(i64::from(self.list.is_ready()));
        [self.entries.collect(), self.max_entries.collect(), self.ready.collect()].concat()
    }
}

fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}
