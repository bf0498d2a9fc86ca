//! The way back: an upstream that answers badly harms the one request that it answers, and no other one on the same
//! connection, on either side.

use e2e::upstream::Answer;

use super::{
    bench::{
        Bench,
        Then::{self, Closed, Open},
        canonical,
    },
    get,
};

/// What an upstream could add to an answer to have it taken for the next one.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned";

/// What the upstream sends, whether it closes the connection then, the status, the body and whether it is whole, the
/// client's connection.
type Row<'r> = (&'r str, &'r str, Answer, u16, &'r str, bool, Then);

/// Sends each method and judges what the upstream's answer becomes.
#[track_caller]
fn run(rows: &[Row<'_>]) {
    let bench = Bench::start();
    let mut report = String::new();
    for (case, method, answer, status, body, is_whole, then) in rows {
        let sent = get("/open/1").replace("GET", method);
        bench.recorder.answer(answer.clone());
        let mut peer = bench.peer();
        peer.send(&sent);
        let mut reply = peer.reply(*method == "HEAD");
        while (100..200).contains(&reply.status) {
            reply = peer.reply(*method == "HEAD");
        }
        bench.recorder.answer(Answer::Echo);
        // A request that may be repeated is sent again where a connection that was open before broke off.
        let seen = canonical(&bench.recorder.take(|seen| !seen.is_empty()));
        let is_sent = !seen.is_empty() && seen.replace(&canonical(&sent), "").is_empty();
        // Of a body that breaks off, the last bytes may be lost.
        let is_body = reply.body == *body || !is_whole && body.starts_with(&reply.body);
        if (reply.status, reply.is_whole) != (*status, *is_whole) || !is_sent || !is_body {
            report.push_str(&format!("\n{case}: {reply:?}, the upstream got {seen:?}\n"));
        }
        let is_right = match then {
            Open => bench.is_in_step(&mut peer),
            Closed => peer.rest().is_empty(),
        };
        // Another client may get the upstream's connection.
        let is_harmless = (0..2).all(|_| bench.is_in_step(&mut bench.peer()));
        if !(is_right && is_harmless) {
            report.push_str(&format!("\n{case}: {then:?} {is_right}, others are served {is_harmless}\n"));
        }
    }
    bench.finish(report);
}

fn raw(text: &str) -> Answer {
    Answer::Raw(text.into())
}

fn last(text: &str) -> Answer {
    Answer::Last(text.into())
}

#[test]
fn answers_with_a_body() {
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    run(&[
        ("length", "GET", raw(hello), 200, "hello", true, Open),
        ("length and close", "GET", last(hello), 200, "hello", true, Open),
        (
            "chunks",
            "GET",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            200,
            "hello",
            true,
            Open,
        ),
        (
            "extension",
            "GET",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n"),
            200,
            "hello",
            true,
            Open,
        ),
        (
            "trailer",
            "GET",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: a\r\n\r\n"),
            200,
            "hello",
            true,
            Open,
        ),
        ("until close", "GET", last("HTTP/1.1 200 OK\r\n\r\nhello"), 200, "hello", true, Open),
        ("until close, 1.0", "GET", last("HTTP/1.0 200 OK\r\n\r\nhello"), 200, "hello", true, Open),
    ]);
}

#[test]
fn answers_without_a_body() {
    run(&[
        ("204", "GET", raw("HTTP/1.1 204 No Content\r\n\r\n"), 204, "", true, Open),
        ("304", "GET", raw("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"), 304, "", true, Open),
        (
            "304 with the length of the body that it has not",
            "GET",
            raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            304,
            "",
            true,
            Open,
        ),
        ("HEAD", "HEAD", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 200, "", true, Open),
        ("HEAD, chunked", "HEAD", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 200, "", true, Open),
        ("HEAD, no length", "HEAD", raw("HTTP/1.1 200 OK\r\n\r\n"), 200, "", true, Open),
    ]);
}

#[test]
fn answers_before_the_answer() {
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    run(&[
        ("103", "GET", raw(&format!("{early}{hello}")), 200, "hello", true, Open),
        ("103 twice", "GET", raw(&format!("{early}{early}{hello}")), 200, "hello", true, Open),
        ("100, unasked", "GET", raw(&format!("HTTP/1.1 100 Continue\r\n\r\n{hello}")), 200, "hello", true, Open),
        (
            "103 to HEAD",
            "HEAD",
            raw(&format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
            200,
            "",
            true,
            Open,
        ),
    ]);
}

#[test]
fn answers_that_cannot_be_read() {
    let unreadable = |case, text| (case, "GET", last(text), 502, r#"{"message":"Bad Gateway"}"#, true, Closed);
    run(&[
        unreadable("nothing", ""),
        unreadable("no HTTP", "garbage\r\n\r\n"),
        unreadable("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
        unreadable("103 and nothing", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        unreadable("no status", "HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello"),
        unreadable("status of two digits", "HTTP/1.1 99 X\r\nContent-Length: 5\r\n\r\nhello"),
        unreadable("status of four digits", "HTTP/1.1 2000 X\r\nContent-Length: 5\r\n\r\nhello"),
        unreadable("version", "HTTP/3.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        unreadable("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        unreadable("lengths in a list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"),
        unreadable("length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
        unreadable("length in letters", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
        unreadable("huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello"),
        unreadable("NUL", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello"),
        unreadable("name with a space", "HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 5\r\n\r\nhello"),
    ]);
}

#[test]
fn answers_that_break_off() {
    let broken = |case, text, body| (case, "GET", last(text), 200, body, false, Closed);
    run(&[
        broken("length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "hello"),
        broken("length and nothing", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""),
        broken("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
        broken("chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello", "hello"),
        broken("chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", "hello"),
        broken("chunk end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", "hello"),
    ]);
}

#[test]
fn answers_with_another_behind() {
    let poisoned = |head: &str| raw(&format!("HTTP/1.1 {head}\r\n\r\n{POISON}"));
    let chunked = "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0";
    run(&[
        ("length", "GET", poisoned("200 OK\r\nContent-Length: 0"), 200, "", true, Open),
        ("chunks", "GET", poisoned(chunked), 200, "hello", true, Open),
        ("204", "GET", poisoned("204 No Content"), 204, "", true, Open),
        ("204 with a length", "GET", poisoned("204 No Content\r\nContent-Length: 5"), 204, "", true, Open),
        ("304", "GET", poisoned("304 Not Modified"), 304, "", true, Open),
        ("304 with a length", "GET", poisoned("304 Not Modified\r\nContent-Length: 5"), 304, "", true, Open),
        ("HEAD", "HEAD", poisoned("200 OK\r\nContent-Length: 5"), 200, "", true, Open),
        ("HEAD, chunked", "HEAD", poisoned("200 OK\r\nTransfer-Encoding: chunked"), 200, "", true, Open),
        ("both framings", "GET", poisoned(&chunked.replace("OK", "OK\r\nContent-Length: 5")), 200, "hello", true, Open),
        ("refusal", "GET", poisoned("401 Unauthorized\r\nContent-Length: 0"), 401, "", true, Open),
    ]);
}

#[test]
fn an_http_1_0_client_gets_what_it_can_read() {
    let bench = Bench::start();
    let mut report = String::new();
    for (case, answer, then) in [
        ("length", raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Open),
        ("chunks", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Closed),
        ("until close", last("HTTP/1.1 200 OK\r\n\r\nhello"), Closed),
        ("103", raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Open),
    ] {
        bench.recorder.answer(answer);
        let mut peer = bench.peer();
        peer.send("GET /open/1 HTTP/1.0\r\nHost: edge\r\nConnection: keep-alive\r\n\r\n");
        let reply = peer.reply(false);
        bench.recorder.take(|seen| !seen.is_empty());
        bench.recorder.answer(Answer::Echo);
        let is_read = (reply.status, &*reply.body) == (200, "hello") && !reply.head.contains("Transfer-Encoding");
        let is_right = match then {
            Open => bench.is_in_step(&mut peer),
            Closed => peer.rest().is_empty(),
        };
        if !(is_read && is_right) {
            report.push_str(&format!("\n{case}: {then:?} {is_right}, {reply:?}\n"));
        }
    }
    bench.finish(report);
}
