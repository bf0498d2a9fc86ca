//! How an upstream is spoken to.

use std::path::PathBuf;

/// `protocol` of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// `auto`: what the endpoint chooses of HTTP/2 and HTTP/1.1 in the TLS handshake (ALPN). Only with `tls`.
    Auto,
    /// `http1`: HTTP/1.1.
    #[default]
    Http1,
    /// `http2`: HTTP/2; without `tls` from the first byte ("prior knowledge").
    Http2,
}

/// `tls` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTlsConfig {
    /// `server_name`: the name that every endpoint's certificate must have, and that is asked for (SNI). A host name or an IP
    /// address. No default: without one nothing could be verified.
    pub server_name: Box<str>,
    /// `ca`: a file with the authorities that the certificate may come from, PEM; those of the system are then not asked.
    /// Relative to the directory of the configuration file. Default: those of the system.
    pub ca: Option<PathBuf>,
}
