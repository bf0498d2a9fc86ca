//! Hot path: no lock, no I/O, no info log.
//!
//! A socket, with TLS on it or without.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use pingora_core::protocols::{
    ALPN, GetSocketDigest, GetTimingDigest, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
    tls::{SslDigest, TlsRef, TlsStream},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::socket::Socket;

/// What carries the bytes of HTTP.
#[derive(Debug, Default)]
pub(super) enum Transport {
    /// Somebody else has it.
    #[default]
    Gone,
    /// TCP alone.
    Plain(Socket),
    /// TLS, the handshake done.
    Tls(Box<TlsStream<Socket>>),
}

/// A value that any kind of transport has, and another for none.
macro_rules! of_either {
    ($transport:expr, $io:ident => $value:expr, $gone:expr) => {
        match $transport {
            Transport::Gone => $gone,
            Transport::Plain($io) => $value,
            Transport::Tls($io) => $value,
        }
    };
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), io => Pin::new(io).poll_read(context, out), gone())
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), io => Pin::new(io).poll_write(context, bytes), gone())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), io => Pin::new(io).poll_flush(context), gone())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self.get_mut(), io => Pin::new(io).poll_shutdown(context), gone())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_either!(self.get_mut(), io => Pin::new(io).poll_write_vectored(context, slices), gone())
    }

    fn is_write_vectored(&self) -> bool {
        of_either!(self, io => io.is_write_vectored(), false)
    }
}

#[async_trait]
impl Shutdown for Transport {
    async fn shutdown(&mut self) {
        // Fails if the client was faster.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Transport {
    fn id(&self) -> UniqueIDType {
        of_either!(self, io => io.id(), -1)
    }
}

impl GetSocketDigest for Transport {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        of_either!(self, io => io.get_socket_digest(), None)
    }
}

impl GetTimingDigest for Transport {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Nobody asks for it, and TLS would allocate one on every request.
        Vec::new()
    }
}

impl Ssl for Transport {
    fn get_ssl(&self) -> Option<&TlsRef> {
        of_either!(self, io => io.get_ssl(), None)
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        of_either!(self, io => io.get_ssl_digest(), None)
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        of_either!(self, io => io.selected_alpn_proto(), None)
    }
}
