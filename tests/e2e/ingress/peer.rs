//! A client that sends bytes and takes what comes, also when nothing comes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use super::strict::{bytes, text};

/// How long a read or write may take. Longer than the proxy waits for a small body that does not come.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A response, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The status code; 0 where the connection ended or stayed silent instead.
    pub(super) status: u16,
    /// Status line and fields.
    pub(super) head: String,
    /// The body, without its chunks' framing.
    pub(super) body: String,
    /// Whether the body came to the end that the head announced.
    pub(super) is_whole: bool,
}

impl Peer {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Sends these bytes, or as many as the other side takes.
    pub(super) fn send(&mut self, text: &str) {
        // Who has answered and closed the connection does not read on.
        drop(self.stream.write_all(&bytes(text)));
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads the next response, an interim one included.
    pub(super) fn reply(&mut self, is_to_head: bool) -> Reply {
        let Some(head) = self.line_end(b"\r\n\r\n").map(|end| self.take(end)) else { return Reply::default() };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let (body, is_whole) = match (status, field(&head, "transfer-encoding"), field(&head, "content-length")) {
            (100..=199 | 204 | 304, ..) => (String::new(), true),
            _ if is_to_head => (String::new(), true),
            (_, Some("chunked"), _) => self.chunks(),
            (_, _, Some(length)) => self.exactly(length.parse().unwrap_or(usize::MAX)),
            _ => (self.rest(), true),
        };
        Reply { status, head, body, is_whole }
    }

    /// Everything before the other side closes the connection; a note instead if it does not.
    pub(super) fn rest(&mut self) -> String {
        match self.is_fed_by(usize::MAX) {
            Ok(()) => self.take(self.unread.len()),
            Err(stays_open) => stays_open.to_owned(),
        }
    }

    fn chunks(&mut self) -> (String, bool) {
        let mut body = String::new();
        loop {
            let Some(line) = self.line_end(b"\r\n").map(|end| self.take(end)) else { return (body, false) };
            let Ok(size) = usize::from_str_radix(line.trim_end(), 16) else { return (body, false) };
            let (chunk, is_whole) = self.exactly(size + 2);
            body.push_str(chunk.strip_suffix("\r\n").unwrap_or(&chunk));
            if size == 0 || !is_whole {
                return (body, is_whole);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> (String, bool) {
        let is_whole = self.is_fed_by(length).is_ok() && self.unread.len() >= length;
        (self.take(length.min(self.unread.len())), is_whole)
    }

    /// Where what ends in `end` ends, if it comes.
    fn line_end(&mut self, end: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(at + end.len());
            }
            let before = self.unread.len();
            self.is_fed_by(before + 1).ok()?;
            if self.unread.len() == before {
                return None;
            }
        }
    }

    /// Reads until there are `length` bytes or the connection is closed.
    fn is_fed_by(&mut self, length: usize) -> Result<(), &'static str> {
        while self.unread.len() < length {
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.unread.extend_from_slice(&buffer[..read]),
                // Closed with something of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(_) => return Err("(the connection stays open)"),
            }
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> String {
        text(&self.unread.drain(..length).collect::<Vec<_>>())
    }
}

/// The value of the first field of this name.
pub(super) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}
