//! Frames of HTTP/2 that no good client sends: they cost whoever sent them the connection or the stream, nobody else anything,
//! and no memory to speak of.

use std::{net::SocketAddr, time::Duration};

use e2e::{
    frame::{CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame, preface},
    h2::{self, ask},
    wait::PATIENCE,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::http2::SecureEdge;

/// What the proxy may come to hold because of one bad connection, in KiB.
const MAX_GROWTH: usize = 48 * 1024;

/// How much is sent of what has no end, in bytes: far more than may be kept.
const FLOOD: usize = 96 * 1024 * 1024;

/// A field that is not indexed (RFC 7541 section 6.2.2), of names and values below 127 bytes.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// `GET https://localhost/open/1`, or `POST`: 2 and 3 are methods and 7 is https in the static table.
fn head(method: u8) -> Vec<u8> {
    [vec![0x80 | method, 0x87], field(":authority", "localhost"), field(":path", "/open/1")].concat()
}

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The proxy closed it.
    Closed,
    /// It stays open, and takes nothing or everything.
    Open,
}

struct Attack {
    stream: TlsStream<TcpStream>,
}

impl Attack {
    async fn start(secure: &SecureEdge) -> Self {
        let mut stream = h2::dial(secure.address(), &secure.authority).await;
        stream.write_all(&preface()).await.unwrap();
        Self { stream }
    }

    /// Sends piece after piece, until the other side takes no more or all is sent.
    async fn flood(&mut self, mut piece: impl FnMut(u32) -> Vec<u8>) {
        let (mut sent, mut number) = (0, 0);
        while sent < FLOOD {
            let mut bytes = Vec::new();
            while bytes.len() < 64 * 1024 {
                bytes.extend(piece(number));
                number += 1;
            }
            match timeout(Duration::from_secs(1), self.stream.write_all(&bytes)).await {
                Ok(Ok(())) => sent += bytes.len(),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Whether the connection is closed, and what came before that.
    async fn end(&mut self) -> (End, Vec<u8>) {
        let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            match timeout(Duration::from_secs(2), self.stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => return (End::Closed, seen),
                Ok(Ok(read)) => seen.extend_from_slice(&buffer[..read]),
                Err(_) => return (End::Open, seen),
            }
        }
    }
}

/// The kinds of the frames in these bytes, up to where they are whole.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [high, middle, low, kind, ..] = bytes {
        kinds.push(*kind);
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    kinds
}

/// The memory that the proxy has, in KiB.
fn memory(secure: &SecureEdge) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", secure.edge.proxy.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn is_served(secure: &SecureEdge) {
    let address: SocketAddr = secure.address();
    let mut sender = h2::connect(address, &secure.authority).await;
    let answer = timeout(PATIENCE, ask(&mut sender, h2::get("/open/1").body(()).unwrap(), &[])).await.unwrap();
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_none_ends_the_connection() {
    let secure = SecureEdge::start(&[]);
    let long = |kind| [&[0xff, 0xff, 0xff, kind, 0], &1_u32.to_be_bytes()[..]].concat();
    for (case, bytes) in [
        ("larger than allowed", long(DATA)),
        ("a head larger than allowed", long(HEADERS)),
        ("data of no stream", frame(DATA, 0, 0, b"hello")),
        ("data of a stream that nobody opened", frame(DATA, 0, 5, b"hello")),
        ("a head of no stream", frame(HEADERS, END_HEADERS | END_STREAM, 0, &head(2))),
        ("a stream of the server's", frame(HEADERS, END_HEADERS | END_STREAM, 2, &head(2))),
        ("the end of a head that never began", frame(CONTINUATION, END_HEADERS, 1, &head(2))),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("half a setting", frame(SETTINGS, 0, 0, &[0])),
        ("half a ping", frame(PING, 0, 0, &[0; 4])),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("no index of a field", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80])),
        (
            "a stream that was before",
            [
                frame(HEADERS, END_HEADERS | END_STREAM, 3, &head(2)),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &head(2)),
            ]
            .concat(),
        ),
    ] {
        let mut attack = Attack::start(&secure).await;
        attack.stream.write_all(&bytes).await.unwrap();
        let (end, seen) = attack.end().await;
        assert_eq!(end, End::Closed, "{case}");
        assert!(kinds(&seen).contains(&GOAWAY), "{case}: {:?}", kinds(&seen));
    }
    is_served(&secure).await;
}

/// How a connection that floods ends, and what the proxy came to hold because of it.
async fn flooded(secure: &SecureEdge, piece: impl FnMut(u32) -> Vec<u8>, first: &[u8]) -> (End, usize) {
    is_served(secure).await;
    let before = memory(secure);
    let mut attack = Attack::start(secure).await;
    attack.stream.write_all(first).await.unwrap();
    attack.flood(piece).await;
    let growth = memory(secure).saturating_sub(before);
    let (end, _) = attack.end().await;
    is_served(secure).await;
    (end, growth.max(memory(secure).saturating_sub(before)))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_to_be_reset_end_the_connection() {
    let secure = SecureEdge::start(&[]);
    let rapid = |number: u32| {
        let stream = 1 + 2 * number;
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(2)), cancel].concat()
    };
    let (end, growth) = flooded(&secure, rapid, &[]).await;
    assert_eq!(end, End::Closed);
    assert!(growth < MAX_GROWTH, "{growth} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_ends_the_connection() {
    let secure = SecureEdge::start(&[]);
    let first = frame(HEADERS, END_STREAM, 1, &head(2));
    for filling in [Vec::new(), field("x", &"x".repeat(100)).repeat(100)] {
        let more = |_| frame(CONTINUATION, 0, 1, &filling);
        let (end, growth) = flooded(&secure, more, &first).await;
        assert_eq!(end, End::Closed, "{}", filling.len());
        assert!(growth < MAX_GROWTH, "{growth} KiB");
    }
}

/// One large field is named once, and then again and again, one byte each.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_unfolds_is_not_kept() {
    let secure = SecureEdge::start(&[]);
    let large = "x".repeat(3900);
    // Literal with indexing; 3900 as an integer of seven bits and more: 127 and then 3773.
    let named = [&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d], large.as_bytes()].concat();
    let bomb = |number: u32| {
        let stream = 3 + 2 * number;
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &[head(2), vec![0xbe; 12_000]].concat())
    };
    let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[head(2), named].concat());
    let (_, growth) = flooded(&secure, bomb, &first).await;
    assert!(growth < MAX_GROWTH, "{growth} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_say_nothing_are_not_kept() {
    let secure = SecureEdge::start(&[]);
    let open = frame(HEADERS, END_HEADERS, 1, &head(3));
    // Each of these asks for an answer: who does not read the answers is not read any more.
    for (case, piece, first, expected) in [
        ("data", frame(DATA, 0, 1, &[]), &open[..], End::Closed),
        ("settings", frame(SETTINGS, 0, 0, &[]), &[], End::Open),
        ("ping", frame(PING, 0, 0, &[0; 8]), &[], End::Open),
    ] {
        let (end, growth) = flooded(&secure, |_| piece.clone(), first).await;
        assert_eq!(end, expected, "{case}");
        assert!(growth < MAX_GROWTH, "{case}: {growth} KiB");
    }
}
