//! What a listener asks of its connections: `listeners[]`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// One of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// `address`: an IP address and a port. Port 0: one that the kernel chooses. No default.
    pub address: SocketAddr,
    /// `tls`: what clients are shown and asked for. Default: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// `proxy_protocol`: whether every connection begins with a header of the PROXY protocol, version 1 or 2. Default false.
    pub proxy_protocol: bool,
}

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// `certificates`: chosen by the name that a client asks for; the first where none of them has it. At least one.
    pub certificates: Vec<CertificateConfig>,
    /// `client_ca`: a file with the authorities that client certificates may come from, PEM. Default: none are asked for.
    /// Sessions are not resumed on such a listener.
    pub client_ca: Option<PathBuf>,
    /// `client_certificates`: whether a client must have one. Only with `client_ca`, default `required`.
    pub client_certificates: ClientCertificates,
}

/// One of a listener's `certificates`. A path is relative to the directory of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateConfig {
    /// `cert`: a file with the certificate and those between it and the root, PEM.
    pub cert: PathBuf,
    /// `key`: a file with its private key, PEM: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// What is done with a client that has no certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// `optional`: it is served. One that shows a certificate of an unknown authority is not.
    Optional,
    /// `required`: it is refused in the handshake.
    #[default]
    Required,
}

impl TlsConfig {
    /// Every file that it names, each once a mention.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        pairs.chain(&self.client_ca).map(PathBuf::as_path)
    }
}
