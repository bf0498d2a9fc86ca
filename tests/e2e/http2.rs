//! HTTP/2 on either side: what a request is does not depend on the version that it comes or goes in.

use std::{
    future::Future,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ::h2::{RecvStream, client::SendRequest, server::SendResponse};
use bytes::Bytes;
use e2e::{
    authority::Authority,
    client,
    edge::Edge,
    h2::{self, Answer, ask},
    process::Directory,
    upstream,
    wait::{PATIENCE, Watched, eventually},
};
use http::{HeaderMap, Method, Request, Response, Version};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;

use crate::edge;

/// A proxy whose listener speaks TLS, and the files that it needs.
pub(crate) struct SecureEdge {
    pub(crate) edge: Edge,
    pub(crate) authority: Authority,
    _directory: Directory,
}

impl SecureEdge {
    #[track_caller]
    pub(crate) fn start(sections: &[(&str, &str)]) -> Self {
        let (authority, directory) = (Authority::new("clients"), Directory::new());
        let (cert, key) = authority.server(&[h2::NAME]).write(&directory, "proxy");
        let listeners = format!(
            "[{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {}, key: {} }}] }} }}]",
            cert.display(),
            key.display()
        );
        let mut all = vec![("listeners", listeners.as_str())];
        all.extend(sections);
        let edge = edge(&all);
        Self { edge, authority, _directory: directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.proxy.address()
    }

    async fn connect(&self) -> SendRequest<Bytes> {
        h2::connect(self.address(), &self.authority).await
    }
}

/// The lines of the request that the upstream got, those that the proxy adds left out.
fn lines(head: &str) -> Vec<String> {
    let is_ours = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !["x-forwarded-", "forwarded:", "x-request-id:"].iter().any(|name| line.starts_with(name))
    };
    head.lines().filter(|line| !line.is_empty()).filter(is_ours).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_becomes_one_of_http_1_1() {
    let secure = SecureEdge::start(&[]);
    let mut sender = secure.connect().await;
    let request = h2::get("/open/1?a=b").header("x-a", "1").header("cookie", "a=1").header("cookie", "b=2");
    let answer = ask(&mut sender, request.body(()).unwrap(), &[]).await.unwrap();
    assert_eq!((answer.status(), answer.head.version), (200, Version::HTTP_2));
    assert_eq!(answer.header("connection"), None);
    let got = secure.edge.upstream.take_request();
    let mut lines = lines(got.head.as_str());
    lines[1..].sort();
    assert_eq!(lines, ["GET /open/1?a=b HTTP/1.1", "Host: localhost", "cookie: a=1; b=2", "x-a: 1"]);
    assert_eq!(got.header("x-forwarded-proto"), Some("https"));
    assert_eq!(got.header("x-forwarded-host"), Some("localhost"));
    assert_eq!(got.header("forwarded"), Some("for=127.0.0.1;host=\"localhost\";proto=https"));
    assert_eq!(got.header("x-request-id"), answer.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_told_apart_on_one_connection() {
    let secure = SecureEdge::start(&[("identity", "{ headers: { x-sub: sub } }")]);
    let mut sender = secure.connect().await;
    let item = |token: Option<&str>| {
        let request = h2::get("/items/1").header("x-sub", "mallory");
        let token = token.map(|token| format!("Bearer {token}"));
        token.into_iter().fold(request, |request, token| request.header("authorization", token)).body(()).unwrap()
    };
    for sub in ["alice", "bob"] {
        let token = secure.edge.pool.id_token(&json!({ "sub": sub }));
        assert_eq!(ask(&mut sender, item(Some(&token)), &[]).await.unwrap().status(), 200);
        assert_eq!(secure.edge.upstream.take_request().header("x-sub"), Some(sub));
        let refused = ask(&mut sender, item(None), &[]).await.unwrap();
        assert_eq!((refused.status(), &refused.body[..]), (401, &br#"{"message":"Unauthorized"}"#[..]));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"cognigate\""));
    }
    assert!(secure.edge.upstream.take_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_costs_the_stream_and_not_the_connection() {
    let secure = SecureEdge::start(&[("limits", "{ request_body_bytes: 1KiB }")]);
    let mut sender = secure.connect().await;
    let post = || h2::get("/open/1").method(Method::POST);
    let large = [b'x'; 1025];
    for (request, body) in
        [(post().header("content-length", "1025"), &[&large[..]][..]), (post(), &[&large[..1000], &large[..25]])]
    {
        match ask(&mut sender, request.body(()).unwrap(), body).await {
            Ok(answer) => assert_eq!(answer.status(), 413),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(ask(&mut sender, post().body(()).unwrap(), &[&large[..1024]]).await.unwrap().status(), 200);
        assert_eq!(secure.edge.upstream.take_request().body.len(), 1024);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_request_goes_is_said_once() {
    let secure = SecureEdge::start(&[]);
    let mut sender = secure.connect().await;
    for (uri, host, status) in [
        ("https://localhost/open/1", Some("localhost"), 200),
        ("https://localhost/open/1", Some("other"), 400),
        ("https://localhost/open/1", Some(""), 400),
        ("ftp://localhost/open/1", None, 400),
        ("https://localhost/open/../items/1", None, 400),
        ("https://localhost/open//1", None, 400),
        ("https://localhost/open/%2e%2e/items/1", None, 400),
    ] {
        let request = Request::builder().uri(uri);
        let request = host.into_iter().fold(request, |request, host| request.header("host", host));
        let answer = ask(&mut sender, request.body(()).unwrap(), &[]).await.unwrap();
        assert_eq!(answer.status(), status, "{uri} {host:?}");
    }
    assert_eq!(secure.edge.upstream.take_requests().len(), 1);
}

/// An endpoint of HTTP/1.1 that keeps every byte, and answers each request as soon as its head is there.
fn recorder() -> (SocketAddr, Arc<Watched<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::<Watched<Vec<u8>>>::default());
    let kept = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let is_whole = kept.with(|seen| {
                        seen.extend_from_slice(&buffer[..read]);
                        seen.ends_with(b"0\r\n\r\n")
                    });
                    if is_whole && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

/// A body that ends with an empty frame has one end, not two: the second would be the beginning of the next request
/// (cloudflare/pingora#935).
#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_end() {
    let (address, seen) = recorder();
    let upstreams = format!("{{ items: {{ endpoints: [\"{address}\"] }} }}");
    let secure = SecureEdge::start(&[("upstreams", &upstreams)]);
    let mut sender = secure.connect().await;
    for body in [&[&b"hello"[..], b""][..], &[b"hello"], &[b"hel", b"lo", b""]] {
        let request = h2::get("/open/1").method(Method::POST).body(()).unwrap();
        let (response, mut stream) = sender.send_request(request, false).unwrap();
        for (place, piece) in body.iter().enumerate() {
            stream.send_data(Bytes::copy_from_slice(piece), place + 1 == body.len()).unwrap();
            // Each in a frame of its own, read by itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(h2::read(response.await.unwrap()).await.unwrap().status(), 200);
        let wire = String::from_utf8(seen.with(std::mem::take)).unwrap();
        let (_, wire) = wire.split_once("\r\n\r\n").unwrap();
        assert_eq!(wire.matches("0\r\n\r\n").count(), 1, "{wire:?}");
        let text: String = wire.split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(text, "hello", "{wire:?}");
    }
    assert_eq!(secure.edge.proxy.metrics().sum("cognigate_upstream_connections_total", &[("reused", "false")]), 1.0);
}

/// Answers with what it got, and ends with a trailer.
async fn echo(request: Request<RecvStream>, mut response: SendResponse<Bytes>) {
    let mut fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .chain([format!(":authority: {}", request.uri().authority().unwrap())])
        .chain([format!(":path: {}", request.uri().path_and_query().unwrap())])
        .chain([format!(":scheme: {}", request.uri().scheme_str().unwrap())])
        .collect();
    fields.sort();
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(piece)) = body.data().await {
        body.flow_control().release_capacity(piece.len()).unwrap();
        length += piece.len();
    }
    let head = Response::builder().header("x-length", length).body(()).unwrap();
    let mut stream = response.send_response(head, false).unwrap();
    stream.send_data(fields.join("\n").into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "reached".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

fn upstream_section(address: SocketAddr, rest: &str) -> String {
    format!("{{ items: {{ endpoints: [\"{address}\"], {rest} }} }}")
}

fn received(answer: &Answer) -> Vec<String> {
    lines(std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_speak_http_2_too() {
    let address = h2::start(None, echo).await;
    let routes = r#"
  - { match: { path: "/open/{proxy+}" }, auth: none, upstream: items, rewrite: "/v2/{proxy}" }"#;
    let upstreams = upstream_section(address, "protocol: http2");
    let secure = SecureEdge::start(&[("upstreams", &upstreams), ("routes", routes)]);
    let mut sender = secure.connect().await;
    let request =
        h2::get("/open/1?a=b").method(Method::POST).header("te", "trailers").header("proxy-authorization", "x");
    let answer = ask(&mut sender, request.body(()).unwrap(), &[b"hello", b""]).await.unwrap();
    assert_eq!((answer.status(), answer.header("x-length")), (200, Some("5")));
    assert_eq!(answer.trailers.as_ref().unwrap().get("x-end").unwrap(), "reached");
    let expected = [":authority: localhost", ":path: /v2/1?a=b", ":scheme: http", "te: trailers"];
    assert_eq!(received(&answer), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_1_can_be_served_by_http_2() {
    let address = h2::start(None, echo).await;
    let edge = edge(&[("upstreams", &upstream_section(address, "protocol: http2"))]);
    let response = edge.ask(&client::post("/open/1").header("X-A", "1").header("TE", "trailers").body("hello"));
    assert_eq!((response.status, response.header("x-length")), (200, Some("5")));
    let expected = [":authority: localhost", ":path: /open/1", ":scheme: http", "content-length: 5", "x-a: 1"];
    assert_eq!(lines(response.text()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_connections() {
    let address = h2::start(None, echo).await;
    let secure = SecureEdge::start(&[("upstreams", &upstream_section(address, "protocol: http2"))]);
    let mut sender = secure.connect().await;
    assert_eq!(ask(&mut sender, h2::get("/open/0").body(()).unwrap(), &[]).await.unwrap().status(), 200);
    let requests: Vec<_> = (0..99)
        .map(|number| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let request = h2::get(&format!("/open/{number}")).body(()).unwrap();
                ask(&mut sender, request, &[]).await.unwrap().status()
            })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    let made = secure.edge.proxy.metrics().sum("cognigate_upstream_connections_total", &[("reused", "false")]);
    // Some of those that are asked for at once find none that is ready yet.
    assert!(made < 50.0, "{made}");
}

/// What a server shows that this authority vouches for, as `name`.
pub(crate) fn server(authority: &Authority, name: &str, protocols: &[&str]) -> ServerConfig {
    let issued = authority.server(&[name]);
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_proves_who_it_is() {
    let (ours, theirs, directory) = (Authority::new("ours"), Authority::new("theirs"), Directory::new());
    let ca = directory.write("ours.crt", &ours.pem());
    for (authority, name, asked, protocol, status) in [
        (&ours, "items.internal", "items.internal", "http2", 200),
        (&ours, "items.internal", "items.internal", "auto", 200),
        (&ours, "items.internal", "other.internal", "http2", 502),
        (&theirs, "items.internal", "items.internal", "http2", 502),
    ] {
        let address = h2::start(Some(server(authority, name, &["h2"])), echo).await;
        let rest = format!("protocol: {protocol}, tls: {{ server_name: {asked}, ca: {} }}", ca.display());
        let edge = edge(&[("upstreams", &upstream_section(address, &rest))]);
        let response = edge.ask(&client::get("/open/1"));
        assert_eq!(response.status, status, "{name} {asked} {protocol}");
        if status == 200 {
            assert!(lines(response.text()).contains(&":scheme: https".to_owned()), "{response:?}");
        }
    }
    // The authorities of the system know nothing of ours.
    let address = h2::start(Some(server(&ours, "items.internal", &["h2"])), echo).await;
    let edge =
        edge(&[("upstreams", &upstream_section(address, "protocol: http2, tls: { server_name: items.internal }"))]);
    assert_eq!(edge.ask(&client::get("/open/1")).status, 502);
}

/// A connection that one authority vouched for is not used where another is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn trust_is_not_shared() {
    let (ours, theirs, directory) = (Authority::new("ours"), Authority::new("theirs"), Directory::new());
    let (ours_file, theirs_file) =
        (directory.write("ours.crt", &ours.pem()), directory.write("theirs.crt", &theirs.pem()));
    let address = h2::start(Some(server(&ours, "items.internal", &["h2"])), echo).await;
    let upstream = |file: &std::path::Path| {
        let file = file.display();
        format!("{{ endpoints: [\"{address}\"], protocol: http2, tls: {{ server_name: items.internal, ca: {file} }} }}")
    };
    let upstreams = format!("{{ items: {}, other: {} }}", upstream(&ours_file), upstream(&theirs_file));
    let routes = r#"
  - { match: { path: "/items" }, auth: none, upstream: items }
  - { match: { path: "/other" }, auth: none, upstream: other }"#;
    let edge = edge(&[("upstreams", &upstreams), ("routes", routes)]);
    for (path, status) in [("/items", 200), ("/other", 502), ("/items", 200), ("/other", 502)] {
        assert_eq!(edge.ask(&client::get(path)).status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_time_of_its_route() {
    let routes = r#"
  - { name: short, match: { path: "/short/{proxy+}" }, auth: none, upstream: items, timeout: 500ms }"#;
    let secure = SecureEdge::start(&[("routes", routes)]);
    let mut sender = secure.connect().await;
    secure.edge.upstream.answer(upstream::Answer::never());
    let start = Instant::now();
    let answer = ask(&mut sender, h2::get("/short/1").body(()).unwrap(), &[]).await.unwrap();
    assert_eq!(answer.status(), 504);
    assert!((Duration::from_millis(450)..Duration::from_millis(1400)).contains(&start.elapsed()));
    // Half a body, and then nothing: no read of HTTP/2 has a limit, the request has.
    let start = Instant::now();
    let request = h2::get("/short/1").method(Method::POST).body(()).unwrap();
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let outcome = within(response).await;
    assert!(outcome.is_err() || outcome.is_ok_and(|answer| answer.status() == 504));
    assert!((Duration::from_millis(450)..Duration::from_millis(2500)).contains(&start.elapsed()));
    let refused = [("reason", "request_timeout")];
    let count = || secure.edge.proxy.metrics().sum("cognigate_rejected_requests_total", &refused);
    eventually("both counted", || (count() == 2.0).then_some(()));
    secure.edge.upstream.answer(upstream::Answer::Echo);
    assert_eq!(ask(&mut sender, h2::get("/short/1").body(()).unwrap(), &[]).await.unwrap().status(), 200);
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}
