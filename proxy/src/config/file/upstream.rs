//! How an upstream is spoken to, as written: `protocol` and `tls`.

use serde::Deserialize;

use super::scalar::{FromScalar, Scalar};
use crate::config::model::UpstreamProtocol;

/// `upstreams.NAME.tls`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct UpstreamTlsSection {
    pub(in crate::config) server_name: Scalar<String>,
    pub(in crate::config) ca: Option<Scalar<String>>,
}

impl FromScalar for UpstreamProtocol {
    const EXPECTED: &'static str = "`http1`, `http2` or `auto`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "auto" => Some(Self::Auto),
            "http1" => Some(Self::Http1),
            "http2" => Some(Self::Http2),
            _ => None,
        }
    }
}
