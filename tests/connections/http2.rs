//! HTTP/2 connections, frame by frame (RFC 9113): how they end.

use std::{
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{
    authority::Authority,
    edge::Edge,
    frame::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, frame, preface},
    process::Directory,
    secure,
    secure::SecureClient,
    upstream::Answer,
    wait::Gate,
};

use crate::{edge, secure_listener};

const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = END_STREAM | END_HEADERS;
const REFUSED_STREAM: u32 = 7;

/// Well before the defaults of `idle_timeout` (75 seconds) and `shutdown_grace` (30 seconds), and before a read gives up.
const PROMPTLY: Duration = Duration::from_secs(8);

/// A frame that was received (section 4.1).
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A `GET /open/1` without a body (RFC 7541: two indexed fields, two literals).
fn request(stream: u32) -> Vec<u8> {
    let block = [&[0x82, 0x87, 0x04, 7][..], b"/open/1", &[0x01, 9], b"localhost"].concat();
    frame(HEADERS, END_STREAM_AND_HEADERS, stream, &block)
}

fn read(client: &mut SecureClient) -> Option<Frame> {
    let mut head = [0; 9];
    client.stream().read_exact(&mut head).ok()?;
    let [high, middle, low, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap()];
    client.stream().read_exact(&mut payload).ok()?;
    Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
}

/// The streams that were answered to their end, and the last stream that each GOAWAY says is served, until the end.
fn until_closed(client: &mut SecureClient) -> (Vec<u32>, Vec<u32>) {
    let (mut answered, mut farewells) = (Vec::new(), Vec::new());
    while let Some(Frame { kind, flags, stream, payload }) = read(client) {
        match kind {
            DATA | HEADERS if flags & END_STREAM != 0 => answered.push(stream),
            GOAWAY => farewells.push(u32::from_be_bytes(*payload.first_chunk().unwrap())),
            // The last farewell waits for it: then no request is on its way any more (section 6.8).
            PING if flags & ACK == 0 => client.send(frame(PING, ACK, 0, &payload)),
            _ => {}
        }
    }
    answered.sort_unstable();
    (answered, farewells)
}

fn connection(limits: &str) -> (Edge, SecureClient) {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener), ("limits", limits)]);
    let mut config = secure::config(&authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = SecureClient::connect(edge.proxy.address(), Arc::new(config), "localhost").unwrap();
    client.send(preface());
    (edge, client)
}

#[test]
fn a_connection_says_farewell_after_as_many_requests_as_allowed() {
    let (_edge, mut client) = connection("{ requests_per_connection: 2 }");
    client.send([request(1), request(3)].concat());
    let (answered, farewells) = until_closed(&mut client);
    assert_eq!((answered, farewells.last()), (vec![1, 3], Some(&3)));
}

#[test]
fn a_stop_says_farewell() {
    let (edge, mut client) = connection("{}");
    client.send(request(1));
    edge.upstream.await_requests(1);
    edge.proxy.signal("TERM");
    let (answered, farewells) = until_closed(&mut client);
    assert_eq!((answered, farewells.last()), (vec![1], Some(&1)));
}

/// The streams that were answered to their end before the connection ended, for a client that never confirms anything.
fn until_closed_mute(client: &mut SecureClient) -> Vec<u32> {
    let frames = std::iter::from_fn(|| read(client));
    let last = frames.filter(|frame| [DATA, HEADERS].contains(&frame.kind) && frame.flags & END_STREAM != 0);
    let mut answered: Vec<_> = last.map(|frame| frame.stream).collect();
    answered.sort_unstable();
    answered
}

#[test]
fn who_confirms_nothing_is_let_go_after_as_many_requests_as_allowed() {
    let (edge, mut client) = connection("{ requests_per_connection: 2 }");
    client.send([request(1), request(3)].concat());
    let began = Instant::now();
    assert_eq!(until_closed_mute(&mut client), [1, 3]);
    assert!(began.elapsed() < PROMPTLY, "{:?}", began.elapsed());
    crate::await_metric(&edge, "cognigate_downstream_connections", &[], 0.0);
}

#[test]
fn a_stop_does_not_wait_for_an_idle_client_that_confirms_nothing() {
    let (mut edge, mut client) = connection("{}");
    client.send(request(1));
    while read(&mut client).unwrap().flags & END_STREAM == 0 {}
    edge.proxy.signal("TERM");
    let status = edge.proxy.wait_exit(PROMPTLY);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", edge.proxy.log());
}

#[test]
fn who_was_let_go_begins_nothing_more_and_what_it_began_is_finished() {
    let (edge, mut client) = connection("{ requests_per_connection: 1 }");
    // Room for what is answered on the way (WINDOW_UPDATE).
    client.send([0, 0, 4, 8, 0, 0, 0, 0, 0, 0x40, 0, 0, 0]);
    let gate = Gate::default();
    edge.upstream.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    client.send(request(1));
    edge.upstream.await_requests(1);
    edge.upstream.answer(Answer::Echo);
    let began = Instant::now();
    // What was on its way when the client was told is served.
    let refusal = (3_u32..).step_by(2).find_map(|stream| {
        assert!(began.elapsed() < PROMPTLY, "it is still served");
        client.send(request(stream));
        let mut frames = std::iter::from_fn(|| read(&mut client)).filter(|frame| frame.stream == stream);
        let last = frames.find(|frame| frame.kind == RST_STREAM || frame.flags & END_STREAM != 0).unwrap();
        (last.kind == RST_STREAM).then_some(last.payload)
    });
    assert_eq!(refusal, Some(REFUSED_STREAM.to_be_bytes().to_vec()));
    gate.open();
    assert_eq!(until_closed_mute(&mut client), [1]);
}
