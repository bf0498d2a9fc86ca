//! How a connection is got back from Pingora, which owns it while it reads a head.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use pingora_core::protocols::http::date::get_cached_date;
use tokio::{
    io::{AsyncWriteExt, BufWriter},
    time::timeout,
};

use super::transport::Transport;

/// How long a farewell may take. It fits into the empty buffer of any socket.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a connection goes that is dropped.
#[derive(Debug, Default)]
pub(super) struct Rescue {
    is_wanted: AtomicBool,
    transport: Mutex<Option<Transport>>,
}

impl Rescue {
    /// From now on the connection is not closed when it is dropped, but put here.
    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    pub(super) fn put(&self, transport: Transport) {
        *self.transport.lock() = Some(transport);
    }

    /// Tells the client that its request took too long (RFC 9110 section 15.5.9), and closes.
    pub(super) async fn say_timeout(&self) {
        let Some(transport) = self.transport.lock().take() else { return };
        let mut transport = BufWriter::new(transport);
        let farewell = async {
            transport.write_all(b"HTTP/1.1 408 Request Timeout\r\ndate: ").await?;
            transport.write_all(get_cached_date().as_bytes()).await?;
            transport.write_all(b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            transport.shutdown().await
        };
        // A client that is gone, or takes nothing, is not told.
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    }
}
