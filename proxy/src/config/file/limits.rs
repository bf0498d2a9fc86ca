//! `limits` as written.

use serde::Deserialize;

use super::scalar::{ByteSize, Period, Scalar};
use crate::config::model::Rate;

/// `limits`
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct LimitsSection {
    pub(in crate::config) request_header_bytes: Scalar<ByteSize>,
    pub(in crate::config) request_headers: Scalar<u64>,
    pub(in crate::config) request_uri_bytes: Scalar<ByteSize>,
    pub(in crate::config) request_body_bytes: Scalar<ByteSize>,
    pub(in crate::config) connections: Scalar<u64>,
    pub(in crate::config) connections_per_ip: Scalar<u64>,
    pub(in crate::config) header_read_timeout: Scalar<Period>,
    pub(in crate::config) idle_timeout: Scalar<Period>,
    pub(in crate::config) websocket_idle_timeout: Scalar<Period>,
    pub(in crate::config) failed_auth_per_ip: Scalar<Option<Rate>>,
    pub(in crate::config) rate_limit_keys: Scalar<u64>,
    pub(in crate::config) requests_per_connection: Scalar<u64>,
    pub(in crate::config) h2_streams: Scalar<u64>,
    pub(in crate::config) h2_header_list_bytes: Scalar<ByteSize>,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            request_header_bytes: Scalar(ByteSize::kibibytes(32)),
            request_headers: Scalar(100),
            request_uri_bytes: Scalar(ByteSize::kibibytes(8)),
            request_body_bytes: Scalar(ByteSize::mebibytes(10)),
            connections: Scalar(20_000),
            connections_per_ip: Scalar(0),
            header_read_timeout: Scalar(Period::seconds(10)),
            idle_timeout: Scalar(Period::seconds(75)),
            websocket_idle_timeout: Scalar(Period::seconds(5 * 60)),
            failed_auth_per_ip: Scalar(None),
            rate_limit_keys: Scalar(1024 * 1024),
            requests_per_connection: Scalar(10_000),
            h2_streams: Scalar(100),
            h2_header_list_bytes: Scalar(ByteSize::kibibytes(64)),
        }
    }
}
