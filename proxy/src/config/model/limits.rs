//! `limits`, usable.

use std::time::Duration;

use super::rate::Rate;

/// `limits`: what a client may ask for, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `request_header_bytes`: the most that the fields of a request may add up to, names, values and 4 bytes for each. The
    /// request line is apart. 1 to 512 KiB, default 32 KiB.
    pub request_header_bytes: usize,
    /// `request_headers`: the most fields that a request may have. 1 to 256, default 100.
    pub request_headers: usize,
    /// `request_uri_bytes`: the longest target, path and query. 64 bytes to 64 KiB, default 8 KiB.
    pub request_uri_bytes: usize,
    /// `request_body_bytes`: the largest request body. At most 16 TiB, default 10 MiB; nothing, where the file says 0: no
    /// limit.
    pub request_body_bytes: Option<u64>,
    /// `connections`: the most connections of clients at a time. 1 to 1 000 000, default 20 000.
    pub connections: usize,
    /// `connections_per_ip`: how many of them may be of one IPv4 address or IPv6 /64. At most 1 000 000; default 0: no limit.
    pub connections_per_ip: usize,
    /// `header_read_timeout`: from a connection's beginning, or the first byte of a later request, to the end of the head.
    /// TLS handshake and PROXY header included. Default 10 seconds, from 100 milliseconds to 1 hour.
    pub header_read_timeout: Duration,
    /// `idle_timeout`: how long a connection may wait for its next request. Default 75 seconds, from 100 milliseconds to 24
    /// hours.
    pub idle_timeout: Duration,
    /// `websocket_idle_timeout`: for which nothing may go through a WebSocket, either way. 100 milliseconds to 24 hours,
    /// default 5 minutes.
    pub websocket_idle_timeout: Duration,
    /// `failed_auth_per_ip`: how many forged or garbled tokens one IPv4 address or IPv6 /64 may send: what is beyond gets no
    /// new token verified from there, while tokens that are remembered are served. As many at once as the rate counts. Default
    /// 0, which is nothing here: no limit, because where a hop hides the addresses of clients one of them would lock out
    /// all the others.
    pub failed_auth_per_ip: Option<Rate>,
    /// `rate_limit_keys`: how many callers the rate limits keep in mind, 16 bytes each. Beyond, those are forgotten
    /// whose limit has the most, and of them who has the least to answer for. Rounded up to a multiple of 1024; a reload that changes it forgets what everybody has used. 1024
    /// to 16 777 216, default 1 048 576.
    pub rate_limit_keys: usize,
    /// `requests_per_connection`: after how many a connection is closed. Default 10 000, at most 1 000 000 000; 0: no limit.
    pub requests_per_connection: u32,
    /// `h2_streams`: how many requests an HTTP/2 connection may have open. Default 100, 1 to 10 000. Each keeps at most 64 KiB
    /// of a response that its client does not read, and the uploads of a connection together 1 MiB.
    pub h2_streams: u32,
    /// `h2_header_list_bytes`: the largest head of an HTTP/2 request, counted as RFC 9113 section 10.5.1 does: the
    /// request line too, and 32 bytes for each field. Default 64 KiB, 4 KiB to 1 MiB.
    pub h2_header_list_bytes: u32,
}
