//! `limits`: what a client may ask for, and how long it may take.

use std::ops::RangeInclusive;

use crate::config::{
    file::{ByteSize, LimitsSection, Period, Scalar},
    finding::At,
    model::LimitsConfig,
};

/// Pingora reads at most 1 MiB before anyone can look at it.
const HEADER_BYTES: RangeInclusive<ByteSize> = ByteSize::kibibytes(1)..=ByteSize::kibibytes(512);
/// Pingora reads at most 256.
const HEADERS: RangeInclusive<u64> = 1..=256;
const URI_BYTES: RangeInclusive<ByteSize> = ByteSize(64)..=ByteSize::kibibytes(64);
/// More than this is a typing mistake: 0 says that there is no limit.
const BODY_BYTES: RangeInclusive<ByteSize> = ByteSize(0)..=ByteSize::gibibytes(16 * 1024);
const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
const CONNECTIONS_PER_IP: RangeInclusive<u64> = 0..=1_000_000;
const HEADER_READ_TIMEOUT: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(1);
const IDLE_TIMEOUT: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(24);
const RATE_LIMIT_KEYS: RangeInclusive<u64> = 1024..=16_777_216;
const REQUESTS_PER_CONNECTION: RangeInclusive<u64> = 0..=1_000_000_000;
const H2_STREAMS: RangeInclusive<u64> = 1..=10_000;
const H2_HEADER_LIST: RangeInclusive<ByteSize> = ByteSize::kibibytes(4)..=ByteSize::mebibytes(1);

pub(super) fn limits(section: LimitsSection, at: &At<'_>) -> Option<LimitsConfig> {
    let LimitsSection {
        request_header_bytes: Scalar(request_header_bytes),
        request_headers: Scalar(request_headers),
        request_uri_bytes: Scalar(request_uri_bytes),
        request_body_bytes: Scalar(request_body_bytes),
        connections: Scalar(connections),
        connections_per_ip: Scalar(connections_per_ip),
        header_read_timeout: Scalar(header_read_timeout),
        idle_timeout: Scalar(idle_timeout),
        websocket_idle_timeout: Scalar(websocket_idle_timeout),
        failed_auth_per_ip: Scalar(failed_auth_per_ip),
        rate_limit_keys: Scalar(rate_limit_keys),
        requests_per_connection: Scalar(requests_per_connection),
        h2_streams: Scalar(h2_streams),
        h2_header_list_bytes: Scalar(h2_header_list_bytes),
    } = section;
    let header_bytes = at.field("request_header_bytes").within(request_header_bytes, &HEADER_BYTES);
    let headers = at.field("request_headers").within(request_headers, &HEADERS);
    let uri_bytes = at.field("request_uri_bytes").within(request_uri_bytes, &URI_BYTES);
    let body_bytes = at.field("request_body_bytes").within(request_body_bytes, &BODY_BYTES);
    let connections = at.field("connections").within(connections, &CONNECTIONS);
    let connections_per_ip = at.field("connections_per_ip").within(connections_per_ip, &CONNECTIONS_PER_IP);
    let header_read_timeout = at.field("header_read_timeout").within(header_read_timeout, &HEADER_READ_TIMEOUT);
    let idle_timeout = at.field("idle_timeout").within(idle_timeout, &IDLE_TIMEOUT);
    let websocket_idle_timeout = at.field("websocket_idle_timeout").within(websocket_idle_timeout, &IDLE_TIMEOUT);
    let rate_limit_keys = at.field("rate_limit_keys").within(rate_limit_keys, &RATE_LIMIT_KEYS);
    let requests = at.field("requests_per_connection").within(requests_per_connection, &REQUESTS_PER_CONNECTION);
    let h2_streams = at.field("h2_streams").within(h2_streams, &H2_STREAMS);
    let h2_header_list = at.field("h2_header_list_bytes").within(h2_header_list_bytes, &H2_HEADER_LIST);
    Some(LimitsConfig {
        request_header_bytes: usize::try_from(header_bytes?.0).ok()?,
        request_headers: usize::try_from(headers?).ok()?,
        request_uri_bytes: usize::try_from(uri_bytes?.0).ok()?,
        request_body_bytes: Some(body_bytes?.0).filter(|bytes| *bytes > 0),
        connections: usize::try_from(connections?).ok()?,
        connections_per_ip: usize::try_from(connections_per_ip?).ok()?,
        header_read_timeout: header_read_timeout?.0,
        idle_timeout: idle_timeout?.0,
        websocket_idle_timeout: websocket_idle_timeout?.0,
        failed_auth_per_ip,
        rate_limit_keys: usize::try_from(rate_limit_keys?).ok()?,
        requests_per_connection: u32::try_from(requests?).ok()?,
        h2_streams: u32::try_from(h2_streams?).ok()?,
        h2_header_list_bytes: u32::try_from(h2_header_list?.0).ok()?,
    })
}
