//! The two ends of HTTP/2: a client over TLS, as browsers and gRPC clients are, and a server in clear text or over TLS.
//!
//! What is within one stream is left to the test: h2 gives it frame by frame.

use std::{future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::{
    RecvStream, client,
    client::SendRequest,
    server::{self, SendResponse},
};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{authority::Authority, secure, wait::PATIENCE};

/// The name that the proxy's certificate has.
pub const NAME: &str = "localhost";

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: http::response::Parts,
    /// The body.
    pub body: Bytes,
    /// The trailers, if there are any.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The value of a field.
    ///
    /// # Panics
    ///
    /// If it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }
}

/// Connects over TLS, as a client that trusts this authority.
///
/// # Panics
///
/// If there is no such connection.
pub async fn connect(address: SocketAddr, authority: &Authority) -> SendRequest<Bytes> {
    let (sender, connection) = client::handshake(dial(address, authority).await).await.unwrap();
    // How it ends is seen on its streams.
    tokio::spawn(async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

/// A connection over TLS on which HTTP/2 was agreed on, and nothing said yet.
///
/// # Panics
///
/// If there is no such connection.
pub async fn dial(address: SocketAddr, authority: &Authority) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut config = secure::config(authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(NAME.try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

/// A request to `https://localhost` without a body.
///
/// # Panics
///
/// If there is no such target.
pub fn get(target: &str) -> http::request::Builder {
    Request::builder().uri(format!("https://{NAME}{target}"))
}

/// Sends a request in these pieces, and reads the response to its end.
///
/// # Errors
///
/// What ended the stream instead.
///
/// # Panics
///
/// If nothing comes.
pub async fn ask(sender: &mut SendRequest<Bytes>, request: Request<()>, body: &[&[u8]]) -> Result<Answer, h2::Error> {
    let exchange = async {
        let (response, mut stream) = sender.send_request(request, body.is_empty())?;
        for (place, piece) in body.iter().enumerate() {
            stream.send_data(Bytes::copy_from_slice(piece), place + 1 == body.len())?;
        }
        read(response.await?).await
    };
    timeout(PATIENCE, exchange).await.expect("an answer")
}

/// Reads a response to its end.
///
/// # Errors
///
/// What ended the stream instead.
pub async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await.transpose()? {
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { head, body: body.into(), trailers })
}

/// Serves HTTP/2 on a port of its own, each stream with `serve`. In clear text, unless there is a configuration of TLS.
///
/// # Panics
///
/// If there is no port.
pub async fn start<F, S>(tls: Option<ServerConfig>, serve: S) -> SocketAddr
where
    F: Future<Output = ()> + Send,
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (serve, tls) = (serve.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve_all(stream, serve).await,
                    Some(tls) => {
                        // A client that does not agree is the test's business.
                        if let Ok(stream) = tls.accept(stream).await {
                            serve_all(stream, serve).await;
                        }
                    }
                }
            });
        }
    });
    address
}

async fn serve_all<F, S, I>(stream: I, serve: S)
where
    F: Future<Output = ()> + Send,
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, response))) = connection.accept().await {
        let serve = serve.clone();
        tokio::spawn(async move { serve(request, response).await });
    }
}
