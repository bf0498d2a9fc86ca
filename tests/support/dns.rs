//! A name server on a port of its own, over UDP (RFC 1035), that answers as it is told and records what it is asked.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::Instant,
};

use crate::wait::{Gate, PATIENCE, Watched};

/// The longest message over UDP that anyone sends it.
const MAX_MESSAGE: usize = 4096;

/// Record types.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// Response codes.
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// A running name server. It stops when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<Watched<State>>,
}

#[derive(Debug, Default)]
struct State {
    replies: HashMap<String, Reply>,
    questions: Vec<Question>,
    is_stopped: bool,
}

/// What is said about a name. Who was never told anything about one says that it does not exist.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These addresses, each for so many seconds. None of a family: the name exists, and has none of it.
    Addresses(u32, Vec<IpAddr>),
    /// This, once the gate is open.
    After(Gate, Box<Reply>),
    /// The name is another name for this one, which has these addresses, each for so many seconds.
    Alias(String, u32, Vec<IpAddr>),
    /// The first about IPv4 addresses, the second about IPv6 addresses.
    Families(Box<Reply>, Box<Reply>),
    /// The server cannot say (SERVFAIL).
    Failure,
    /// There is no such name (NXDOMAIN).
    Missing,
    /// Nothing at all.
    Silence,
}

/// What somebody asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// When it arrived.
    pub at: Instant,
    /// In lower case, with a dot at its end.
    pub name: String,
    family: u16,
}

impl Question {
    /// Whether IPv4 addresses are asked for.
    pub fn is_v4(&self) -> bool {
        self.family == A
    }
}

impl Reply {
    /// Addresses that hold for a second.
    ///
    /// # Panics
    ///
    /// If one is none.
    pub fn addresses(addresses: &[&str]) -> Self {
        Self::Addresses(1, addresses.iter().map(|address| address.parse().unwrap()).collect())
    }
}

impl NameServer {
    /// A server that knows no name.
    ///
    /// # Panics
    ///
    /// If there is no port.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, state) = (socket.local_addr().unwrap(), Arc::new(Watched::new(State::default())));
        let served = Arc::clone(&state);
        thread::spawn(move || serve(&Arc::new(socket), &served));
        Self { address, state }
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says this about a name, which ends with a dot, from now on.
    pub fn say(&self, name: &str, reply: Reply) {
        self.state.with(|state| state.replies.insert(name.to_owned(), reply));
    }

    /// What it was asked since the last call.
    pub fn take_questions(&self) -> Vec<Question> {
        self.state.with(|state| std::mem::take(&mut state.questions))
    }

    /// Waits until it was asked so often since the last call of [`take_questions`](Self::take_questions).
    ///
    /// # Panics
    ///
    /// If it was not after [`PATIENCE`].
    #[track_caller]
    pub fn await_questions(&self, count: usize) -> Vec<Question> {
        let enough = |state: &mut State| (state.questions.len() >= count).then(|| state.questions.clone());
        self.state.find(PATIENCE, enough).expect("so many questions")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.state.with(|state| state.is_stopped = true);
        // Wakes the thread that serves, so that it can look. If it cannot be woken it is not there.
        drop(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[], self.address)));
    }
}

fn serve(socket: &Arc<UdpSocket>, state: &Arc<Watched<State>>) {
    let mut buffer = [0; MAX_MESSAGE];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if state.with(|state| state.is_stopped) {
            return;
        }
        let Some(asked) = Asked::parse(&buffer[..length]) else { continue };
        let question = Question { at: Instant::now(), name: asked.name.clone(), family: asked.family };
        let reply = state.with(|state| {
            state.questions.push(question);
            state.replies.get(&asked.name).cloned().unwrap_or(Reply::Missing)
        });
        let Reply::After(gate, later) = reply else {
            send(socket, from, &asked, &reply);
            continue;
        };
        let socket = Arc::clone(socket);
        thread::spawn(move || {
            gate.wait();
            send(&socket, from, &asked, &later);
        });
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, asked: &Asked, reply: &Reply) {
    if let Some(message) = asked.reply(reply) {
        // Who does not wait any more does not get it.
        drop(socket.send_to(&message, to));
    }
}

/// A message with a question.
#[derive(Debug)]
struct Asked {
    id: [u8; 2],
    /// Name, type and class, as they were sent.
    question: Vec<u8>,
    name: String,
    family: u16,
}

impl Asked {
    fn parse(message: &[u8]) -> Option<Self> {
        let (head, rest) = message.split_at_checked(12)?;
        let (mut name, mut at) = (String::new(), 0);
        loop {
            let length = usize::from(*rest.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            name.push_str(&String::from_utf8_lossy(rest.get(at..at + length)?).to_ascii_lowercase());
            name.push('.');
            at += length;
        }
        let family = u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?);
        Some(Self { id: [head[0], head[1]], question: rest.get(..at + 4)?.to_owned(), name, family })
    }

    /// The whole message; nothing, if nothing is to be said.
    fn reply(&self, reply: &Reply) -> Option<Vec<u8>> {
        let (code, records) = match reply {
            Reply::Families(v4, v6) => return self.reply(if self.family == A { v4 } else { v6 }),
            Reply::Addresses(ttl, addresses) => (NO_ERROR, self.records(&[0xc0, 12], *ttl, addresses)),
            Reply::Alias(to, ttl, addresses) => {
                let target = encode(to);
                let mut records = vec![record(&[0xc0, 12], CNAME, *ttl, &target)];
                records.extend(self.records(&target, *ttl, addresses));
                (NO_ERROR, records)
            }
            Reply::Failure => (SERVER_FAILURE, Vec::new()),
            Reply::Missing => (NO_SUCH_NAME, Vec::new()),
            Reply::After(..) | Reply::Silence => return None,
        };
        let count = u16::try_from(records.len()).unwrap().to_be_bytes();
        // A response to a standard query, recursion desired and available; one question.
        let head = [&self.id[..], &[0x81, 0x80 | code, 0, 1], &count, &[0; 4]].concat();
        Some([head, self.question.clone(), records.concat()].concat())
    }

    /// The addresses of the family that is asked for.
    fn records(&self, name: &[u8], ttl: u32, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
        let data = addresses.iter().filter_map(|address| match (self.family, address) {
            (A, IpAddr::V4(address)) => Some(address.octets().to_vec()),
            (AAAA, IpAddr::V6(address)) => Some(address.octets().to_vec()),
            _ => None,
        });
        data.map(|data| record(name, self.family, ttl, &data)).collect()
    }
}

/// A record of the class Internet.
fn record(name: &[u8], family: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [name, &family.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, data].concat()
}

/// A name that ends with a dot, as it is sent.
fn encode(name: &str) -> Vec<u8> {
    let labels = name.trim_end_matches('.').split('.');
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}
