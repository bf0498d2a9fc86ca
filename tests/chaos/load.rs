//! Load that costs its machine little: requests that are bytes beforehand, on connections that stay open.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use e2e::wait::PATIENCE;

/// What a connection sends in a phase.
pub(crate) type Phase = usize;

/// The phase in which everybody ends.
pub(crate) const OVER: Phase = usize::MAX;

/// The phase that all connections are in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage(Arc<AtomicUsize>);

impl Stage {
    /// Lets everybody go on to this phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase, Ordering::SeqCst);
    }

    fn phase(&self) -> Phase {
        self.0.load(Ordering::SeqCst)
    }
}

/// One request and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The phase in which it was sent.
    pub(crate) phase: Phase,
    /// What it was answered; 0 if the connection failed.
    pub(crate) status: u16,
    /// How long that took.
    pub(crate) took: Duration,
}

/// Says what the next request of a phase is, by putting it into the bytes.
pub(crate) trait Script: Send + 'static {
    /// The next request.
    fn next(&mut self, phase: Phase) -> &[u8];

    /// How long to wait before it.
    fn pause(&self) -> Duration;
}

/// A connection that sends one request after the other until everything is over, and then has a sample of each.
pub(crate) fn start(proxy: SocketAddr, stage: &Stage, mut script: impl Script) -> JoinHandle<Vec<Sample>> {
    let stage = stage.clone();
    thread::spawn(move || {
        let (mut connection, mut samples) = (Connection::open(proxy), Vec::new());
        loop {
            let phase = stage.phase();
            if phase == OVER {
                return samples;
            }
            let request = script.next(phase);
            let sent = Instant::now();
            let status = connection.as_mut().map_err(|error| error.kind().into()).and_then(|open| open.ask(request));
            samples.push(Sample { phase, status: status.as_ref().map_or(0, |status| *status), took: sent.elapsed() });
            if status.is_err() {
                connection = Connection::open(proxy);
            }
            pause(script.pause());
        }
    })
}

/// Waits for all of this time, but does not wait for none.
pub(crate) fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Connection({} bytes)", self.buffer.len())
    }
}

impl Connection {
    fn open(proxy: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(proxy)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    /// Sends a request and reads the status of its answer, and all of the answer.
    fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request)?;
        let mut length = 0;
        loop {
            let space =
                self.buffer.get_mut(length..).filter(|space| !space.is_empty()).ok_or(ErrorKind::OutOfMemory)?;
            match self.stream.read(space)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => length += read,
            }
            if let Some(status) = whole_answer(self.buffer.get(..length).unwrap_or_default()) {
                return status;
            }
        }
    }
}

/// The status of an answer; none as long as it is not complete.
fn whole_answer(bytes: &[u8]) -> Option<io::Result<u16>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).to_ascii_lowercase();
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    match (length, status) {
        (Some(length), Some(status)) => (bytes.len() >= end + 4 + length).then_some(Ok(status)),
        _ => Some(Err(io::Error::other("not an answer with a length"))),
    }
}
