//! Where a request wants to go: its first line and its host.

use super::{
    SMUGGLED,
    bench::{
        Bench, NOTHING,
        Then::{Closed, Open},
        forwarded, malformed, refused, row,
    },
    get,
};

#[test]
fn a_target_that_can_be_read_in_one_way_passes_to_the_byte() {
    Bench::start().run(&[
        forwarded(get("/open/1")),
        forwarded(get("/open/1/")),
        forwarded(get("/open/1?")),
        forwarded(get("/open/a;p=1,b@c:d!$&'()*+~")),
        forwarded(get("/open/%41%7e")),
        forwarded(get("/open/caf%C3%A9")),
        forwarded(get("/open/a%20b")),
        forwarded(get("/open/a%3Fb%23c%25d")),
        forwarded(get("/open/...")),
        forwarded(get("/open/1?a=/../x//y&b=%2e%2e%2f\\&c=%00&d=?")),
        forwarded(get("/open/1?a=http://x/y")),
        // A space is sent on as it is decided on: encoded.
        row(get("/open/a b"), 200, Open, "", get("/open/a%20b")),
        row(get("/open/1 /../../items/1"), 400, Open, "path_ambiguous", NOTHING),
        // A fragment never reaches a server.
        row(get("/open/1#a"), 200, Open, "", get("/open/1")),
        row(get("/open/1#/../../items/1"), 200, Open, "", get("/open/1")),
        row(get("/open/1?a#b"), 200, Open, "", get("/open/1?a")),
    ]);
}

#[test]
fn a_dot_segment_is_refused_however_it_is_written() {
    Bench::start().run(&[
        refused(get("/open/../items/1"), "path_ambiguous"),
        refused(get("/open/.."), "path_ambiguous"),
        refused(get("/open/."), "path_ambiguous"),
        refused(get("/open/./1"), "path_ambiguous"),
        refused(get("/../open/1"), "path_ambiguous"),
        refused(get("/open/%2e%2e/items/1"), "path_ambiguous"),
        refused(get("/open/%2E./items/1"), "path_ambiguous"),
        refused(get("/open/.%2e/items/1"), "path_ambiguous"),
        refused(get("/open/%2e/1"), "path_ambiguous"),
        refused(get("/open/%252e%252e/items/1"), "path_ambiguous"),
        refused(get("/open/..;/items/1"), "path_ambiguous"),
        refused(get("/open/..;a=b/items/1"), "path_ambiguous"),
        refused(get("/open/..%3b/items/1"), "path_ambiguous"),
        refused(get("/open/%c0%ae%c0%ae/items/1"), "path_ambiguous"),
    ]);
}

#[test]
fn a_separator_that_may_be_none_is_refused() {
    Bench::start().run(&[
        refused(get("//open/1"), "path_ambiguous"),
        refused(get("/open//1"), "path_ambiguous"),
        refused(get("/open/1//"), "path_ambiguous"),
        refused(get("/open/;/1"), "path_ambiguous"),
        refused(get("/open/a%2Fb"), "path_ambiguous"),
        refused(get("/open/a%2fb"), "path_ambiguous"),
        refused(get("/open/..%2fitems/1"), "path_ambiguous"),
        refused(get("/open/a%252fb"), "path_ambiguous"),
        refused(get("/open/a\\b"), "path_ambiguous"),
        refused(get("/open\\..\\items/1"), "path_ambiguous"),
        refused(get("/open/a%5Cb"), "path_ambiguous"),
    ]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    Bench::start().run(&[
        refused(get("/open/%00"), "path_ambiguous"),
        refused(get("/open/1%0d%0aX:%20y"), "path_ambiguous"),
        refused(get("/open/1%7f"), "path_ambiguous"),
        refused(get("/open/%ff"), "path_ambiguous"),
        refused(get("/open/caf\u{c3}\u{a9}"), "path_ambiguous"),
        malformed(get("/open/caf\u{e9}")),
        refused(get("/open/\0"), "path_ambiguous"),
        refused(get("/open/\u{1}"), "path_ambiguous"),
        refused(get("/open/\u{7f}"), "path_ambiguous"),
        refused(get("/open/\t"), "path_ambiguous"),
        refused(get("/open/%"), "path_ambiguous"),
        refused(get("/open/%4"), "path_ambiguous"),
        refused(get("/open/%u0041"), "path_ambiguous"),
    ]);
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    Bench::start().run(&[
        refused(get("open/1"), "path_ambiguous"),
        refused(get("?a=1"), "path_ambiguous"),
        refused("OPTIONS * HTTP/1.1\r\nHost: edge\r\n\r\n", "path_ambiguous"),
        refused(get("*"), "path_ambiguous"),
        refused(get("edge:80"), "path_ambiguous"),
        refused(get("http://edge/open/1"), "path_ambiguous"),
        refused(get("HTTP://edge/open/1"), "path_ambiguous"),
        refused(get("http://edge"), "path_ambiguous"),
        malformed(get("http://other/open/1")),
        malformed(get("http://user@edge/open/1")),
        malformed(get("")),
    ]);
}

#[test]
fn request_lines() {
    let line = |line: &str| format!("{line}\r\nHost: edge\r\n\r\n");
    Bench::start().run(&[
        forwarded(line("FOO! /open/1 HTTP/1.1")),
        forwarded(line("get /open/1 HTTP/1.1")),
        forwarded(line("PROPFIND /open/1 HTTP/1.1")),
        forwarded(line("OPTIONS /open/1 HTTP/1.1")),
        row(line("HEAD /open/1 HTTP/1.1"), 200, Open, "", line("HEAD /open/1 HTTP/1.1")),
        row(line("TRACE /open/1 HTTP/1.1"), 404, Open, "", NOTHING),
        row(line("CONNECT /open/1 HTTP/1.1"), 405, Closed, "", NOTHING),
        row(line("CONNECT edge:80 HTTP/1.1"), 405, Closed, "", NOTHING),
        row("CONNECT edge:80 HTTP/1.1\r\nHost: edge:80\r\n\r\n".to_owned() + SMUGGLED, 405, Closed, "", NOTHING),
        malformed(line("GE(T) /open/1 HTTP/1.1")),
        malformed(line("G\u{c9}T /open/1 HTTP/1.1")),
        malformed(line("GET\t/open/1 HTTP/1.1")),
        malformed(line(" GET /open/1 HTTP/1.1")),
        malformed(line("GET /open/1")),
        malformed(line("GET /open/1 HTTP/0.9")),
        malformed(line("GET /open/1 HTTP/1.2")),
        malformed(line("GET /open/1 HTTP/2.0")),
        malformed(line("GET /open/1 HTTP/1.1 ")),
        malformed(line("GET /open/1 http/1.1")),
        malformed(line("GET /open/1 HTTP/1.1\0")),
        malformed(line("PRI * HTTP/2.0")),
        // Empty lines before a request are no part of it (RFC 9112 section 2.2).
        row("\r\n\r\n".to_owned() + &get("/open/1"), 200, Open, "", get("/open/1")),
        row(line("GET /open/1 HTTP/1.0"), 200, Closed, "", get("/open/1")),
        row("GET /open/1 HTTP/1.0\r\nHost: edge\r\nConnection: keep-alive\r\n\r\n", 200, Open, "", get("/open/1")),
    ]);
}

#[test]
fn hosts() {
    let lines = |lines: &str| format!("GET /open/1 HTTP/1.1\r\n{lines}\r\n");
    Bench::start().run(&[
        forwarded(lines("Host: edge:8080\r\n")),
        forwarded(lines("hOST: EDGE.\r\n")),
        refused(lines(""), "host_ambiguous"),
        refused(lines("Host:\r\n"), "host_ambiguous"),
        refused(lines("Host:  \r\n"), "host_ambiguous"),
        malformed(lines("Host: edge\r\nHost: edge\r\n")),
        malformed(lines("Host: edge\r\nhost: other\r\n")),
        row("GET /open/1 HTTP/1.0\r\n\r\n", 400, Closed, "host_ambiguous", NOTHING),
        malformed(lines("Host : edge\r\n")),
        malformed(lines("Host\t: edge\r\n")),
        malformed(lines(" Host: edge\r\n")),
        refused(lines("Host: ed\u{e9}ge\r\n"), "host_ambiguous"),
        refused(lines("Host: edge/../other\r\n"), "host_ambiguous"),
        refused(lines("Host: edge?other\r\n"), "host_ambiguous"),
        malformed(lines("Host: other#@edge\r\n")),
        malformed(lines("Host: edge@other\r\n")),
        refused(lines("Host: edge, other\r\n"), "host_ambiguous"),
        refused(lines("Host: edge other\r\n"), "host_ambiguous"),
        refused(lines("Host: edge\tother\r\n"), "host_ambiguous"),
        refused(lines("Host: edge:x\r\n"), "host_ambiguous"),
        refused(lines("Host: edge:80:80\r\n"), "host_ambiguous"),
        refused(lines("Host: edge:99999\r\n"), "host_ambiguous"),
        refused(lines("Host: [::1\r\n"), "host_ambiguous"),
        refused(lines("Host: http://edge\r\n"), "host_ambiguous"),
    ]);
}
