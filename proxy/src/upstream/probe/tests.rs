//! What a check says, and what it says when it fails. What it asks over the network is for the end-to-end tests.

use super::*;
use crate::config::{self, model::Config};

fn upstream(rest: &str) -> UpstreamConfig {
    let head = "listeners: [{ address: 127.0.0.1:0 }]\n\
                routes: [{ match: { path: / }, auth: none, upstream: items }]\n\
                upstreams: { items: { ";
    let Config { upstreams, .. } = config::parse("file", &[head, rest, " } }\n"].concat()).unwrap();
    upstreams.into_iter().next().unwrap()
}

#[test]
fn a_check_names_its_host_as_a_browser_would() {
    let secure = "tls: { server_name: items.internal }";
    let check = "health_check: { path: /healthz }";
    for (rest, address, expected) in [
        ("endpoints: ['10.0.0.1:80']", "10.0.0.1:80", "10.0.0.1"),
        ("endpoints: ['10.0.0.1:80']", "10.0.0.1:8080", "10.0.0.1:8080"),
        ("endpoints: ['10.0.0.1:80']", "[fd00::1]:80", "[fd00::1]"),
        ("endpoints: ['10.0.0.1:80']", "[fd00::1]:8080", "[fd00::1]:8080"),
        ("dns: 'items.svc:80'", "10.0.0.1:80", "items.svc"),
        ("dns: 'items.svc.:8080'", "10.0.0.1:8080", "items.svc:8080"),
        (&["dns: 'items.svc:443', ", secure].concat(), "10.0.0.1:443", "items.internal"),
        (&["dns: 'items.svc:8443', ", secure].concat(), "10.0.0.1:8443", "items.internal:8443"),
        ("endpoints: ['10.0.0.1:80'], tls: { server_name: 'fd00::1' }", "10.0.0.1:443", "[fd00::1]"),
    ] {
        let config = upstream(&[rest, ", ", check].concat());
        assert_eq!(&*host(&config, address.parse().unwrap()), expected, "{rest} {address}");
    }
    let config = upstream("dns: 'items.svc:80', health_check: { path: /healthz, host: 'probe.test:1' }");
    assert_eq!(&*host(&config, "10.0.0.1:80".parse().unwrap()), "probe.test:1");
}

#[test]
fn a_check_says_who_asks() {
    let asked = request("/healthz?full=1", "items.test", None).unwrap();
    let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(asked.raw_path(), b"/healthz?full=1");
    assert_eq!((header("host"), header("connection")), (Some("items.test"), Some("close")));
    let agent = header("user-agent").unwrap();
    assert!(agent.starts_with("cognigate/") && agent.ends_with(" (health check)"), "{agent}");
}

#[test]
fn over_http2_a_check_has_an_authority_and_no_field_of_a_connection() {
    for (is_tls, scheme) in [(false, "http"), (true, "https")] {
        let asked = request("/healthz", "items.test:1", Some(is_tls)).unwrap();
        assert_eq!(asked.uri.to_string(), format!("{scheme}://items.test:1/healthz"));
        assert!(!asked.headers.contains_key("connection") && !asked.headers.contains_key("host"));
    }
}

#[test]
fn what_cannot_be_asked_is_no_panic() {
    for (path, host) in [("/a b\"<>^{}|\\", "items.test"), ("/", "a b"), ("/", "\u{7f}"), ("/", "")] {
        for version in [None, Some(true)] {
            // Whether it is sent or refused: the endpoint decides about the one, and the check fails by the other.
            drop(request(path, host, version));
        }
    }
    assert!(request("/", "a\r\nb: c", None).is_err(), "no field is smuggled in");
}

#[test]
fn a_failure_says_what_it_can_without_a_word_of_the_answer() {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let error = Error::because(ErrorType::ConnectRefused, "secret context", refused);
    assert_eq!(Unwell::from(Failure::from(&*error)).to_string(), "ConnectRefused: connection refused");
    let invalid = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let error = Error::because(ErrorType::TLSHandshakeFailure, "", io::Error::other(invalid));
    assert_eq!(
        Unwell::from(Failure::from(&*error)).to_string(),
        "TLSHandshakeFailure: invalid peer certificate: UnknownIssuer"
    );
    let error = Error::explain(ErrorType::InvalidHTTPHeader, "Set-Cookie: secret");
    assert_eq!(Unwell::from(Failure::from(&*error)).to_string(), "InvalidHTTPHeader");
    assert_eq!(Unwell::Status(StatusCode::SERVICE_UNAVAILABLE).to_string(), "status 503");
    assert_eq!(Unwell::Overdue(Duration::from_secs(1)).to_string(), "no answer within 1s");
}
