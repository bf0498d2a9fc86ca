//! TLS of a listener: what clients are shown and asked for, as one snapshot that is replaced whole.
//!
//! - TLS 1.2 and 1.3 with the suites of rustls; HTTP/2 where the client offers it; X25519MLKEM768 with a client that does.
//! - Sessions are resumed by tickets alone: nothing is kept of a client that left.
//! - None is where client certificates are asked for: a session that is resumed shows none, so that one would be believed
//!   after it expired, or after its authority was replaced.
//! - No early data: it can be replayed.
//! - A snapshot is made of files that fit together, or not at all: then the one before it stays.

pub mod certificate;
pub mod client;
pub mod load;
mod name;
pub mod reload;
mod resolver;
mod verifier;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::{
    listeners::{
        TlsAccept,
        tls::{Acceptor, TlsSettings},
    },
    protocols::{
        IO,
        tls::{TlsRef, TlsStream},
    },
};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, ProducesTickets},
    version::{TLS12, TLS13},
};

use crate::config::model::TlsConfig;

pub use self::certificate::{CertificateInfo, Fault, FaultAt};
use self::{certificate::Material, client::ClientCertificate, resolver::Resolver};

/// What HTTP is spoken, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of one listener.
pub struct TlsServer {
    config: TlsConfig,
    current: ArcSwap<Snapshot>,
}

struct Snapshot {
    acceptor: Acceptor,
    /// The authorities of client certificates, as they are in their file.
    client_ca: Option<Vec<u8>>,
    /// Nothing where sessions are not resumed.
    tickets: Option<Arc<dyn ProducesTickets>>,
    certificates: Vec<CertificateInfo>,
    chains: Vec<Vec<CertificateDer<'static>>>,
}

impl TlsServer {
    /// Reads the files of a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, at least one fault.
    pub fn load(config: &TlsConfig) -> Result<Self, Vec<FaultAt>> {
        let snapshot = Snapshot::load(config, None)?;
        Ok(Self { config: config.clone(), current: ArcSwap::from_pointee(snapshot) })
    }

    /// Reads the files again. Connections that are there go on as they are. Whether there is something new.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then nothing changes.
    pub fn reload(&self) -> Result<bool, Vec<FaultAt>> {
        let current = self.current.load_full();
        let fresh = Snapshot::load(&self.config, Some(&current))?;
        let is_new = !fresh.is_same(&current);
        if is_new {
            self.current.store(Arc::new(fresh));
        }
        Ok(is_new)
    }

    /// What it was made from.
    #[must_use]
    pub const fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// The certificates that clients are shown now, in the order of the configuration.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.current.load().certificates.clone()
    }

    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// Pingora's, if client and server do not agree.
    pub async fn accept<S: IO + 'static>(&self, socket: S) -> pingora_core::Result<TlsStream<S>> {
        let snapshot = self.current.load_full();
        snapshot.acceptor.tls_handshake(socket).await
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TlsServer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Snapshot {
    fn load(config: &TlsConfig, previous: Option<&Self>) -> Result<Self, Vec<FaultAt>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let material = Material::load(config, &provider)?;
        let tickets = match previous {
            Some(previous) => previous.tickets.clone(),
            None if config.client_ca.is_some() => None,
            None => Some(aws_lc_rs::Ticketer::new().map_err(|error| vec![FaultAt::tls(error)])?),
        };
        let Material { certificates, client_ca, verifier } = material;
        let chains = certificates.iter().map(|certificate| certificate.key.cert.clone()).collect();
        let infos = certificates.iter().map(|certificate| certificate.info.clone()).collect();
        let resolver = Arc::new(Resolver::new(certificates));
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| vec![FaultAt::tls(error)])?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::clone(&resolver) as _);
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        match &tickets {
            Some(tickets) => server.ticketer = Arc::clone(tickets),
            None => server.send_tls13_tickets = 0,
        }
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { acceptor: acceptor(server, resolver)?, client_ca, tickets, certificates: infos, chains })
    }

    fn is_same(&self, other: &Self) -> bool {
        // A chain has one key: the same chain, the same key.
        self.chains == other.chains && self.client_ca == other.client_ca
    }
}

/// Pingora's acceptor, which makes streams that Pingora takes, with our configuration in place of its own.
fn acceptor(server: ServerConfig, resolver: Arc<Resolver>) -> Result<Acceptor, Vec<FaultAt>> {
    let settings = TlsSettings::with_callbacks(Box::new(Introduction));
    let mut settings = settings.map_err(|error| vec![FaultAt::tls(rustls::Error::General(error.to_string()))])?;
    settings.set_cert_resolver(resolver);
    // Pingora panics without a provider, and would install another.
    if CryptoProvider::get_default().is_none() {
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let mut acceptor = settings.build();
    acceptor.acceptor = Arc::new(server).into();
    Ok(acceptor)
}

/// Reads the client's certificate once, when the handshake is done.
struct Introduction;

#[async_trait]
impl TlsAccept for Introduction {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        let certificate = ClientCertificate::read(tls.peer_certificate_der()?)?;
        Some(Arc::new(certificate))
    }
}
