//! A server on a port of its own that records every request to the byte and answers as it is told.

use std::{
    io::{self, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::{
    message::Head,
    wait::{Gate, PATIENCE, Watched},
};

/// An address where connections are refused: the kernel hands out no port so low, and nobody serves this one.
pub const REFUSING: &str = "127.0.0.1:1";

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Watched<State>>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    /// Bound and never listening, so that nobody else gets the port while connections are refused.
    _port: TcpSocket,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    requests: Vec<Recorded>,
    connections: Vec<Weak<TcpStream>>,
    is_stopped: bool,
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This, once the gate is open.
    After(Gate, Box<Answer>),
    /// Nothing: the connection is closed.
    Close,
    /// 200 and, in JSON, `method`, `target` and `body` of the request.
    Echo,
    /// Exactly these bytes, and then the connection is closed.
    Last(Vec<u8>),
    /// Exactly these bytes.
    Raw(Vec<u8>),
}

/// How long an upstream waits before it opens a tunnel. Pingora ends one whose answer is there before it has looked for the end of
/// the request, which takes it some microseconds: less than the way to any upstream on another machine.
pub const BEFORE_A_TUNNEL: Duration = Duration::from_millis(2);

impl Answer {
    /// A response with a JSON body.
    pub fn json(status: u16, body: &str) -> Self {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        Self::Raw([head, body.to_owned()].concat().into())
    }

    /// No answer, on a connection that stays open.
    pub fn never() -> Self {
        Self::After(Gate::default(), Box::new(Self::Close))
    }
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When its last byte was read.
    pub at: Instant,
    /// Request line and fields.
    pub head: Head,
    /// The body, without its chunks' framing.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The method.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// The value of the one field of this name.
    ///
    /// # Panics
    ///
    /// If there are several.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }

    fn word(&self, index: usize) -> &str {
        self.head.start_line().split(' ').nth(index).unwrap_or_default()
    }
}

impl Upstream {
    /// A server that echoes.
    ///
    /// # Panics
    ///
    /// If there is no port.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same, at an address (IPv4).
    ///
    /// # Panics
    ///
    /// If it is taken.
    pub fn start_at(address: SocketAddr) -> Self {
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(address).unwrap();
        let address = port.local_addr().unwrap();
        let state = State { answer: Answer::Echo, requests: Vec::new(), connections: Vec::new(), is_stopped: false };
        let state = Arc::new(Watched::new(state));
        let acceptor = Mutex::new(Some(listen(address, &state)));
        Self { address, state, acceptor, _port: port }
    }

    /// Closes every connection and refuses new ones, until [`accept_connections`](Self::accept_connections).
    ///
    /// # Panics
    ///
    /// If the thread that accepts panicked.
    pub fn refuse_connections(&self) {
        if let Some(acceptor) = self.acceptor.lock().unwrap().take() {
            self.stop();
            acceptor.join().unwrap();
        }
        let connections = self.state.with(|state| std::mem::take(&mut state.connections));
        for connection in connections.iter().filter_map(Weak::upgrade) {
            // Fails only if the other side was faster.
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    /// Accepts connections again.
    ///
    /// # Panics
    ///
    /// If the port is gone.
    pub fn accept_connections(&self) {
        let mut acceptor = self.acceptor.lock().unwrap();
        if acceptor.is_none() {
            self.state.with(|state| state.is_stopped = false);
            *acceptor = Some(listen(self.address, &self.state));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers like this from now on.
    pub fn answer(&self, answer: Answer) {
        self.state.with(|state| state.answer = answer);
    }

    /// Every request since the last call.
    pub fn take_requests(&self) -> Vec<Recorded> {
        self.state.with(|state| std::mem::take(&mut state.requests))
    }

    /// The one request since the last call.
    ///
    /// # Panics
    ///
    /// If there was none, or more than one.
    #[track_caller]
    pub fn take_request(&self) -> Recorded {
        let mut requests = self.take_requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The requests since the last call of [`take_requests`](Self::take_requests), as soon as there are `count`.
    ///
    /// # Panics
    ///
    /// If there are fewer after [`PATIENCE`].
    #[track_caller]
    pub fn await_requests(&self, count: usize) -> Vec<Recorded> {
        let enough = |state: &mut State| (state.requests.len() >= count).then(|| state.requests.clone());
        self.state.find(PATIENCE, enough).expect("so many requests")
    }

    fn stop(&self) {
        self.state.with(|state| state.is_stopped = true);
        // Wakes the thread that accepts, so that it can look.
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(address: SocketAddr, state: &Arc<Watched<State>>) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).unwrap();
    let state = Arc::clone(state);
    thread::spawn(move || accept(&listener, &state))
}

fn accept(listener: &TcpListener, state: &Arc<Watched<State>>) {
    for stream in listener.incoming().flatten() {
        if state.with(|state| state.is_stopped) {
            return;
        }
        let (state, stream) = (Arc::clone(state), Arc::new(stream));
        state.with(|state| {
            state.connections.retain(|connection| connection.strong_count() > 0);
            state.connections.push(Arc::downgrade(&stream));
        });
        // How a connection ends is the other side's business, which the test asks.
        thread::spawn(move || serve(&stream, &state).ok());
    }
}

fn serve(stream: &TcpStream, state: &Watched<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(head) = Head::read(&mut stream)? {
        let body = head.read_body(&mut stream)?.unwrap_or_default();
        let request = Recorded { at: Instant::now(), head, body };
        let mut answer = state.with(|state| {
            state.requests.push(request.clone());
            state.answer.clone()
        });
        while let Answer::After(gate, next) = answer {
            gate.wait();
            answer = *next;
        }
        match answer {
            Answer::After(..) | Answer::Close => return Ok(()),
            Answer::Last(bytes) => return stream.get_mut().write_all(&bytes),
            Answer::Echo => stream.get_mut().write_all(&echo(&request))?,
            Answer::Raw(bytes) => {
                if bytes.starts_with(b"HTTP/1.1 101 ") {
                    thread::park_timeout(BEFORE_A_TUNNEL);
                }
                stream.get_mut().write_all(&bytes)?;
            }
        }
    }
    Ok(())
}

fn echo(request: &Recorded) -> Vec<u8> {
    let body = String::from_utf8_lossy(&request.body);
    let body = json!({ "method": request.method(), "target": request.target(), "body": body }).to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    let body = if request.method() == "HEAD" { "" } else { &body };
    [head.as_bytes(), body.as_bytes()].concat()
}
