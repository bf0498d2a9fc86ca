//! A client that speaks TLS, as rustls does.

use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    authority::{Authority, Issued},
    client::{Request, Response},
    message::Head,
    wait::PATIENCE,
};

/// One connection. Every read and write gives up after [`PATIENCE`].
#[derive(Debug)]
pub struct SecureClient(BufReader<StreamOwned<ClientConnection, TcpStream>>);

/// What a client trusts and shows.
///
/// # Panics
///
/// If a certificate cannot be used.
pub fn config(authority: &Authority, identity: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(Issued { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    }
}

impl SecureClient {
    /// Connects and shakes hands.
    ///
    /// # Errors
    ///
    /// The socket's or the handshake's.
    ///
    /// # Panics
    ///
    /// If the name is none.
    pub fn connect(address: SocketAddr, config: Arc<ClientConfig>, name: &'static str) -> io::Result<Self> {
        Self::over(TcpStream::connect(address)?, config, name)
    }

    /// The same, over a connection that is there.
    ///
    /// # Errors
    ///
    /// The socket's or the handshake's.
    ///
    /// # Panics
    ///
    /// If the name is none.
    pub fn over(mut stream: TcpStream, config: Arc<ClientConfig>, name: &'static str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = ClientConnection::new(config, name.try_into().unwrap()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self(BufReader::new(StreamOwned::new(connection, stream))))
    }

    /// Sends a request and reads the response to it.
    ///
    /// # Errors
    ///
    /// The socket's, [`io::ErrorKind::UnexpectedEof`] if the connection ends first.
    pub fn try_ask(&mut self, request: &Request) -> io::Result<Response> {
        self.0.get_mut().write_all(&request.to_bytes())?;
        self.response()
    }

    /// Sends a request and reads the response to it.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Response {
        self.try_ask(request).unwrap()
    }

    /// Sends these bytes.
    ///
    /// # Panics
    ///
    /// If they cannot be sent.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// What comes, byte by byte.
    pub fn stream(&mut self) -> &mut impl Read {
        &mut self.0
    }

    /// Reads the next response.
    ///
    /// # Errors
    ///
    /// The socket's, [`io::ErrorKind::UnexpectedEof`] if the connection ends first.
    pub fn response(&mut self) -> io::Result<Response> {
        let head = Head::read(&mut self.0)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.start_line().split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(head.start_line().to_owned()))?;
        let body = head.read_body(&mut self.0)?.unwrap_or_default();
        Ok(Response { status, head, body })
    }

    /// Everything that still comes before the other side closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // However it ends.
        drop(self.0.read_to_end(&mut bytes));
        bytes
    }

    /// How the keys were agreed on.
    pub fn key_exchange(&self) -> Option<NamedGroup> {
        self.connection().negotiated_key_exchange_group().map(|group| group.name())
    }

    /// What is spoken, if it was agreed on.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.connection().alpn_protocol()
    }

    /// The certificate that the server shows.
    pub fn shown(&self) -> Option<CertificateDer<'static>> {
        self.connection().peer_certificates()?.first().cloned()
    }

    fn connection(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }
}
