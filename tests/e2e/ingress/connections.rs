//! What comes with a request, after it or instead of its end.

use e2e::{upstream::Answer, wait::Gate};

use super::{
    SMUGGLED,
    bench::{
        Bench, NOTHING,
        Then::{Closed, Open},
        canonical, refused, row,
    },
    get, post, with,
};

#[test]
fn what_follows_a_request() {
    let items = |rest: &str| format!("GET /items/1 HTTP/1.1\r\nHost: edge\r\n\r\n{rest}");
    let two = |first: String, second: &str| row(first.clone() + second, 200, Closed, "", first);
    Bench::start().run(&[
        // A second request with the first: only one is served, whoever sends it.
        two(get("/open/1"), &get("/open/2")),
        two(get("/open/1"), SMUGGLED),
        two(post("Content-Length: 5", "hello"), SMUGGLED),
        two(post("Content-Length: 0", ""), SMUGGLED),
        two("HEAD /open/1 HTTP/1.1\r\nHost: edge\r\n\r\n".to_owned(), SMUGGLED),
        two(get("/open/1"), "\0\r\n\r\n"),
        row(items(SMUGGLED), 401, Closed, "token_missing", NOTHING),
        row(items(&get("/open/2")), 401, Closed, "token_missing", NOTHING),
        row(get("/open/../1") + SMUGGLED, 400, Closed, "path_ambiguous", NOTHING),
        row(get("/nowhere") + SMUGGLED, 404, Closed, "", NOTHING),
    ]);
}

#[test]
fn upgrades() {
    let upgrade = |to: &str, rest: &str| with(&format!("Upgrade: {to}\r\nConnection: Upgrade")) + rest;
    let handshake = |rest: &str| upgrade("websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YQ==", rest);
    let shaken =
        || with("Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YQ==\r\nupgrade: websocket");
    // To a WebSocket alone; what an upstream answers that wants none is an answer like any other.
    Bench::start().run(&[
        row(upgrade("foo", ""), 200, Open, "", get("/open/1")),
        row(upgrade("foo", SMUGGLED), 200, Closed, "", get("/open/1")),
        row(upgrade("h2c", SMUGGLED), 200, Closed, "", get("/open/1")),
        row(upgrade("websocket, foo", SMUGGLED), 200, Closed, "", get("/open/1")),
        row(handshake(""), 200, Open, "", shaken()),
        row(upgrade("websocket\r\nUpgrade: websocket", ""), 200, Open, "", get("/open/1")),
        row(with("Upgrade: websocket"), 200, Open, "", get("/open/1")),
        row(handshake(SMUGGLED), 200, Closed, "", shaken()),
        row(
            post("Content-Length: 5\r\nUpgrade: websocket\r\nConnection: Upgrade", "hello") + SMUGGLED,
            200,
            Closed,
            "",
            post("Content-Length: 5", "hello"),
        ),
    ]);
}

#[test]
fn an_upstream_that_switches_protocols_has_failed() {
    let bench = Bench::start();
    let mut report = String::new();
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for lines in ["", "Upgrade: foo\r\nConnection: Upgrade\r\n", "Upgrade: websocket\r\n"] {
        bench.recorder.answer(Answer::Raw(switched.into()));
        let mut peer = bench.peer();
        peer.send(&format!("GET /open/1 HTTP/1.1\r\nHost: edge\r\n{lines}\r\n"));
        let reply = peer.reply(false);
        let before = bench.recorder.take(|seen| !seen.is_empty());
        peer.send(SMUGGLED);
        let (rest, behind) = (peer.rest(), bench.recorder.take(str::is_empty));
        if (reply.status, &*rest, &*behind) != (502, "", NOTHING) || canonical(&before) != canonical(&get("/open/1")) {
            report.push_str(&format!(
                "\n{lines:?} -> {reply:?}, then {rest:?}, the upstream got {before:?}, {behind:?}\n"
            ));
        }
        bench.recorder.answer(Answer::Echo);
        assert!(bench.is_in_step(&mut bench.peer()), "{lines:?}");
    }
    bench.finish(report);
}

#[test]
fn bytes_that_come_while_the_upstream_is_slow_end_the_request() {
    let bench = Bench::start();
    for (case, second) in
        [("a request", get("/open/2")), ("without a token", SMUGGLED.to_owned()), ("a line", "\r\n".to_owned())]
    {
        let gate = Gate::default();
        bench.recorder.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
        let mut peer = bench.peer();
        peer.send(&get("/open/1"));
        assert_eq!(bench.recorder.take(|seen| !seen.is_empty()).lines().next(), Some("GET /open/1 HTTP/1.1"), "{case}");
        peer.send(&second);
        assert_eq!(peer.reply(false).status, 400, "{case}");
        assert_eq!(peer.rest(), "", "{case}");
        gate.open();
        bench.recorder.answer(Answer::Echo);
        assert!(bench.is_in_step(&mut bench.peer()), "{case}");
    }
    bench.finish(String::new());
}

#[test]
fn a_client_that_hangs_up_gets_no_answer() {
    let bench = Bench::start();
    let gate = Gate::default();
    bench.recorder.answer(Answer::After(gate.clone(), Box::new(Answer::Echo)));
    let mut peer = bench.peer();
    peer.send(&get("/open/1"));
    bench.recorder.take(|seen| !seen.is_empty());
    peer.finish();
    assert_eq!(peer.rest(), "");
    gate.open();
    bench.recorder.answer(Answer::Echo);
    assert!(bench.is_in_step(&mut bench.peer()));
    bench.finish(String::new());
}

#[test]
fn a_request_that_breaks_off_is_not_completed() {
    let bench = Bench::start();
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    for (case, sent, seen) in [
        ("request line", "GET /open/1 HT".to_owned(), NOTHING.to_owned()),
        ("head", "GET /open/1 HTTP/1.1\r\nHost: edge\r\n".to_owned(), NOTHING.to_owned()),
        ("length", post("Content-Length: 10", "hello"), post("Content-Length: 10", "hello")),
        ("chunk", chunked("A\r\nhello"), chunked("5\r\nhello\r\n")),
        ("chunks", chunked("5\r\nhello\r\n"), chunked("5\r\nhello\r\n")),
        ("last chunk", chunked("5\r\nhello\r\n0\r\n"), chunked("5\r\nhello\r\n")),
        // Larger than any body, and still on its way.
        ("long chunk", chunked("8000000000000000\r\nhello"), chunked("5\r\nhello\r\n")),
    ] {
        let mut peer = bench.peer();
        peer.send(&sent);
        peer.finish();
        assert_eq!(peer.rest(), "", "{case}");
        let got = if seen.is_empty() { bench.recorder.take(str::is_empty) } else { bench.recorder.take_cut() };
        assert!(canonical(&seen).starts_with(&canonical(&got)), "{case}: {got:?}");
        assert!(bench.is_in_step(&mut bench.peer()), "{case}");
    }
    bench.finish(String::new());
}

#[test]
fn a_body_that_is_announced_is_asked_for_by_the_upstream_alone() {
    let bench = Bench::start();
    let expecting = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: edge\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut peer = bench.peer();
    peer.send(&expecting("/open/1"));
    assert_eq!(peer.reply(false).status, 100);
    peer.send("hello");
    let seen = bench.recorder.take(|seen| seen.ends_with("hello"));
    assert_eq!(canonical(&seen), canonical(&(expecting("/open/1") + "hello")));
    assert_eq!(peer.reply(false).status, 200);
    assert_eq!(peer.rest(), "");
    for sent in [expecting("/items/1"), expecting("/items/1") + "hello" + SMUGGLED] {
        let mut peer = bench.peer();
        peer.send(&sent);
        assert_eq!(peer.reply(false).status, 401);
        assert_eq!(peer.rest(), "");
    }
    assert_eq!(bench.recorder.take(str::is_empty), NOTHING);
    bench.finish(String::new());
}

#[test]
fn a_preflight_has_no_room_for_another_request() {
    let cors = ("cors", "{ allow_origins: [https://app.example.com], allow_headers: [authorization] }");
    let bench = Bench::start_with(&[cors]);
    let preflight = |lines: &str| {
        let line = "OPTIONS /items/1 HTTP/1.1\r\nHost: edge\r\nOrigin: https://app.example.com";
        format!("{line}\r\nAccess-Control-Request-Method: GET\r\n{lines}\r\n")
    };
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    bench.run(&[
        row(preflight(""), 204, Open, "", NOTHING),
        row(preflight("") + SMUGGLED, 204, Closed, "", NOTHING),
        row(preflight(&length) + SMUGGLED, 204, Open, "", NOTHING),
        row(preflight(&length) + SMUGGLED + SMUGGLED, 204, Closed, "", NOTHING),
        row(preflight("Content-Length: 1000000\r\n") + SMUGGLED, 204, Closed, "", NOTHING),
        row(preflight("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + SMUGGLED, 204, Closed, "", NOTHING),
        row(
            preflight("Content-Length: 5\r\nContent-Length: 5\r\n") + SMUGGLED,
            400,
            Closed,
            "framing_ambiguous",
            NOTHING,
        ),
        refused(preflight("").replace("/items/", "/open/../items/"), "path_ambiguous"),
        refused(preflight("Authorization: Bearer $GOOD\r\nAuthorization: Bearer $BAD\r\n"), "token_ambiguous"),
    ]);
}
