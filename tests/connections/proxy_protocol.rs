//! The PROXY protocol: whose connection it is, as a proxy in front says.

use std::{io::Write, net::TcpStream, sync::Arc};

use e2e::{
    authority::Authority,
    client::{Client, get},
    edge::Edge,
    process::Directory,
    secure,
    secure::SecureClient,
};

use crate::{await_rejected, edge, secure_listener};

const LISTENERS: (&str, &str) = ("listeners", "[{ address: 127.0.0.1:0, proxy_protocol: true }]");
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n";

/// A header of version 2 (section 2.2 of the specification).
fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, addresses].concat()
}

#[track_caller]
fn client_seen(edge: &Edge, header: &[u8]) -> Option<String> {
    let mut client = edge.client();
    client.send([header, &get("/open/1").to_bytes()].concat());
    assert_eq!(client.response().status, 200);
    edge.upstream.take_request().header("x-forwarded-for").map(str::to_owned)
}

#[test]
fn the_header_says_whose_connection_it_is() {
    let edge = edge(&[LISTENERS]);
    let ipv6 = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 9]].concat();
    for (header, client) in [
        (LINE.as_bytes().to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &[192, 0, 2, 8, 198, 51, 100, 1, 0, 1, 0, 2]), "192.0.2.8"),
        (binary(0x21, 0x21, &[&ipv6[..], &ipv6, &[0, 1, 0, 2]].concat()), "2001:db8::9"),
        (binary(0x20, 0x00, &[]), "127.0.0.1"),
    ] {
        assert_eq!(client_seen(&edge, &header).as_deref(), Some(client), "{header:?}");
    }
}

#[test]
fn the_header_may_come_in_pieces_and_holds_for_the_whole_connection() {
    let edge = edge(&[LISTENERS]);
    let mut client = edge.client();
    for piece in LINE.as_bytes().chunks(7) {
        client.send(piece);
    }
    for _ in 0..2 {
        assert_eq!(client.ask(&get("/open/1")).status, 200);
        assert_eq!(edge.upstream.take_request().header("x-forwarded-for"), Some("192.0.2.7"));
    }
}

#[test]
fn a_connection_without_a_header_is_closed() {
    let edge = edge(&[LISTENERS]);
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let cases = ["GET /open/1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "PROXY TCP4 nonsense\r\n", &long];
    for bytes in cases {
        let mut client = edge.client();
        client.send(bytes);
        assert_eq!(client.rest(), b"", "{bytes:?}");
    }
    await_rejected(&edge, "proxy_protocol_invalid", 3.0);
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn a_header_that_nobody_asked_for_is_no_request() {
    let edge = edge(&[]);
    let mut client = edge.client();
    client.send([LINE.as_bytes(), &get("/open/1").to_bytes()].concat());
    assert_eq!(client.response().status, 400);
    assert!(edge.upstream.take_requests().is_empty());
}

#[test]
fn the_header_comes_before_the_handshake() {
    let (authority, directory) = (Authority::new("root"), Directory::new());
    let listener = secure_listener(&directory, &[("server", &authority.server(&["localhost"]))], "");
    let edge = edge(&[("listeners", &listener.replace("tls:", "proxy_protocol: true, tls:"))]);
    let mut stream = TcpStream::connect(edge.proxy.address()).unwrap();
    stream.write_all(LINE.as_bytes()).unwrap();
    let mut client = SecureClient::over(stream, Arc::new(secure::config(&authority, None)), "localhost").unwrap();
    assert_eq!(client.ask(&get("/open/1")).status, 200);
    assert_eq!(edge.upstream.take_request().header("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn connections_are_counted_by_the_address_in_the_header() {
    let edge = edge(&[LISTENERS, ("limits", "{ connections_per_ip: 1 }")]);
    let connect = |address: &str| -> Client {
        let mut client = edge.client();
        client.send(LINE.replace("192.0.2.7", address));
        client
    };
    let mut first = connect("192.0.2.7");
    assert_eq!(first.ask(&get("/open/1")).status, 200);
    assert_eq!(connect("192.0.2.7").rest(), b"");
    await_rejected(&edge, "connection_limit_per_ip", 1.0);
    assert_eq!(connect("192.0.2.8").ask(&get("/open/1")).status, 200);
}
