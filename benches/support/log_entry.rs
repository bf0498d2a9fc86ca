//! What the access log says of a usual request.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use cognigate::telemetry::access_log::{Caller, Entry, Sent};

/// A request with a token that was let through.
#[must_use]
pub fn entry() -> Entry<'static> {
    Entry {
        began: 1_793_610_487_006,
        request_id: b"7f0c2f6e-5f0c-4f0c-8f0c-7f0c2f6e5f0c",
        trace_id: None,
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        method: "GET",
        host: Some(b"api.example.com"),
        target: b"/items/123?fields=all",
        protocol: "HTTP/1.1",
        status: 200,
        bytes_received: 0,
        bytes_sent: 345,
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
        referer: Some(b"https://app.example.com/items"),
        route: Some("GET api.example.com /items/{id}"),
        reason: Some("ok"),
        refusal: None,
        caller: Some(Caller {
            sub: "5f0c2f6e-5f0c-4f0c-8f0c-7f0c2f6e5f0c",
            client_id: "4example23client56id78abcd",
            user_pool: "main",
        }),
        sent: Some(Sent {
            upstream: "items",
            endpoint: Some(([10, 0, 0, 11], 8080).into()),
            retries: 0,
            took: Duration::from_micros(900),
        }),
        took: Duration::from_micros(1_000),
        auth_took: Some(Duration::from_micros(2)),
        tls: Some("TLSv1.3"),
    }
}
