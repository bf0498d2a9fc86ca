//! Every way to write an HTTP/1.1 request that two servers could read differently, as bytes on a socket: what the client is
//! answered, whether its connection goes on, what is counted, and the bytes that reach the upstream.
//!
//! Whatever a table is about, each of its rows also goes to the protected route, from callers with and without a token, and
//! each test ends with the same question: did anything reach the upstream that should not have?

mod bench;
mod connections;
mod fields;
mod framing;
mod peer;
mod recorder;
mod responses;
mod strict;
mod targets;

/// A request that must never be taken for one.
const SMUGGLED: &str = "GET /items/smuggled HTTP/1.1\r\nHost: edge\r\n\r\n";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: edge\r\n\r\n")
}

/// A `GET` with these lines after `Host`.
fn with(lines: &str) -> String {
    format!("GET /open/1 HTTP/1.1\r\nHost: edge\r\n{lines}\r\n\r\n")
}

/// A `POST` with these lines after `Host`, and what follows its head.
fn post(lines: &str, body: &str) -> String {
    format!("POST /open/1 HTTP/1.1\r\nHost: edge\r\n{lines}\r\n\r\n{body}")
}
