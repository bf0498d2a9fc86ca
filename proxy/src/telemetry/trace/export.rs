//! Sends spans to a collector over OTLP/gRPC, off the request path.
//!
//! - Requests put what they took down into a queue of [`QUEUE`]; what finds it full is dropped and counted.
//! - A batch is what came within [`DELAY`], or as many as fit in [`BATCH`] if they are there before.
//! - A batch has the `timeout` of the configuration. Within that it is sent again after a fault that may pass; after that it has
//!   failed, and is counted. Meanwhile the queue fills: a collector that is away costs requests nothing.
//! - A connection is made when it is needed, and anew after a batch that got no answer: it may lead nowhere. Whatever is wrong
//!   with it, authorities that the system does not have included, is a fault of the batch and never one of the process.
//! - An outage is one warning in the log, and its end one line more: the first batch that is taken whole.
//! - It ends when no tracer is there any more, after it has sent the rest.

use std::{error::Error, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceResponse, trace_service_client::TraceServiceClient},
    trace::v1::Span,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{VERSION, record::Record, span};
use crate::{
    config::model::TracingConfig,
    telemetry::{log::with_causes, metrics::SpanMetrics},
};

/// How long the end of the process waits for the last spans.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The requests that wait for their spans to be sent, each of [`MAX_RECORD_BYTES`] at most.
const QUEUE: usize = 2048;

/// The most that is taken down of a request, in bytes.
#[cfg(test)]
pub(super) const MAX_RECORD_BYTES: usize = 4096;

/// The spans of a batch that is sent at once, and at most one request's more. Of spans as large as they can be it is half of the
/// 4 MB that gRPC servers take by default.
const BATCH: usize = 512;

/// How long a batch is collected.
const DELAY: Duration = Duration::from_secs(1);

/// The wait before a batch is sent again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The most of a message of the collector's that is logged, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// What waits to be exported.
#[derive(Debug)]
pub(super) struct Queue {
    records: mpsc::Sender<Box<Record>>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    metrics: SpanMetrics,
}

impl Queue {
    /// Exports what is put into it, on the Tokio runtime that this is called in.
    pub(super) fn begin(config: &TracingConfig, metrics: SpanMetrics) -> Self {
        let (records, waiting) = mpsc::channel(QUEUE);
        let (flushes, asked) = mpsc::channel(1);
        let exporter = Exporter {
            collector: Collector { config: config.clone(), client: None },
            metrics: metrics.clone(),
            outage: None,
        };
        tokio::spawn(exporter.run(waiting, asked));
        Self { records, flushes, metrics }
    }

    /// Adds a request, or drops its spans.
    pub(super) fn put(&self, record: Box<Record>) {
        if let Err(mpsc::error::TrySendError::Full(record) | mpsc::error::TrySendError::Closed(record)) =
            self.records.try_send(record)
        {
            self.metrics.dropped.inc_by(span::count(&record));
        }
    }

    /// Waits until all that was put into it before was sent, or has failed.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if self.flushes.send(done).await.is_ok() {
                // It is dropped if the exporter is gone.
                let _ = flushed.await;
            }
        };
        if timeout(FLUSH_TIMEOUT, flush).await.is_err() {
            tracing::warn!("the last spans were not exported in time");
        }
    }
}

/// A connection that is made when it is needed, and made anew where it broke. No pings keep it up: servers close it for those, and
/// every batch has its time.
fn channel(config: &TracingConfig) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(config.endpoint.to_string())?
        .user_agent(["cognigate/", VERSION].concat())?
        .connect_timeout(config.timeout);
    if config.endpoint.scheme() == "https" {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(endpoint.connect_lazy())
}

/// Sends what is in a queue.
#[derive(Debug)]
struct Exporter {
    collector: Collector,
    metrics: SpanMetrics,
    /// What was warned of last, until a batch is taken whole.
    outage: Option<Outage>,
}

/// Why spans are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// Batches cannot be exported.
    Away,
    /// Batches are taken, without some of their spans.
    Refusing,
}

impl Exporter {
    async fn run(mut self, mut waiting: mpsc::Receiver<Box<Record>>, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut batch = Vec::new();
        loop {
            let flush = tokio::select! {
                is_open = collect(&mut waiting, &mut batch) => {
                    if !is_open {
                        break;
                    }
                    None
                }
                // After the last tracer there is nobody to ask.
                Some(done) = asked.recv() => Some(done),
            };
            self.export(&mut batch).await;
            if let Some(done) = flush {
                self.drain(&mut waiting, &mut batch).await;
                // Whoever asked may have given up.
                let _ = done.send(());
            }
        }
        self.export(&mut batch).await;
    }

    /// Sends what waits at this moment.
    async fn drain(&mut self, waiting: &mut mpsc::Receiver<Box<Record>>, batch: &mut Vec<Span>) {
        for _ in 0..waiting.len() {
            let Ok(record) = waiting.try_recv() else { break };
            batch.extend(span::spans(&record));
            if batch.len() >= BATCH {
                self.export(batch).await;
            }
        }
        self.export(batch).await;
    }

    /// Sends a batch, which is empty then.
    async fn export(&mut self, batch: &mut Vec<Span>) {
        let spans = std::mem::take(batch);
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return;
        }
        match self.collector.take(spans).await {
            Ok(answer) => {
                let refused = refused(&answer).min(count);
                self.metrics.exported.inc_by(count - refused);
                self.metrics.failed.inc_by(refused);
                self.report_answer(&answer, refused);
            }
            Err(status) => {
                self.metrics.failed.inc_by(count);
                self.report_failure(&status);
            }
        }
    }

    fn report_answer(&mut self, answer: &ExportTraceServiceResponse, refused: u64) {
        let collector = &self.collector.config.endpoint;
        if refused == 0 {
            if self.outage.take().is_some() {
                tracing::info!(%collector, "spans are exported again");
            }
        } else if self.outage.replace(Outage::Refusing) != Some(Outage::Refusing) {
            let cause = answer.partial_success.as_ref().map(|partial| printable(&partial.error_message));
            tracing::warn!(%collector, refused, cause = cause.unwrap_or_default(), "the collector refuses spans");
        }
    }

    fn report_failure(&mut self, status: &Status) {
        if self.outage.replace(Outage::Away) == Some(Outage::Away) {
            return;
        }
        let collector = &self.collector.config.endpoint;
        let cause = status.source().map_or_else(|| printable(status.message()), with_causes);
        tracing::warn!(%collector, code = ?status.code(), cause, "spans cannot be exported");
    }
}

/// Collects a batch: what comes within a while after the first. Says whether more can come. What it has collected is in `batch`
/// when it is given up.
async fn collect(waiting: &mut mpsc::Receiver<Box<Record>>, batch: &mut Vec<Span>) -> bool {
    if batch.is_empty() {
        let Some(first) = waiting.recv().await else { return false };
        batch.extend(span::spans(&first));
    }
    let end = Instant::now() + DELAY;
    while batch.len() < BATCH {
        match timeout_at(end, waiting.recv()).await {
            Ok(Some(record)) => batch.extend(span::spans(&record)),
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
    true
}

/// How many spans the collector refused although it took the rest.
fn refused(answer: &ExportTraceServiceResponse) -> u64 {
    let partial = answer.partial_success.as_ref();
    partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

/// The beginning of what the collector says, as a log can show it.
fn printable(message: &str) -> String {
    let shown = |found: char| if found == ' ' || found.is_ascii_graphic() { found } else { '?' };
    message.chars().take(MAX_MESSAGE_CHARS).map(shown).collect()
}

/// Who takes spans.
#[derive(Debug)]
struct Collector {
    config: TracingConfig,
    /// Once it was needed, and until a batch got no answer.
    client: Option<TraceServiceClient<Channel>>,
}

impl Collector {
    /// Has it take spans, however often that must be tried, in the time of one batch.
    async fn take(&mut self, spans: Vec<Span>) -> Result<ExportTraceServiceResponse, Status> {
        let request = span::request(&self.config.service_name, spans);
        let end = Instant::now() + self.config.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(answer) = timeout_at(end, self.client()?.export(request.clone())).await else {
                self.client = None;
                return Err(Status::deadline_exceeded("no answer in time"));
            };
            let status = match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            if !may_pass(&status) || Instant::now() + pause >= end {
                return Err(status);
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
    }

    fn client(&mut self) -> Result<&mut TraceServiceClient<Channel>, Status> {
        let client = match self.client.take() {
            Some(client) => client,
            None => TraceServiceClient::new(channel(&self.config).map_err(|fault| Status::from_error(fault.into()))?),
        };
        Ok(self.client.insert(client))
    }
}

/// Whether the same request may succeed a little later: the connection broke, or the collector says so (OTLP specification,
/// "Failures"). What the collector says has no cause here.
fn may_pass(status: &Status) -> bool {
    status.source().is_some() || is_transient(status.code())
}

/// Whether a collector that says so may take the same request a little later.
const fn is_transient(code: Code) -> bool {
    match code {
        Code::Aborted
        | Code::Cancelled
        | Code::DataLoss
        | Code::DeadlineExceeded
        | Code::OutOfRange
        | Code::Unavailable => true,
        Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Internal
        | Code::InvalidArgument
        | Code::NotFound
        | Code::Ok
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_as_far_as_it_is_short_and_printable() {
        let long = "x".repeat(1000);
        for (message, shown) in [
            ("too many spans", "too many spans"),
            ("a\nb\x1b[2Jc\u{202e}é", "a?b?[2Jc??"),
            (&long, &"x".repeat(MAX_MESSAGE_CHARS)),
            ("", ""),
        ] {
            assert_eq!(printable(message), shown);
        }
    }
}
