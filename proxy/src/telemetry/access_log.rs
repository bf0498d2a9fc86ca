//! The access log: one line for each request, to a file or to the standard output.
//!
//! 1. [`Entry`]: what a line tells about a request
//! 2. `json` and `combined`: how it looks, made in a buffer that its thread uses again and again
//! 3. `sink`: where the lines of all threads wait, at most 8 MiB of them; what finds no room there is dropped and counted
//! 4. `writer` and `target`: a thread of its own that writes them out, so that no request ever waits for a disk
//!
//! What a client sent is told with care (`foreign`): nothing of it ends a line or a value, nothing of it is longer than a
//! kibibyte, and what looks like a token is not in it.

mod combined;
mod entry;
mod foreign;
mod json;
mod line;
mod moment;
mod sink;
mod target;
mod writer;
mod writers;

use std::{cell::Cell, io, sync::Arc, thread};

use thiserror::Error;

pub use self::{
    entry::{Caller, Entry, Sent},
    writers::LogWriters,
};
use self::{line::Line, sink::Sink, target::Target};
use super::metrics::AccessLogMetrics;
use crate::config::model::{AccessLogConfig, LogFormat};

thread_local! {
    static LINE: Cell<Line> = Cell::default();
}

/// Where the lines of requests go. Clones are the same log, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct AccessLog {
    config: AccessLogConfig,
    sink: Arc<Writing>,
}

/// Why there is no log.
#[derive(Clone, Debug, Error)]
#[error("access_log.path: cannot open {path}")]
pub struct CannotOpen {
    path: Box<str>,
    #[source]
    fault: Arc<io::Error>,
}

/// Lets the writer end once nobody has a line for it any more.
#[derive(Debug)]
struct Writing(Arc<Sink>);

impl AccessLog {
    /// Opens the log and starts its writer, which `writers` knows from now on.
    ///
    /// # Errors
    ///
    /// [`CannotOpen`]: there is no such file, or no thread.
    pub fn open(config: &AccessLogConfig, metrics: AccessLogMetrics, writers: &LogWriters) -> Result<Self, CannotOpen> {
        let opened = Self::try_open(config, metrics, writers);
        opened.map_err(|fault| CannotOpen { path: config.target.to_string().into(), fault: Arc::new(fault) })
    }

    fn try_open(config: &AccessLogConfig, metrics: AccessLogMetrics, writers: &LogWriters) -> io::Result<Self> {
        let target = Target::open(&config.target)?;
        let sink = Arc::new(Sink::new(metrics));
        let lines = Arc::clone(&sink);
        thread::Builder::new().name("access-log".to_owned()).spawn(move || writer::run(&lines, target))?;
        writers.add(&sink);
        Ok(Self { config: config.clone(), sink: Arc::new(Writing(sink)) })
    }

    /// What it was opened with.
    #[must_use]
    pub const fn config(&self) -> &AccessLogConfig {
        &self.config
    }

    /// Writes a line, sooner or later; drops and counts it, if too many wait already.
    pub fn write(&self, entry: &Entry<'_>) {
        // Nothing there: the thread is ending.
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        line.clear();
        match self.config.format {
            LogFormat::Combined => combined::write(&mut line, entry),
            LogFormat::Json => json::write(&mut line, entry),
        }
        line.text("\n");
        self.sink.0.push(line.as_bytes());
        let _ = LINE.try_with(|kept| kept.set(line));
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
