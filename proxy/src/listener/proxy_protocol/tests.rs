//! Headers as the specification has them, and what must not be taken for one.

use proptest::prelude::*;

use super::*;

fn header(length: usize, client: Option<&str>) -> Result<Option<Header>, Invalid> {
    Ok(Some(Header { length, client: client.map(|client| client.parse().unwrap()) }))
}

fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[version_and_command, family][..], &length, rest].concat()
}

const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];

fn ipv6() -> Vec<u8> {
    let [source, destination] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
    [&source[..], &destination, &[0xdc, 0x04, 0x01, 0xbb]].concat()
}

#[test]
fn a_line_of_version_1() {
    let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    let full = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE_BYTES - 16));
    for (text, expected) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", header(45, Some("192.0.2.1:56324"))),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nGET /", header(56, Some("255.255.255.255:65535"))),
        ("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", header(32, Some("[2001:db8::1]:1"))),
        ("PROXY UNKNOWN\r\n", header(15, None)),
        (longest, header(longest.len(), None)),
        (&full, header(MAX_LINE_BYTES, None)),
        (&format!("{}x", full.replace("\r\n", "x\r\n")), Err(Invalid)),
        ("", Ok(None)),
        ("P", Ok(None)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r", Ok(None)),
        ("PING", Err(Invalid)),
        ("PROXY\r\n", Err(Invalid)),
        ("PROXY \r\n", Err(Invalid)),
        ("PROXY TCP4\r\n", Err(Invalid)),
        ("PROXY  TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", Err(Invalid)),
        ("PROXY tcp4 192.0.2.1 198.51.100.7 56324 443\r\n", Err(Invalid)),
        ("PROXY UDP4 192.0.2.1 198.51.100.7 56324 443\r\n", Err(Invalid)),
        ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Err(Invalid)),
        ("PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 nonsense 1 2\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", Err(Invalid)),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", Err(Invalid)),
        ("GET / HTTP/1.1\r\n\r\n", Err(Invalid)),
    ] {
        assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn a_header_of_version_2() {
    let with_tlv = [&IPV4[..], &[0x04, 0, 1, 0]].concat();
    for (case, bytes, expected) in [
        ("IPv4", binary(0x21, 0x11, &IPV4), header(28, Some("192.0.2.1:56324"))),
        ("IPv4 and a TLV", binary(0x21, 0x11, &with_tlv), header(32, Some("192.0.2.1:56324"))),
        ("IPv6", binary(0x21, 0x21, &ipv6()), header(52, Some("[2001:db8::1]:56324"))),
        ("local", binary(0x20, 0x00, &[]), header(16, None)),
        ("local, whatever the family", binary(0x20, 0xff, &IPV4), header(28, None)),
        ("unspecified", binary(0x21, 0x00, &[]), header(16, None)),
        ("unspecified and TLVs", binary(0x21, 0x00, &[0; MAX_REST_BYTES]), header(MAX_HEADER_BYTES, None)),
        ("a Unix socket", binary(0x21, 0x31, &[0; 216]), header(232, None)),
        ("a Unix socket, short", binary(0x21, 0x31, &[0; 215]), Err(Invalid)),
        ("too long", binary(0x21, 0x11, &[0; MAX_REST_BYTES + 1]), Err(Invalid)),
        ("version 1", binary(0x11, 0x11, &IPV4), Err(Invalid)),
        ("version 3", binary(0x31, 0x11, &IPV4), Err(Invalid)),
        ("an unknown command", binary(0x22, 0x11, &IPV4), Err(Invalid)),
        ("datagrams", binary(0x21, 0x12, &IPV4), Err(Invalid)),
        ("an unknown family", binary(0x21, 0x41, &IPV4), Err(Invalid)),
        ("an unknown transport", binary(0x21, 0x13, &IPV4), Err(Invalid)),
        ("IPv4, short", binary(0x21, 0x11, &IPV4[..11]), Err(Invalid)),
        ("IPv6, short", binary(0x21, 0x21, &ipv6()[..35]), Err(Invalid)),
        ("a handshake of TLS", b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), Err(Invalid)),
        ("a signature that breaks off", b"\r\n\r\n\0\r\nQUIX".to_vec(), Err(Invalid)),
    ] {
        assert_eq!(parse(&bytes), expected, "{case}");
    }
}

#[test]
fn a_header_in_pieces_is_waited_for() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".to_vec();
    for bytes in [line, binary(0x21, 0x11, &IPV4), binary(0x21, 0x21, &ipv6()), binary(0x20, 0, &[])] {
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Ok(None), "{length} of {bytes:?}");
        }
        let whole = parse(&bytes).unwrap().unwrap();
        assert_eq!(whole.length, bytes.len());
        assert_eq!(parse(&[bytes, b"GET / HTTP/1.1".to_vec()].concat()), Ok(Some(whole)));
    }
}

proptest! {
    /// What is found does not depend on what follows, is never longer than what is there, and nothing is waited for
    /// beyond the longest header.
    #[test]
    fn any_bytes_are_a_header_or_not(
        beginning in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]),
        bytes in prop::collection::vec(any::<u8>(), 0..700),
    ) {
        let bytes = [beginning, &bytes].concat();
        match parse(&bytes) {
            Ok(Some(header)) => {
                prop_assert!(header.length <= bytes.len().min(MAX_HEADER_BYTES));
                prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
            }
            Ok(None) => prop_assert!(bytes.len() < MAX_HEADER_BYTES),
            Err(Invalid) => {}
        }
    }

    /// Text that is nearly a line.
    #[test]
    fn any_line_is_a_header_or_not(line in "PROXY (TCP4|TCP6|UNKNOWN) ?[0-9a-f.:]{0,40} [0-9a-f.:]{0,40} [0-9]{0,6} [0-9]{0,6}\r\n") {
        if let Ok(Some(header)) = parse(line.as_bytes()) {
            prop_assert!(header.length <= MAX_LINE_BYTES);
        }
    }
}
