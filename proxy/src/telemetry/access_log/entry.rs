//! Hot path: no lock, no I/O, no info log.
//!
//! What a line tells about a request. Nothing is copied: all of it belongs to the request.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cognigate_auth::clock::UnixMillis;

/// One request, from its head to its end.
#[derive(Clone, Copy)]
pub struct Entry<'r> {
    /// When its head was read.
    pub began: UnixMillis,
    /// What it is called.
    pub request_id: &'r [u8],
    /// The trace that it is part of.
    pub trace_id: Option<&'r dyn fmt::Display>,
    /// Who asked.
    pub client: Option<IpAddr>,
    /// Its method.
    pub method: &'r str,
    /// The host that it asked for, as it was written.
    pub host: Option<&'r [u8]>,
    /// Its target, as it was written. The query is not told.
    pub target: &'r [u8],
    /// The version of HTTP: `HTTP/1.1`.
    pub protocol: &'static str,
    /// The status of the response, or 499 if the client did not wait for one.
    pub status: u16,
    /// The length of the request's body, in bytes, as far as it was read.
    pub bytes_received: u64,
    /// The length of the response's body, in bytes, as far as it was sent.
    pub bytes_sent: u64,
    /// What the client says it is.
    pub user_agent: Option<&'r [u8]>,
    /// Where the client comes from. Query and fragment are not told.
    pub referer: Option<&'r [u8]>,
    /// The label of the route that it took.
    pub route: Option<&'r str>,
    /// What was decided about the caller: `ok`, `open`, or why the token was refused.
    pub reason: Option<&'static str>,
    /// Why it was refused or failed, if not for its token.
    pub refusal: Option<&'static str>,
    /// Who called, on routes that ask for it.
    pub caller: Option<Caller<'r>>,
    /// Where it went, if it went anywhere.
    pub sent: Option<Sent<'r>>,
    /// From the end of its head to the end of the response.
    pub took: Duration,
    /// What the decision about the caller took.
    pub auth_took: Option<Duration>,
    /// The version of TLS that it came over: `TLSv1.3`.
    pub tls: Option<&'static str>,
}

/// A caller that was verified.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'r> {
    /// `sub`.
    pub sub: &'r str,
    /// The app client.
    pub client_id: &'r str,
    /// The name of the user pool.
    pub user_pool: &'r str,
}

/// A request that went to an upstream, or was meant to.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'r> {
    /// The name of the upstream.
    pub upstream: &'r str,
    /// The endpoint that was tried last.
    pub endpoint: Option<SocketAddr>,
    /// How many more were tried than one.
    pub retries: usize,
    /// From the choice of the first endpoint to the end of the response.
    pub took: Duration,
}

impl Entry<'_> {
    /// The path of its target.
    pub(super) fn path(&self) -> &[u8] {
        before(self.target, b"?#")
    }

    /// Where the client comes from, without what often holds secrets.
    pub(super) fn origin(&self) -> Option<&[u8]> {
        self.referer.map(|referer| before(referer, b"?#"))
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Entry").field("status", &self.status).field("route", &self.route).finish_non_exhaustive()
    }
}

/// What comes before the first of these bytes.
fn before<'b>(bytes: &'b [u8], ends: &[u8]) -> &'b [u8] {
    bytes.split(|byte| ends.contains(byte)).next().unwrap_or_default()
}
