//! A collector that takes spans over OTLP/gRPC, on a port of its own, and remembers them.

use std::{net::SocketAddr, sync::Arc};

use e2e::{
    authority::Issued,
    wait::{PATIENCE, Watched, eventually},
};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Request, Response, Status};
use tower_service::Service;

/// What came.
#[derive(Debug, Default)]
struct Received {
    spans: Vec<Span>,
    resource: Vec<KeyValue>,
    /// How many batches came, and how many connections.
    asked: usize,
    connections: usize,
    /// How many spans of each batch are refused, and why.
    refuses: (i64, String),
    /// The batches to come that fail, and with what.
    fails: (usize, Option<Code>),
    /// The batches to come whose connection breaks.
    hangs_up: usize,
    /// Whether nothing is answered.
    is_stuck: bool,
}

/// A collector. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    received: Arc<Watched<Received>>,
    runtime: Option<Runtime>,
    /// Bound and never listening, so that nobody else gets the port while nobody listens.
    _port: TcpSocket,
}

impl Collector {
    /// A collector that is away.
    pub(crate) fn away() -> Self {
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = port.local_addr().unwrap();
        Self { address, received: Arc::default(), runtime: None, _port: port }
    }

    /// A collector.
    pub(crate) fn start() -> Self {
        let mut collector = Self::away();
        collector.listen(None);
        collector
    }

    /// Takes spans from now on, through TLS with a certificate.
    pub(crate) fn listen(&mut self, identity: Option<&Issued>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = runtime.block_on(async { listener(self.address) });
        let tls = identity.map(|identity| TlsAcceptor::from(Arc::new(server(identity))));
        let recorder = Recorder { received: Arc::clone(&self.received), hung_up: Arc::default() };
        runtime.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                recorder.received.with(|received| received.connections += 1);
                let (recorder, tls) = (recorder.of_connection(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, recorder).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, recorder).await;
                            }
                        }
                    }
                });
            }
        });
        self.runtime = Some(runtime);
    }

    /// Closes every connection and refuses new ones.
    pub(crate) fn leave(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }

    /// Refuses so many spans of each batch.
    pub(crate) fn refuse(&self, count: i64, why: &str) {
        self.received.with(|received| received.refuses = (count, why.to_owned()));
    }

    /// Takes nothing of the next batches, and says so with this code.
    pub(crate) fn fail_with(&self, code: Code, batches: usize) {
        self.received.with(|received| received.fails = (batches, Some(code)));
    }

    /// Takes nothing of the next batches, and closes their connections in the middle of it.
    pub(crate) fn hang_up(&self, batches: usize) {
        self.received.with(|received| received.hangs_up = batches);
    }

    /// Answers nothing from now on, or does again.
    pub(crate) fn get_stuck(&self, is_stuck: bool) {
        self.received.with(|received| received.is_stuck = is_stuck);
    }

    /// How many batches came so far, those counted that were not taken.
    pub(crate) fn asked(&self) -> usize {
        self.received.with(|received| received.asked)
    }

    /// How many connections there were so far.
    pub(crate) fn connections(&self) -> usize {
        self.received.with(|received| received.connections)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.received.with(|received| received.spans.iter().cloned().map(Seen).collect())
    }

    /// The spans, as soon as there are so many.
    #[track_caller]
    pub(crate) fn await_spans(&self, count: usize) -> Vec<Seen> {
        let spans = eventually("so many spans", || Some(self.spans()).filter(|spans| spans.len() >= count));
        assert_eq!(spans.len(), count, "{spans:?}");
        spans
    }

    /// Who sent them.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        self.received.with(|received| attribute(&received.resource, key))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A span as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen(pub(crate) Span);

impl Seen {
    /// The value of an attribute, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.0.attributes, key)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.0.parent_span_id)
    }

    /// Whether it went wrong.
    pub(crate) fn is_error(&self) -> bool {
        self.0.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let value = found.next()?.value.clone()?.value?;
    assert!(found.next().is_none(), "{key} twice in {attributes:?}");
    if let Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    let Value::StringValue(text) = value else { panic!("{key}: {value:?}") };
    Some(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What takes spans on a connection.
#[derive(Clone, Debug)]
struct Recorder {
    received: Arc<Watched<Received>>,
    /// Told when the connection is to break.
    hung_up: Arc<Notify>,
}

impl Recorder {
    fn of_connection(&self) -> Self {
        Self { received: Arc::clone(&self.received), hung_up: Arc::default() }
    }
}

impl Received {
    /// What a batch is answered with; nothing, while there is no answer.
    fn take(&mut self, request: ExportTraceServiceRequest) -> Option<Result<ExportTraceServiceResponse, Status>> {
        self.asked += 1;
        if self.is_stuck {
            return None;
        }
        if let (1.., Some(code)) = self.fails {
            self.fails.0 -= 1;
            return Some(Err(Status::new(code, "as told")));
        }
        for spans in request.resource_spans {
            self.resource = spans.resource.unwrap_or_default().attributes;
            self.spans.extend(spans.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        let (rejected_spans, error_message) = self.refuses.clone();
        let partial = ExportTracePartialSuccess { rejected_spans, error_message };
        Some(Ok(ExportTraceServiceResponse { partial_success: (rejected_spans > 0).then_some(partial) }))
    }

    /// Whether this batch's connection breaks.
    fn hangs_up(&mut self) -> bool {
        let hangs_up = self.hangs_up > 0;
        self.hangs_up = self.hangs_up.saturating_sub(1);
        self.asked += usize::from(hangs_up);
        hangs_up
    }
}

#[tonic::async_trait]
impl TraceService for Recorder {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.received.with(Received::hangs_up) {
            self.hung_up.notify_one();
            std::future::pending().await
        }
        match self.received.with(|received| received.take(request.into_inner())) {
            Some(answer) => answer.map(Response::new),
            None => std::future::pending().await,
        }
    }
}

fn listener(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(16).unwrap()
}

fn server(identity: &Issued) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, recorder: Recorder) {
    let hung_up = Arc::clone(&recorder.hung_up);
    let service = TraceServiceServer::new(recorder);
    let answer = service_fn(move |request| service.clone().call(request));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // How a connection ends is the other side's business.
    tokio::select! {
        _ended = server.serve_connection(TokioIo::new(stream), answer) => {}
        () = hung_up.notified() => {}
    }
}
