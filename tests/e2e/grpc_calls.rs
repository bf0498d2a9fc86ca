//! gRPC through the proxy: a client and a server of tonic that know nothing of it. Each kind of call passes whole, metadata and
//! trailers included, and a refusal is a status of gRPC.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use bytes::{Buf, BufMut, Bytes};
use e2e::{authority::Authority, secure};
use http::{Uri, uri::PathAndQuery};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    server::{ClientStreamingService, ServerStreamingService, StreamingService, UnaryService},
    transport::{Channel, Endpoint},
};

use crate::http2::SecureEdge;

/// Messages as they are: what is in them is not the proxy's business.
#[derive(Clone, Copy, Debug, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The server. Every response says in its metadata who called and what the caller sent along.
#[derive(Clone, Copy, Debug)]
struct Echo;

fn with_metadata<M>(of: &MetadataMap, message: M) -> Response<M> {
    let mut response = Response::new(message);
    for name in ["x-sub", "x-note-bin"] {
        if let Some(value) = of.get(name) {
            response.metadata_mut().insert(name.parse::<tonic::metadata::AsciiMetadataKey>().unwrap(), value.clone());
        }
        if let Some(value) = of.get_bin(name) {
            let name: tonic::metadata::BinaryMetadataKey = name.parse().unwrap();
            response.metadata_mut().insert_bin(name, value.clone());
        }
    }
    response
}

type Messages = tokio_stream::Iter<vec::IntoIter<Result<Bytes, Status>>>;
type Later<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        if &request.get_ref()[..] == b"fail" {
            let mut status = Status::failed_precondition("not today: 100%");
            status.metadata_mut().insert("x-why", "tests".parse().unwrap());
            return ready(Err(status));
        }
        ready(Ok(with_metadata(request.metadata(), request.get_ref().clone())))
    }
}

impl ServerStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = Ready<Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let mut messages: Vec<_> = (0..100).map(|_| Ok(request.get_ref().clone())).collect();
        messages.push(Err(Status::resource_exhausted("that is all")));
        ready(Ok(with_metadata(request.metadata(), tokio_stream::iter(messages))))
    }
}

impl ClientStreamingService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Later<Bytes>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let mut messages = request.into_inner();
            let mut length = 0;
            while let Some(message) = messages.message().await? {
                length += message.len();
            }
            Ok(Response::new(length.to_string().into()))
        })
    }
}

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Ready<Result<Response<Streaming<Bytes>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut grpc = tonic::server::Grpc::new(Plain);
    Ok(match path.rsplit('/').next().unwrap() {
        "Unary" => grpc.unary(Echo, request).await,
        "Server" => grpc.server_streaming(Echo, request).await,
        "Client" => grpc.client_streaming(Echo, request).await,
        "Both" => grpc.streaming(Echo, request).await,
        _ => Status::unimplemented(path).into_http(),
    })
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

/// Connects to the proxy as a client that trusts this authority.
#[derive(Clone)]
struct Dial {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Dial {
    fn new(address: SocketAddr, authority: &Authority) -> Self {
        let mut config = secure::config(authority, None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { address, tls: TlsConnector::from(Arc::new(config)) }
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, tls } = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(TokioIo::new(tls.connect("localhost".try_into().unwrap(), stream).await?))
        })
    }
}

struct World {
    secure: SecureEdge,
    client: tonic::client::Grpc<Channel>,
}

impl World {
    async fn start() -> Self {
        let upstreams = format!("{{ items: {{ endpoints: [\"{}\"], protocol: http2 }} }}", serve().await);
        let routes = r#"
  - { match: { path: "/items.Items/{method}" }, auth: { user_pools: [main] }, upstream: items }
  - { match: { path: "/grouped.Items/{method}" }, auth: { user_pools: [main], groups_any: [writers] }, upstream: items }
  - { match: { path: "/open.Items/{method}" }, auth: none, upstream: items }"#;
        let secure = SecureEdge::start(&[
            ("upstreams", &upstreams),
            ("routes", routes),
            ("identity", "{ headers: { x-sub: sub } }"),
            ("limits", "{ request_body_bytes: 1MiB }"),
        ]);
        let dial = Dial::new(secure.address(), &secure.authority);
        let endpoint = Endpoint::from_static("http://localhost").origin(Uri::from_static("https://localhost"));
        let channel = endpoint.connect_with_connector(dial).await.unwrap();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        Self { secure, client }
    }

    /// A request of a caller with a good token.
    fn request<M>(&self, message: M) -> Request<M> {
        let token = self.secure.edge.pool.id_token(&json!({ "sub": "alice" }));
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request.metadata_mut().insert("x-sub", "mallory".parse().unwrap());
        let note = tonic::metadata::MetadataValue::from_bytes(b"\0\xff");
        request.metadata_mut().insert_bin("x-note-bin", note);
        request
    }
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_call_passes_whole() {
    let mut world = World::start().await;
    let request = world.request(Bytes::from_static(b"hello"));
    let response = world.client.unary(request, path("/items.Items/Unary"), Plain).await.unwrap();
    assert_eq!(response.get_ref(), "hello");
    assert_eq!(response.metadata().get("x-sub").unwrap(), "alice");
    assert_eq!(response.metadata().get_bin("x-note-bin").unwrap().to_bytes().unwrap(), &b"\0\xff"[..]);
    assert!(response.metadata().get("x-request-id").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_of_a_failure_arrives() {
    let mut world = World::start().await;
    let request = world.request(Bytes::from_static(b"fail"));
    let status = world.client.unary(request, path("/items.Items/Unary"), Plain).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not today: 100%"));
    assert_eq!(status.metadata().get("x-why").unwrap(), "tests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_streams() {
    let mut world = World::start().await;
    let request = world.request(Bytes::from(vec![b'x'; 10_000]));
    let response = world.client.server_streaming(request, path("/items.Items/Server"), Plain).await.unwrap();
    let mut messages = response.into_inner();
    for _ in 0..100 {
        assert_eq!(messages.message().await.unwrap().unwrap().len(), 10_000);
    }
    assert_eq!(messages.message().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_streams() {
    let mut world = World::start().await;
    let request = world.request(tokio_stream::iter(vec![Bytes::from(vec![b'x'; 1000]); 100]));
    let response = world.client.client_streaming(request, path("/items.Items/Client"), Plain).await.unwrap();
    assert_eq!(response.get_ref(), "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stream_in_turns() {
    let mut world = World::start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let request = world.request(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let response = world.client.streaming(request, path("/items.Items/Both"), Plain).await.unwrap();
    let mut messages = response.into_inner();
    for number in 0..50 {
        let message = Bytes::from(format!("message {number}"));
        sender.send(message.clone()).await.unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), message);
    }
    drop(sender);
    assert!(messages.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_status_of_grpc() {
    let mut world = World::start().await;
    let hello = || Bytes::from_static(b"hello");
    let mut bad = Request::new(hello());
    bad.metadata_mut().insert("authorization", "Bearer x.y.z".parse().unwrap());
    for (request, method, code, reason) in [
        (Request::new(hello()), "/items.Items/Unary", Code::Unauthenticated, "token_missing"),
        (bad, "/items.Items/Unary", Code::Unauthenticated, "token_malformed"),
        (world.request(hello()), "/grouped.Items/Unary", Code::PermissionDenied, "group_missing"),
        (world.request(hello()), "/other.Items/Unary", Code::Unimplemented, "no_route"),
    ] {
        world.client.ready().await.unwrap();
        let status = world.client.unary(request, path(method), Plain).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, reason), "{method}");
    }
    // While the client still streams.
    let endless = tokio_stream::iter(vec![Bytes::from(vec![b'x'; 10_000]); 50]);
    world.client.ready().await.unwrap();
    let status = world.client.client_streaming(Request::new(endless), path("/items.Items/Client"), Plain).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let large = Request::new(tokio_stream::iter(vec![Bytes::from(vec![b'x'; 100_000]); 11]));
    world.client.ready().await.unwrap();
    let status = world.client.client_streaming(large, path("/open.Items/Client"), Plain).await;
    assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
    // And the connection is as good as before.
    world.client.ready().await.unwrap();
    let request = world.request(hello());
    assert_eq!(world.client.unary(request, path("/items.Items/Unary"), Plain).await.unwrap().get_ref(), "hello");
}
