//! The same over HTTP/2, whose endpoints can say what they did not begin with (RFC 9113 sections 6.8 and 8.7).

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use e2e::{
    client::{Request, get, post},
    frame::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, frame, preface},
    wait::Watched,
};
use rustix::net::sockopt::set_socket_linger;

use crate::edge;

/// Error codes (RFC 9113 section 7).
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;

/// `:status: 200` in the static table of RFC 7541.
const OK: u8 = 0x88;

/// Says that settings were taken.
const ACK: u8 = 1;

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Answers it.
    Answer,
    /// Goes away, and says that it did not begin with it.
    GoAway,
    /// Goes away, says that it may have begun with it, and closes the connection without an answer.
    GoAwayWith,
    /// Refuses the stream.
    Refuse,
    /// Resets the connection.
    Reset,
}

/// An endpoint that speaks HTTP/2 in clear text, and counts requests.
struct Endpoint {
    address: SocketAddr,
    state: Arc<Watched<State>>,
}

struct State {
    act: Act,
    requests: usize,
}

impl Endpoint {
    /// One that answers.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Watched::new(State { act: Act::Answer, requests: 0 }));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&served);
                // How a connection ends is the proxy's business, which the test asks.
                thread::spawn(move || serve(stream, &state).ok());
            }
        });
        Self { address, state }
    }

    fn act(&self, act: Act) {
        self.state.with(|state| state.act = act);
    }

    /// How many requests came since the last call.
    fn take_requests(&self) -> usize {
        self.state.with(|state| std::mem::take(&mut state.requests))
    }
}

fn serve(mut stream: TcpStream, state: &Watched<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut said = [0; 24];
    stream.read_exact(&mut said)?;
    assert!(preface().starts_with(&said));
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload)?;
        let id = u32::from_be_bytes(id);
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?,
            HEADERS => {
                let act = state.with(|state| {
                    state.requests += 1;
                    state.act
                });
                perform(act, &mut stream, id)?;
            }
            _ => {}
        }
    }
}

fn perform(act: Act, stream: &mut TcpStream, id: u32) -> io::Result<()> {
    let go_away = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat());
    match act {
        Act::Answer => stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[OK])),
        Act::GoAway => stream.write_all(&go_away(id.saturating_sub(2))),
        Act::GoAwayWith => {
            stream.write_all(&go_away(id))?;
            stream.shutdown(Shutdown::Write)
        }
        Act::Refuse => stream.write_all(&frame(RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes())),
        Act::Reset => {
            set_socket_linger(&*stream, Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

/// The status, how often the first endpoint and the second got the request, and whether the first was left out for it, when the
/// first does this to it. `is_reused`: the connection had been used before.
fn sent_to_one_that(act: Act, sent: &Request, is_reused: bool) -> (u16, usize, usize, bool) {
    let endpoints = [Endpoint::start(), Endpoint::start()];
    let [first, second] = endpoints.each_ref().map(|endpoint| endpoint.address.to_string());
    let outlier = "outlier: { consecutive_failures: 1, eject_for: 1h }";
    let upstreams =
        format!("{{ items: {{ endpoints: ['{first}', '{second}'], protocol: http2, retries: 1, {outlier} }} }}");
    let edge = edge(&[("upstreams", &upstreams)]);
    let mut client = edge.client();
    if is_reused {
        for _ in 0..2 {
            assert_eq!(client.ask(&get("/open/1")).status, 200);
        }
    }
    for endpoint in &endpoints {
        endpoint.take_requests();
    }
    endpoints[0].act(act);
    let status = client.ask(sent).status;
    let [at_first, at_second] = endpoints.each_ref().map(Endpoint::take_requests);
    let ejections = edge.proxy.metrics().sum("cognigate_upstream_ejections_total", &[("upstream", "items")]);
    (status, at_first, at_second, ejections == 1.0)
}

#[track_caller]
fn assert_becomes(act: Act, is_reused: bool, of_get: (u16, usize, usize), of_post: (u16, usize, usize), is_out: bool) {
    for (sent, (status, at_first, at_second)) in [(get("/open/1"), of_get), (post("/open/1").body("hello"), of_post)] {
        let found = sent_to_one_that(act, &sent, is_reused);
        assert_eq!(found, (status, at_first, at_second, is_out), "{act:?} {is_reused} {sent:?}");
    }
}

/// One that refuses is not well. Its word that it did not begin would do for any method (RFC 9113 section 8.7); here nothing that is
/// not idempotent is sent twice.
#[test]
fn a_stream_that_is_refused_is_repeated_if_that_does_no_harm_and_counts() {
    assert_becomes(Act::Refuse, true, (200, 1, 1), (502, 1, 0), true);
    assert_becomes(Act::Refuse, false, (200, 1, 1), (502, 1, 0), true);
}

/// One that goes away after a while is as usual as a connection that was idle for too long, and one that does at once is not.
#[test]
fn what_crosses_a_goodbye_is_repeated_if_that_does_no_harm() {
    assert_becomes(Act::GoAway, true, (200, 1, 1), (502, 1, 0), false);
    assert_becomes(Act::GoAway, false, (200, 1, 1), (502, 1, 0), true);
}

/// It may have been acted on.
#[test]
fn what_is_lost_with_its_connection_is_repeated_only_if_that_does_no_harm() {
    for act in [Act::GoAwayWith, Act::Reset] {
        assert_becomes(act, true, (200, 1, 1), (502, 1, 0), false);
        assert_becomes(act, false, (502, 1, 0), (502, 1, 0), true);
    }
}
