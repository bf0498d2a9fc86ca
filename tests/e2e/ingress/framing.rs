//! Where a request ends: at one place for everybody who reads it, or nowhere.

use super::{
    SMUGGLED,
    bench::{
        Bench, NOTHING, Row,
        Then::{Closed, Open},
        forwarded, malformed, row,
    },
    post,
};

/// `hello` in chunks.
const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

/// Framing that two servers could read differently, and that the proxy can read.
fn ambiguous(lines: &str) -> Row {
    row(post(lines, &format!("0\r\n\r\n{SMUGGLED}")), 400, Closed, "framing_ambiguous", NOTHING)
}

/// Framing that is none.
fn unreadable(lines: &str) -> Row {
    malformed(post(lines, &format!("0\r\n\r\n{SMUGGLED}")))
}

#[test]
fn a_body_passes_to_the_byte() {
    Bench::start().run(&[
        forwarded(post("Content-Length: 5", "hello")),
        forwarded(post("Content-Length: 0", "")),
        forwarded(post("Content-Length: 005", "hello")),
        forwarded(chunked(HELLO)),
        // A body may look like anything.
        forwarded(post(&format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED)),
        forwarded(chunked(&format!("{:X}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()))),
        forwarded("GET /open/1 HTTP/1.1\r\nHost: edge\r\nContent-Length: 5\r\n\r\nhello"),
    ]);
}

#[test]
fn there_is_one_transfer_coding() {
    Bench::start().run(&[
        row(post("Transfer-Encoding: Chunked", HELLO), 200, Open, "", chunked(HELLO)),
        row(post("Transfer-Encoding:  chunked", HELLO), 200, Open, "", chunked(HELLO)),
        row(post("Transfer-Encoding:\tchunked\t ", HELLO), 200, Open, "", chunked(HELLO)),
        ambiguous("Transfer-Encoding: gzip, chunked"),
        ambiguous("Transfer-Encoding: chunked, chunked"),
        ambiguous("Transfer-Encoding: identity, chunked"),
        ambiguous("Transfer-Encoding: , chunked"),
        ambiguous("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ambiguous("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
        ambiguous("Transfer-Encoding: \r\nTransfer-Encoding: chunked"),
        unreadable("Transfer-Encoding: xchunked"),
        unreadable("Transfer-Encoding: identity"),
        unreadable("Transfer-Encoding: chunked, gzip"),
        unreadable("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        unreadable("Transfer-Encoding: chunked;q=1"),
        unreadable("Transfer-Encoding: \"chunked\""),
        unreadable("Transfer-Encoding: chunked,"),
        unreadable("Transfer-Encoding:"),
        unreadable("Transfer-Encoding: \u{b}chunked"),
        unreadable("Transfer-Encoding: chunked\u{a0}"),
        unreadable("Transfer-Encoding : chunked"),
        unreadable("Transfer-Encoding:\r\n chunked"),
        unreadable("X: y\rTransfer-Encoding: chunked"),
        unreadable("Transfer-Encoding\0: chunked"),
    ]);
}

#[test]
fn chunks_outrank_a_length_and_end_the_connection() {
    let both = |lines: &str| row(post(lines, HELLO), 200, Closed, "", chunked(HELLO));
    Bench::start().run(&[
        both("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        both("Transfer-Encoding: chunked\r\nContent-Length: 60"),
        both("Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked"),
        both("Content-Length: 5\nTransfer-Encoding: chunked"),
        both("Content-Length: x\r\nTransfer-Encoding: chunked"),
        row(
            post("Content-Length: 5\r\nTransfer-Encoding: chunked", &format!("{HELLO}{SMUGGLED}")),
            200,
            Closed,
            "",
            chunked(HELLO),
        ),
        ambiguous("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked"),
    ]);
}

#[test]
fn there_is_one_length() {
    Bench::start().run(&[
        ambiguous("Content-Length: 5\r\nContent-Length: 5"),
        ambiguous("Content-Length: 5\r\ncontent-length: 5"),
        ambiguous("Content-Length: 5, 5"),
        ambiguous("Content-Length: 5,5"),
        unreadable("Content-Length: 5\r\nContent-Length: 6"),
        unreadable("Content-Length: 5, 6"),
        unreadable("Content-Length: +3"),
        unreadable("Content-Length: -3"),
        unreadable("Content-Length: 0x3"),
        unreadable("Content-Length: 3 3"),
        unreadable("Content-Length: 3;"),
        unreadable("Content-Length: 3,"),
        unreadable("Content-Length: 3.0"),
        unreadable("Content-Length: 1e1"),
        unreadable("Content-Length:"),
        unreadable("Content-Length: \u{b2}"),
        unreadable("Content-Length: 99999999999999999999"),
        unreadable("Content-Length : 5"),
        unreadable("Content-Length:\r\n 5"),
    ]);
}

#[test]
fn http_1_0_has_no_chunks() {
    Bench::start().run(&[
        malformed(format!("POST /open/1 HTTP/1.0\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n{HELLO}")),
        row(
            "POST /open/1 HTTP/1.0\r\nHost: edge\r\nContent-Length: 5\r\n\r\nhello",
            200,
            Closed,
            "",
            post("Content-Length: 5", "hello"),
        ),
    ]);
}

/// Chunks that can be read, and those that the upstream gets.
fn good(sent: &str, seen: &str) -> Row {
    row(chunked(sent), 200, Open, "", chunked(seen))
}

/// Chunks that cannot be read, and those that the upstream may have got before.
fn bad(sent: &str, seen: &str) -> Row {
    row(chunked(&format!("{sent}{SMUGGLED}")), 400, Closed, "", chunked(seen)).cut()
}

#[test]
fn chunks_pass_without_extensions_and_trailers() {
    Bench::start().run(&[
        good(HELLO, HELLO),
        good("0\r\n\r\n", "0\r\n\r\n"),
        good("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        good("00005\r\nhello\r\n000\r\n\r\n", HELLO),
        good("a\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n"),
        good("5;a=b\r\nhello\r\n0;c\r\n\r\n", HELLO),
        good("5;a=\"\r\nhello\r\n0\r\n\r\n", HELLO),
        good("5\r\nhello\r\n0\r\nX-Cognito-Sub: mallory\r\nTransfer-Encoding: gzip\r\n\r\n", HELLO),
    ]);
}

#[test]
fn a_chunk_has_a_size_in_hexadecimal_digits() {
    Bench::start().run(&[
        bad("x\r\nhello\r\n0\r\n\r\n", ""),
        bad("-5\r\nhello\r\n0\r\n\r\n", ""),
        bad("+5\r\nhello\r\n0\r\n\r\n", ""),
        bad("0x5\r\nhello\r\n0\r\n\r\n", ""),
        bad("5_0\r\nhello\r\n0\r\n\r\n", ""),
        bad(" 5\r\nhello\r\n0\r\n\r\n", ""),
        bad("5\0\r\nhello\r\n0\r\n\r\n", ""),
        bad("10000000000000005\r\nhello\r\n0\r\n\r\n", ""),
        bad("FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", ""),
        bad("FFFFFFFFFFFFFFFE\r\nhello\r\n0\r\n\r\n", ""),
        bad(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(100_000)), ""),
        bad(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(64 * 1024)), ""),
    ]);
}

#[test]
fn a_chunk_ends_in_crlf() {
    Bench::start().run(&[
        bad("5\nhello\r\n0\r\n\r\n", ""),
        bad("5\rhello\r\n0\r\n\r\n", ""),
        bad("5;a\nhello\r\n0\r\n\r\n", ""),
        bad("5;a\r\r\nhello\r\n0\r\n\r\n", ""),
        bad("5\r\nhelloXX0\r\n\r\n", "5\r\nhello\r\n"),
        bad("5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n"),
        bad("5\r\nhello0\r\n\r\n", "5\r\nhello\r\n"),
        bad("5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n"),
        bad("5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n"),
    ]);
}

/// The end is also where a size is left out, and an extension goes on until CRLF: neither passes to the upstream.
#[test]
fn nothing_follows_the_last_chunk() {
    Bench::start().run(&[
        row(chunked(&format!("{HELLO}{SMUGGLED}")), 200, Closed, "", chunked(HELLO)),
        row(chunked(&format!("\r\n\r\n{SMUGGLED}")), 200, Closed, "", chunked("0\r\n\r\n")),
        row(chunked(&format!(";a\r\n{HELLO}{SMUGGLED}")), 200, Closed, "", chunked("0\r\n\r\n")),
        row(chunked(&format!("5;a\n\r\nhello\r\n0\r\n\r\n{SMUGGLED}")), 200, Closed, "", chunked(HELLO)),
        row(chunked(&format!("{HELLO}\r\n")), 200, Closed, "", chunked(HELLO)),
    ]);
}
