//! A client that sends what it is told, to the byte, and reads one response at a time.

use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{message::Head, wait::PATIENCE};

/// One connection. Every read and write gives up after [`PATIENCE`].
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If nobody listens.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// Connects, if somebody listens.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
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

    /// Sends a request and reads the response to it, if one comes.
    ///
    /// # Errors
    ///
    /// The socket's, [`io::ErrorKind::UnexpectedEof`] if the connection ends first.
    pub fn try_ask(&mut self, request: &Request) -> io::Result<Response> {
        self.stream.get_mut().write_all(&request.to_bytes())?;
        self.read_response(request.method == "HEAD")
    }

    /// Sends these bytes.
    ///
    /// # Panics
    ///
    /// If they cannot be sent.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends these bytes, if the other side still takes them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).ok();
    }

    /// Reads up to these bytes, and everything before them.
    ///
    /// # Panics
    ///
    /// If they do not come.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let (mut seen, expected) = (Vec::new(), bytes.as_ref());
        while !seen.ends_with(expected) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            seen.extend(byte);
        }
    }

    /// Exactly this many bytes.
    ///
    /// # Panics
    ///
    /// If fewer come.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads the head of the next response, and not what follows it.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn head(&mut self) -> Head {
        Head::read(&mut self.stream).unwrap().unwrap()
    }

    /// Reads the next response, to anything but `HEAD`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.read_response(false).unwrap()
    }

    /// Everything that still comes before the other side closes the connection.
    ///
    /// # Panics
    ///
    /// If it stays open.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            // Closed with something of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }

    fn read_response(&mut self, is_to_head: bool) -> io::Result<Response> {
        let head = Head::read(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.start_line().split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(head.start_line().to_owned()))?;
        let has_no_body = is_to_head || matches!(status, 100..=199 | 204 | 304);
        let body = match has_no_body {
            true => Vec::new(),
            false => match head.read_body(&mut self.stream)? {
                Some(body) => body,
                None => self.rest(),
            },
        };
        Ok(Response { status, head, body })
    }
}

/// A request. What is not set is as a plain client sends it: HTTP/1.1, `Host: localhost`, no body.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    host: Option<String>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A `GET`.
pub fn get(target: impl Into<String>) -> Request {
    request("GET", target)
}

/// A `POST` without a body.
pub fn post(target: impl Into<String>) -> Request {
    request("POST", target)
}

/// A request of this method.
pub fn request(method: impl Into<String>, target: impl Into<String>) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        version: "HTTP/1.1",
        host: Some("localhost".to_owned()),
        fields: Vec::new(),
        body: Vec::new(),
    }
}

impl Request {
    /// Says another version.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Asks for another host.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Leaves the `Host` field out.
    #[must_use]
    pub fn without_host(mut self) -> Self {
        self.host = None;
        self
    }

    /// Adds a field, also one that is there already.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer <token>`.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Adds a body and its `Content-Length`.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { body: body.clone(), ..self.header("Content-Length", body.len().to_string()) }
    }

    /// The bytes that are sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { method, target, version, host, fields, body } = self;
        let mut head = format!("{method} {target} {version}\r\n");
        let host = host.iter().map(|host| ("Host", host.as_str()));
        for (name, value) in host.chain(fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and fields.
    pub head: Head,
    /// The body, without its chunks' framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the one field of this name.
    ///
    /// # Panics
    ///
    /// If there are several.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.value(name)
    }

    /// The body as text.
    ///
    /// # Panics
    ///
    /// If it is not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether it says that the connection ends with it.
    pub fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}
