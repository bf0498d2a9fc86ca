//! The lines between the first one and the body: what is a field, which of them reach the upstream, and who may say what.

use super::{
    SMUGGLED,
    bench::{
        Bench, NOTHING,
        Then::{Closed, Open},
        forwarded, malformed, refused, row,
    },
    get, post, with,
};

#[test]
fn fields() {
    let many = |count: usize| {
        let fields: String = (0..count).map(|number| format!("X-{number}: a\r\n")).collect();
        format!("GET /open/1 HTTP/1.1\r\nHost: edge.\r\n{fields}\r\n")
    };
    let endless = "GET /open/1 HTTP/1.1\r\nHost: edge.\r\nX-A: ".to_owned();
    Bench::start().run(&[
        // Text of any kind passes, white space around it does not.
        forwarded(with("X-Text: caf\u{e9}\u{ff}\u{80}")),
        forwarded(with("X-Tab: a\tb")),
        row(with("X-Padded:\t  a \t"), 200, Open, "", with("X-Padded: a")),
        row(with("X-Empty:"), 200, Open, "", with("X-Empty: ")),
        forwarded(with("X-Twice: a\r\nX-Twice: b")),
        // Names and values that are none.
        malformed(with("X-A : a")),
        malformed(with("X-A\t: a")),
        malformed(with("X A: a")),
        malformed(with("X(A): a")),
        malformed(with("X-\u{e9}: a")),
        malformed(with("X-A\0: a")),
        malformed(with(": a")),
        malformed(with("X-A")),
        malformed(with("X-A: a\0b")),
        malformed(with("X-A: a\u{1}b")),
        malformed(with("X-A: a\u{7f}b")),
        // Lines that go on, and lines that end early.
        malformed(with("X-A: a\r\n b")),
        malformed(with("X-A: a\r\n\tb")),
        malformed(with("X-A: a\r\n X-Cognito-Sub: mallory")),
        malformed(with(" X-A: a")),
        malformed(with("X-A: a\rb")),
        malformed(with("X-A: a\rX-Cognito-Sub: mallory")),
        row("GET /open/1 HTTP/1.1\nHost: edge\n\n", 200, Open, "", get("/open/1")),
        row(with("X-A: a\nX-B: b"), 200, Open, "", with("X-A: a\r\nX-B: b")),
        row(with("X-A: a\nX-Cognito-Sub: mallory"), 200, Open, "", with("X-A: a")),
        row(with(&format!("X-A: a\n\n{SMUGGLED}")), 200, Closed, "", with("X-A: a")),
        // How many, and how long.
        forwarded(many(98)),
        row(many(100), 431, Closed, "headers_too_many", NOTHING),
        row(many(255), 431, Closed, "headers_too_many", NOTHING),
        malformed(many(256)),
        forwarded(with(&format!("X-A: {}", "a".repeat(30_000)))),
        row(with(&format!("X-A: {}", "a".repeat(33_000))), 431, Closed, "header_too_large", NOTHING),
        row(with(&format!("X-A: {}", "a".repeat(100_000))), 431, Closed, "header_too_large", NOTHING),
        malformed(endless.clone() + &"a".repeat(1024 * 1024 - endless.len())),
    ]);
}

#[test]
fn identity_headers() {
    let plain = || get("/open/1");
    Bench::start().run(&[
        row(with("x-cognito-sub: mallory"), 200, Open, "", plain()),
        row(with("X-Cognito-Sub: mallory"), 200, Open, "", plain()),
        row(with("X_Cognito_Sub: mallory"), 200, Open, "", plain()),
        row(with("x-cognito_sub: mallory"), 200, Open, "", plain()),
        row(
            with("x-cognito-sub: a\r\nX_COGNITO_SUB: b\r\nx_cognito-sub: c\r\nx-cognito-sub: d"),
            200,
            Open,
            "",
            plain(),
        ),
        row(with("Connection: x-cognito-sub"), 200, Open, "", plain()),
        row(with("Connection: X-Cognito-Sub\r\nX-Cognito-Sub: mallory"), 200, Open, "", plain()),
        row(with("Connection: x_cognito_sub, x-cognito-sub\r\nX_Cognito_Sub: mallory"), 200, Open, "", plain()),
        row(with("Connection: close, x-cognito-sub"), 200, Closed, "", plain()),
        malformed(with("X-Cognito-Sub : mallory")),
        malformed(with("X-Cognito-Sub\0: mallory")),
        forwarded(with("X-Cognito-Sub2: a")),
        forwarded(with("XCognito-Sub: a")),
    ]);
}

#[test]
fn credentials() {
    let items = |lines: &str| format!("GET /items/1 HTTP/1.1\r\nHost: edge\r\n{lines}\r\n");
    let verified = |lines: &str| items(&format!("x-cognito-sub: jane\r\n{lines}"));
    Bench::start().run(&[
        row(items(""), 401, Open, "token_missing", NOTHING),
        row(items("Authorization: Bearer $BAD\r\n"), 401, Open, "token_expired", NOTHING),
        row(items("Authorization: Bearer $GOOD\r\n"), 200, Open, "", verified("Authorization: Bearer $GOOD\r\n")),
        // Several: nobody knows which one counts.
        refused(items("Authorization: Bearer $GOOD\r\nAuthorization: Bearer $GOOD\r\n"), "token_ambiguous"),
        refused(items("Authorization: Bearer $GOOD\r\nauthorization: Bearer $BAD\r\n"), "token_ambiguous"),
        refused(items("Authorization: Bearer $BAD\r\nAUTHORIZATION: Bearer $GOOD\r\n"), "token_ambiguous"),
        refused(items("Authorization: \r\nAuthorization: Bearer $GOOD\r\n"), "token_ambiguous"),
        refused(with("Authorization: Basic eA==\r\nAuthorization: Bearer $GOOD"), "token_ambiguous"),
        row(items("Authorization: Bearer $GOOD, Bearer $BAD\r\n"), 401, Open, "token_malformed", NOTHING),
        // Written as no field is.
        malformed(items("Authorization : Bearer $GOOD\r\n")),
        malformed(items("Authorization:\r\n Bearer $GOOD\r\n")),
        malformed(items("Authorization: Bearer\0$GOOD\r\n")),
        row(items("Authorization_: Bearer $GOOD\r\n"), 401, Open, "token_missing", NOTHING),
        row(items("X: y\nAuthorization: Bearer $BAD\r\n"), 401, Open, "token_expired", NOTHING),
        // Nominated: the upstream does not see the token, and still learns who calls.
        row(items("Connection: authorization\r\nAuthorization: Bearer $GOOD\r\n"), 200, Open, "", verified("")),
        row(items("Connection: authorization\r\nAuthorization: Bearer $BAD\r\n"), 401, Open, "token_expired", NOTHING),
        row(items("Connection: authorization\r\n"), 401, Open, "token_missing", NOTHING),
    ]);
}

#[test]
fn hop_by_hop_fields() {
    let plain = || get("/open/1");
    let tokens = |count: usize| (0..count).map(|number| format!("x-{number}")).collect::<Vec<_>>().join(", ");
    let chunked = || post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    Bench::start().run(&[
        row(with("TE: trailers"), 200, Open, "", plain()),
        row(with("TE: trailers\r\nConnection: TE"), 200, Open, "", plain()),
        row(with("Trailer: X-A"), 200, Open, "", plain()),
        row(with("Keep-Alive: timeout=5"), 200, Open, "", plain()),
        row(with("Proxy-Connection: keep-alive"), 200, Open, "", plain()),
        row(with("Proxy-Authorization: Basic eA=="), 200, Open, "", plain()),
        row(with("Upgrade: h2c"), 200, Open, "", plain()),
        row(
            with("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings"),
            200,
            Open,
            "",
            plain(),
        ),
        row(with("HTTP2-Settings: AAMAAABk"), 200, Open, "", plain()),
        row(with("Connection: keep-alive"), 200, Open, "", plain()),
        row(with("Connection: close"), 200, Closed, "", plain()),
        row(with("Connection: x-a\r\nX-A: a\r\nX-B: b"), 200, Open, "", with("X-B: b")),
        row(with("Connection: x-a\r\nConnection: , X-B ,\r\nX-A: a\r\nX-B: b"), 200, Open, "", plain()),
        row(with("Connection: cookie\r\nCookie: a=b"), 200, Open, "", plain()),
        // A body stays where it is, whatever the client says of its framing.
        row(post("Content-Length: 5\r\nConnection: content-length", "hello"), 200, Open, "", chunked()),
        row(
            post("Transfer-Encoding: chunked\r\nConnection: transfer-encoding", "5\r\nhello\r\n0\r\n\r\n"),
            200,
            Open,
            "",
            chunked(),
        ),
        // What may not be nominated.
        row(with("Connection: host"), 400, Closed, "", NOTHING),
        row(with("Connection: close, HOST"), 400, Closed, "", NOTHING),
        row(with("Connection: x-forwarded-for"), 400, Closed, "", NOTHING),
        row(with("Connection: X-Forwarded-Host"), 400, Closed, "", NOTHING),
        row(with("Connection: x-forwarded-proto"), 400, Closed, "", NOTHING),
        row(with("Connection: :authority"), 400, Closed, "", NOTHING),
        row(with("Connection: \"x-a\""), 400, Closed, "", NOTHING),
        row(with("Connection: x a"), 400, Closed, "", NOTHING),
        row(with(&format!("Connection: {}", tokens(9))), 200, Open, "", plain()),
        row(with(&format!("Connection: {}", tokens(10))), 400, Closed, "", NOTHING),
    ]);
}

#[test]
fn a_client_does_not_say_where_it_comes_from() {
    let bench = Bench::start();
    let mut report = String::new();
    for line in [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 192.0.2.2\r\nX-Forwarded-For: 192.0.2.1",
        "x_forwarded_for: 192.0.2.1",
        "X-Forwarded-Host: 192.0.2.1",
        "X-Forwarded-Port: 192.0.2.1",
        "X-Forwarded-Proto: 192.0.2.1",
        "X-Forwarded-Prefix: 192.0.2.1",
        "X_Real_IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
    ] {
        let mut peer = bench.peer();
        peer.send(&with(line));
        let status = peer.reply(false).status;
        let seen = bench.recorder.take(|seen| !seen.is_empty());
        let tells_the_peer = seen.to_ascii_lowercase().contains("\r\nx-forwarded-for: 127.0.0.1\r\n");
        if status != 200 || !tells_the_peer || seen.contains("192.0.2.") {
            report.push_str(&format!("\n{line:?} -> {status}, the upstream got {seen:?}\n"));
        }
    }
    bench.finish(report);
}
