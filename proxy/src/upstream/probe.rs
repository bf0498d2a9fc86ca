//! One check of one endpoint.
//!
//! - It is connected to as for a request: the same address, TLS, authorities, server name and protocol; always anew, because
//!   whether it accepts connections is a part of the question.
//! - `tcp` asks no more than that. `path` asks for it with `GET`, and looks at the status and, if there is a rule for it, for a
//!   text in the first 64 KiB of the body. Nothing is read beyond what decides.
//! - All of it together has the bound of `health_check.timeout`.
//!
//! Remembers nothing: what a check means is decided by [`health`](super::health).

use std::{fmt, io, net::SocketAddr, time::Duration};

use http::{StatusCode, Uri, header, uri::PathAndQuery};
use pingora_core::{
    Error, ErrorType, Result,
    connectors::{
        ConnectorOptions, TransportConnector,
        http::v2::{H2HandshakeSettings, handshake},
    },
    protocols::{
        ALPN, Stream,
        http::{client::HttpSession, v1::client::HttpSession as Http1Session},
    },
    upstreams::peer::{HttpPeer, Peer},
};
use pingora_http::RequestHeader;
use thiserror::Error;
use tokio::time::timeout;

use crate::config::model::{DnsName, Endpoints, Probe, StatusRange, UpstreamConfig, UpstreamTlsConfig};

/// Who asks.
const USER_AGENT: &str = concat!("cognigate/", env!("CARGO_PKG_VERSION"), " (health check)");

/// How much of a body is looked at.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How many interim responses may come before the one that counts.
const MAX_INTERIM: usize = 16;

/// Why an endpoint did not pass. Nothing of its answer is in it but the status.
#[derive(Debug, Error)]
pub(super) enum Unwell {
    /// The body does not have the text.
    #[error("the body does not contain what it should")]
    Body,
    /// The connection failed, or what came over it is no response.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Overdue(Duration),
    /// The status is none of those that are good.
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

/// What became of a connection.
#[derive(Debug, Error)]
pub(super) struct Failure {
    kind: Box<str>,
    cause: Option<Box<str>>,
}

/// Asks endpoints.
pub(super) struct Prober {
    connector: TransportConnector,
}

impl Prober {
    /// Reads the authorities of the system.
    pub(super) fn new() -> Self {
        // No connection is kept.
        Self { connector: TransportConnector::new(Some(ConnectorOptions::new(0))) }
    }

    /// Asks an endpoint once. `host` is the `Host` of the request.
    ///
    /// # Errors
    ///
    /// [`Unwell`].
    pub(super) async fn ask(&self, peer: &HttpPeer, probe: &Probe, host: &str, limit: Duration) -> Result<(), Unwell> {
        let asked = async {
            match probe {
                Probe::Http { path, host: _, statuses, body_contains } => {
                    let mut session = self.send(peer, path, host).await.map_err(|error| Failure::from(&*error))?;
                    judge(&mut session, statuses, body_contains.as_deref()).await
                }
                Probe::Tcp => {
                    self.connector.new_stream(peer).await.map_err(|error| Failure::from(&*error))?;
                    Ok(())
                }
            }
        };
        timeout(limit, asked).await.map_err(|_| Unwell::Overdue(limit))?
    }

    /// Connects and sends the request.
    async fn send(&self, peer: &HttpPeer, path: &str, host: &str) -> Result<HttpSession> {
        let stream = self.connector.new_stream(peer).await?;
        let mut session = session(stream, peer).await?;
        let is_http2 = session.as_http2().is_some();
        session.write_request_header(Box::new(request(path, host, is_http2.then_some(peer.tls()))?)).await?;
        session.finish_request_body().await?;
        Ok(session)
    }
}

/// What is spoken over the connection: as Pingora decides it for a request.
async fn session(stream: Stream, peer: &HttpPeer) -> Result<HttpSession> {
    let is_http2 = match stream.selected_alpn_proto() {
        Some(protocol) => protocol == ALPN::H2,
        None => !peer.tls() && peer.options.alpn == ALPN::H2,
    };
    if !is_http2 {
        return Ok(HttpSession::H1(Http1Session::new_with_options(stream, peer)));
    }
    // No pings: the task that sends them would outlive the check.
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = 1;
    let opened = handshake(stream, settings).await?.spawn_stream().await?;
    opened.map(HttpSession::H2).ok_or_else(|| Error::explain(ErrorType::H2Error, "no stream can be opened"))
}

/// The request. Over HTTP/2 it says whether there is TLS.
fn request(path: &str, host: &str, http2_over_tls: Option<bool>) -> Result<RequestHeader> {
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
    request.insert_header(header::USER_AGENT, USER_AGENT)?;
    request.insert_header(header::ACCEPT, "*/*")?;
    match http2_over_tls {
        Some(is_tls) => {
            let path = PathAndQuery::try_from(path).map_err(|_| Error::new(ErrorType::InvalidHTTPHeader))?;
            let uri = Uri::builder().scheme(if is_tls { "https" } else { "http" }).authority(host).path_and_query(path);
            request.set_uri(uri.build().map_err(|_| Error::new(ErrorType::InvalidHTTPHeader))?);
        }
        None => {
            request.insert_header(header::HOST, host)?;
            request.insert_header(header::CONNECTION, "close")?;
        }
    }
    Ok(request)
}

/// Reads the response as far as it decides.
async fn judge(session: &mut HttpSession, statuses: &[StatusRange], text: Option<&str>) -> Result<(), Unwell> {
    let status = status(session).await.map_err(|error| Failure::from(&*error))?;
    if !statuses.iter().any(|range| (range.first..=range.last).contains(&status.as_u16())) {
        return Err(Unwell::Status(status));
    }
    match text {
        Some(text) if !contains(session, text.as_bytes()).await.map_err(|error| Failure::from(&*error))? => {
            Err(Unwell::Body)
        }
        Some(_) | None => Ok(()),
    }
}

/// The status of the response that counts.
async fn status(session: &mut HttpSession) -> Result<StatusCode> {
    for _ in 0..=MAX_INTERIM {
        session.read_response_header().await?;
        let status = session.response_header().map(|response| response.status);
        let is_final = |status: &StatusCode| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(status) = status.filter(is_final) {
            return Ok(status);
        }
    }
    Error::e_explain(ErrorType::InvalidHTTPHeader, "no response but interim ones")
}

/// Whether a text stands in the beginning of the body. Reads no further than its end.
async fn contains(session: &mut HttpSession, text: &[u8]) -> Result<bool> {
    let mut body: Vec<u8> = Vec::new();
    while let Some(piece) = session.read_response_body().await? {
        // It may have begun in the piece before.
        let from = body.len().saturating_sub(text.len().saturating_sub(1));
        let room = MAX_BODY_BYTES.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if body.get(from..).is_some_and(|fresh| fresh.windows(text.len()).any(|window| window == text)) {
            return Ok(true);
        }
        if body.len() >= MAX_BODY_BYTES {
            break;
        }
    }
    Ok(false)
}

/// The `Host` of a check: what the configuration says, else what names the endpoint best, with its port where that is not the
/// one of the scheme.
pub(super) fn host(config: &UpstreamConfig, address: SocketAddr) -> Box<str> {
    let check = config.health_check.as_ref().map(|check| &check.probe);
    if let Some(Probe::Http { host: Some(host), .. }) = check {
        return host.clone();
    }
    let name = match (&config.tls, &config.endpoints) {
        (Some(UpstreamTlsConfig { server_name, ca: _ }), _) => server_name.to_string(),
        (None, Endpoints::Discovered(DnsName { host, port: _ })) => host.trim_end_matches('.').to_owned(),
        (None, Endpoints::Listed(_)) => address.ip().to_string(),
    };
    let name = if name.contains(':') { ["[", &name, "]"].concat() } else { name };
    let port = if config.tls.is_some() { 443 } else { 80 };
    if address.port() == port { name.into() } else { [name, address.port().to_string()].join(":").into() }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let cause = error.root_cause().downcast_ref::<io::Error>();
        // Of what TLS says, all; of the rest, what the system calls it.
        let tls = cause.and_then(io::Error::get_ref).and_then(|error| error.downcast_ref::<rustls::Error>());
        let cause = tls.map(ToString::to_string).or_else(|| cause.map(|cause| cause.kind().to_string()));
        Self { kind: error.etype().as_str().into(), cause: cause.map(Into::into) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(out, "{}: {cause}", self.kind),
            None => out.write_str(&self.kind),
        }
    }
}

#[cfg(test)]
mod tests;
