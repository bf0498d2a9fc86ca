//! TLS of every listener of a configuration, and whom upstreams are verified by; or everything that is wrong with the files.

use std::{fmt, net::SocketAddr, sync::Arc};

use super::{FaultAt, TlsServer};
use crate::{
    config::model::{Config, ListenerConfig},
    upstream::trust,
};

/// TLS of each listener, in the order of the configuration; nothing for one of plain HTTP.
pub type Servers = Vec<Option<Arc<TlsServer>>>;

/// What is wrong with the files that a configuration names, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsErrors(Vec<String>);

impl TlsErrors {
    /// The errors, at least one, each with its key: `listeners[1].tls.certificates[0].cert: ...`.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for TlsErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for TlsErrors {}

/// Reads the files of every listener, and looks at those of upstreams. What `known` has of a listener stays, if the
/// configuration asks the same of it, with what is in its files now. Waits for the file system.
///
/// # Errors
///
/// [`TlsErrors`].
pub fn load(config: &Config, known: impl Fn(SocketAddr) -> Option<Arc<TlsServer>>) -> Result<Servers, TlsErrors> {
    let mut lines = Vec::new();
    let mut load = |(index, listener): (usize, &ListenerConfig)| {
        let tls = listener.tls.as_ref()?;
        let kept = known(listener.address).filter(|known| known.config() == tls);
        let loaded = match kept {
            Some(kept) => kept.reload().map(|_| kept),
            None => TlsServer::load(tls).map(Arc::new),
        };
        loaded.map_err(|faults| lines.extend(faults.iter().map(|fault| line(index, fault)))).ok()
    };
    let servers = config.listeners.iter().enumerate().map(&mut load).collect();
    for upstream in &config.upstreams {
        let ca = upstream.tls.as_ref().and_then(|tls| tls.ca.as_deref());
        if let Some(Err(fault)) = ca.map(trust::check) {
            lines.push(format!("upstreams.{}.tls.ca: {fault}", upstream.name));
        }
    }
    if lines.is_empty() { Ok(servers) } else { Err(TlsErrors(lines)) }
}

fn line(index: usize, FaultAt { key, fault }: &FaultAt) -> String {
    let dot = if key.is_empty() { "" } else { "." };
    format!("listeners[{index}].tls{dot}{key}: {fault}")
}

/// Says which certificates are not valid at this moment, in seconds since 1970: they are served all the same, because a
/// client may not mind and a clock may be wrong.
pub fn warn_of_expired(servers: &Servers, now: u64) {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let certificates = servers.iter().flatten().flat_map(|server| server.certificates());
    for certificate in certificates.filter(|certificate| certificate.expires <= now) {
        tracing::warn!(file = %certificate.file.display(), "the certificate has expired");
    }
}
