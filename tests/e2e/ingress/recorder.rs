//! An upstream that keeps every byte that reaches it, whether or not it makes up a request.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use e2e::{upstream::Answer, wait::Watched};

use super::strict::{Reading, Request, read, text};

/// How long bytes may take that are on their way already.
const TRANSIT: Duration = Duration::from_secs(2);

/// A running recorder. It stops when it is dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    address: SocketAddr,
    state: Arc<Watched<State>>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    connections: Vec<Connection>,
    is_stopped: bool,
}

/// What came on one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    /// The port that it comes from.
    port: u16,
    bytes: Vec<u8>,
    /// How much of it was taken already.
    taken: usize,
    /// Where it stopped being HTTP, with the consent of both sides.
    tunnel: Option<usize>,
    is_closed: bool,
}

impl Recorder {
    /// A recorder that echoes the target.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { answer: Answer::Echo, connections: Vec::new(), is_stopped: false };
        let state = Arc::new(Watched::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &shared));
        Self { address, state }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers whole requests like this from now on.
    pub(super) fn answer(&self, answer: Answer) {
        self.state.with(|state| state.answer = answer);
    }

    /// Every byte since the last call, as soon as `is_enough` says so, or what there is if it does not.
    pub(super) fn take(&self, is_enough: impl Fn(&str) -> bool) -> String {
        self.await_accepted();
        self.state.find(TRANSIT, |state| is_enough(&state.untaken()).then_some(()));
        self.take_now()
    }

    /// Every byte since the last call, as soon as there are some and each connection with half a request was closed.
    pub(super) fn take_cut(&self) -> String {
        let is_settled = |connection: &Connection| connection.is_closed || connection.is_between_requests();
        let is_cut = |state: &mut State| !state.untaken().is_empty() && state.connections.iter().all(is_settled);
        self.state.find(TRANSIT, |state| is_cut(state).then_some(()));
        self.take_now()
    }

    fn take_now(&self) -> String {
        self.state.with(|state| {
            let untaken = state.untaken();
            state.connections.iter_mut().for_each(|connection| connection.taken = connection.bytes.len());
            untaken
        })
    }

    /// Waits until every connection that was made before this call is known.
    fn await_accepted(&self) {
        let stream = TcpStream::connect(self.address).unwrap();
        let port = stream.local_addr().unwrap().port();
        let is_known = |state: &mut State| state.connections.iter().any(|connection| connection.port == port);
        self.state.find(TRANSIT, |state| is_known(state).then_some(()));
    }

    /// Every connection since the start.
    pub(super) fn connections(&self) -> Vec<Connection> {
        self.state.with(|state| state.connections.clone())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.state.with(|state| state.is_stopped = true);
        // Wakes the thread that accepts, so that it can look.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn untaken(&self) -> String {
        self.connections.iter().map(|connection| text(&connection.bytes[connection.taken..])).collect()
    }
}

impl Connection {
    fn is_between_requests(&self) -> bool {
        let mut rest = self.http();
        while let Ok(Reading::Whole(_, length)) = read(rest) {
            rest = &rest[length..];
        }
        rest.is_empty()
    }

    fn http(&self) -> &[u8] {
        &self.bytes[..self.tunnel.unwrap_or(self.bytes.len())]
    }

    /// Every request, and the beginning of one that broke off.
    pub(super) fn requests(&self) -> Result<Vec<Request>, String> {
        let mut rest = self.http();
        let mut requests = Vec::new();
        while !rest.is_empty() {
            match read(rest)? {
                Reading::Part(None) => return Err(format!("half a head: {:?}", text(rest))),
                Reading::Part(Some(request)) => {
                    requests.push(request);
                    break;
                }
                Reading::Whole(request, length) => {
                    requests.push(request);
                    rest = &rest[length..];
                }
            }
        }
        Ok(requests)
    }
}

fn accept(listener: &TcpListener, state: &Arc<Watched<State>>) {
    for stream in listener.incoming().flatten() {
        let place = state.with(|state| {
            let port = stream.peer_addr().map_or(0, |address| address.port());
            state.connections.push(Connection { port, ..Connection::default() });
            (!state.is_stopped).then(|| state.connections.len() - 1)
        });
        let Some(place) = place else { return };
        let server = Server { stream, place, state: Arc::clone(state), unread: Vec::new(), is_continued: false };
        thread::spawn(move || server.run());
    }
}

/// One connection, from the side that answers.
struct Server {
    stream: TcpStream,
    /// Its place among the connections that are kept.
    place: usize,
    state: Arc<Watched<State>>,
    unread: Vec<u8>,
    /// Whether the client was told to go on with the body that is to come.
    is_continued: bool,
}

/// What becomes of a connection.
enum Next {
    Close,
    Http,
    Tunnel,
}

impl Server {
    fn run(mut self) {
        // How a connection ends is the proxy's business: what came on it is kept.
        drop(self.serve());
        self.with_kept(|kept| kept.is_closed = true);
    }

    fn serve(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while self.receive()? {
            match self.answer_all()? {
                Next::Close => return Ok(()),
                Next::Http => {}
                Next::Tunnel => {
                    let rest = self.unread.len();
                    self.with_kept(|kept| kept.tunnel = Some(kept.bytes.len() - rest));
                    while self.receive()? {}
                }
            }
        }
        Ok(())
    }

    /// Whether there was anything.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let length = self.stream.read(&mut buffer)?;
        self.unread.extend_from_slice(&buffer[..length]);
        self.with_kept(|kept| kept.bytes.extend_from_slice(&buffer[..length]));
        Ok(length > 0)
    }

    fn answer_all(&mut self) -> io::Result<Next> {
        loop {
            match read(&self.unread) {
                Ok(Reading::Whole(request, length)) => {
                    self.unread.drain(..length);
                    self.is_continued = false;
                    let next = self.answer(&request)?;
                    if !matches!(next, Next::Http) {
                        return Ok(next);
                    }
                }
                Ok(Reading::Part(Some(request))) if !self.is_continued && !request.read_as("expect").is_empty() => {
                    self.is_continued = true;
                    self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                // What cannot be read is kept, and judged at the end.
                Ok(Reading::Part(_)) | Err(_) => return Ok(Next::Http),
            }
        }
    }

    fn answer(&mut self, request: &Request) -> io::Result<Next> {
        let mut answer = self.state.with(|state| state.answer.clone());
        while let Answer::After(gate, then) = answer {
            gate.wait();
            answer = *then;
        }
        let (bytes, next) = match answer {
            Answer::After(..) | Answer::Close => return Ok(Next::Close),
            Answer::Echo => (echo(request), Next::Http),
            Answer::Last(bytes) => (bytes, Next::Close),
            Answer::Raw(bytes) if bytes.starts_with(b"HTTP/1.1 101") => (bytes, Next::Tunnel),
            Answer::Raw(bytes) => (bytes, Next::Http),
        };
        self.stream.write_all(&bytes)?;
        Ok(next)
    }

    fn with_kept(&self, change: impl FnOnce(&mut Connection)) {
        self.state.with(|state| change(&mut state.connections[self.place]));
    }
}

/// 200 and the target.
fn echo(request: &Request) -> Vec<u8> {
    let target = request.target();
    let body = if request.head.starts_with("HEAD ") { "" } else { target };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", target.len()).into()
}
