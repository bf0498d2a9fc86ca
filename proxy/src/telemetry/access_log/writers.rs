//! Everything that still writes an access log: that of the running configuration, and those of the ones before it for as
//! long as they have requests.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::sink::Sink;

/// Every writer there is. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LogWriters(Arc<Mutex<Vec<Weak<Sink>>>>);

impl LogWriters {
    pub(super) fn add(&self, sink: &Arc<Sink>) {
        let mut sinks = self.0.lock();
        sinks.retain(|sink| sink.strong_count() > 0);
        sinks.push(Arc::downgrade(sink));
    }

    /// Opens every file anew, so that a file that was renamed gets no more lines. Lines that are on their way go to the new
    /// one.
    pub fn reopen(&self) {
        self.all().iter().for_each(|sink| sink.reopen());
    }

    /// Waits until every line is written that was given so far, at most this long. Says whether all are.
    pub fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        // While one of them is waited for the others write, and all of them have the same time.
        self.all().iter().all(|sink| sink.flush(until))
    }

    fn all(&self) -> Vec<Arc<Sink>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
