//! Hot path: no lock, no I/O, no info log.
//!
//! What the upstream learns about where a request came from: `X-Forwarded-For`, `-Host` and `-Proto`, and the same in one
//! field, `Forwarded` (RFC 7239).
//!
//! Only what was seen here, unless the peer is a proxy that is trusted: then what it says is kept, and its own address is
//! added. Everything else that says so (all that begins with `X-Forwarded-`, the fields of other proxies for the client's
//! address, other spellings of these names) is removed from the requests of peers that are not trusted, and left alone
//! otherwise.

use std::{io::Write, net::IpAddr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, HOST},
};
use ipnet::IpNet;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_http::RequestHeader;

use crate::config::spelling::{begins_alike, is_read_alike};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What begins so says where a request came from.
const PREFIX: &str = "x-forwarded-";

/// What else says so.
const NAMES: [&str; 5] = ["forwarded", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-real-ip"];

/// The most that a list of hops may grow to, in bytes: longer ones are not added to.
const MAX_HOPS_BYTES: usize = 16 * 1024;

/// The longest address as text, in bytes: an IPv6 address that ends as IPv4 does.
const MAX_ADDRESS_BYTES: usize = 45;

/// Says where requests came from.
#[derive(Debug)]
pub struct Forwarding {
    trusted: Box<[IpNet]>,
    names: Box<[HeaderName]>,
}

/// What was seen of a request where it arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// Who sent it: a client or a proxy in front. Nothing, where that has no address.
    pub peer: Option<IpAddr>,
    /// Whether it came through TLS.
    pub is_encrypted: bool,
    /// Whether the client showed a certificate there.
    pub has_certificate: bool,
}

impl Arrival {
    /// From the other side of a connection.
    #[must_use]
    pub fn new(peer: Option<&SocketAddr>, is_encrypted: bool, has_certificate: bool) -> Self {
        let peer = peer.and_then(SocketAddr::as_inet).map(|address| address.ip().to_canonical());
        Self { peer, is_encrypted, has_certificate }
    }

    fn scheme(self) -> &'static str {
        if self.is_encrypted { "https" } else { "http" }
    }
}

impl Forwarding {
    /// Believes the peers in these networks.
    #[must_use]
    pub fn new(trusted: &[IpNet]) -> Self {
        Self { trusted: trusted.into(), names: NAMES.map(HeaderName::from_static).into() }
    }

    /// Whether what a peer says about a request is believed.
    #[must_use]
    pub fn trusts(&self, arrival: Arrival) -> bool {
        arrival.peer.is_some_and(|peer| self.trusts_address(peer))
    }

    /// Says where a request came from.
    pub fn apply(&self, fields: &mut HeaderMap, arrival: Arrival) {
        if !self.trusts(arrival) {
            while let Some(name) = fields.keys().find(|name| self.tells(name)).cloned() {
                fields.remove(&name);
            }
        }
        let mut space = [0; MAX_ADDRESS_BYTES];
        let peer = arrival.peer.map(|peer| text(peer, &mut space));
        // First, because it says what was asked for here, whatever was asked for before.
        add_element(fields, arrival, peer);
        if let Some(peer) = peer {
            append(fields, &FORWARDED_FOR, Bytes::copy_from_slice(peer));
        }
        fill(fields, arrival);
    }

    /// Who asks: the peer or, where that is trusted, the last in `X-Forwarded-For` that is not. Nothing, where the peer has no
    /// address.
    ///
    /// Each hop adds the one before it, so the list is read from its end, and only as far as who added is trusted: what a
    /// client wrote itself lies before its own address. Where a hop did not say an address, it is who is known to have
    /// asked. Ports are left out.
    #[must_use]
    pub fn client(&self, request: &RequestHeader, arrival: Arrival) -> Option<IpAddr> {
        let mut client = arrival.peer?;
        // As most are: then nobody looks for the list.
        if !self.trusts_address(client) {
            return Some(client);
        }
        let fields = request.headers.get_all(&FORWARDED_FOR).iter().rev();
        let mut hops = fields.flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
        while self.trusts_address(client) {
            // RFC 9110 section 5.6.1.2: empty elements do not count.
            let hop = hops.by_ref().map(<[u8]>::trim_ascii).find(|hop| !hop.is_empty());
            match hop.and_then(address) {
                Some(before) => client = before,
                None => break,
            }
        }
        Some(client)
    }

    fn trusts_address(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn tells(&self, name: &HeaderName) -> bool {
        begins_alike(name, PREFIX) || self.names.iter().any(|ours| is_read_alike(ours, name))
    }
}

/// The address that a hop wrote down: bare, or with a port, or in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?;
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|with_port: std::net::SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// An address as text, written into `space`.
fn text(address: IpAddr, space: &mut [u8; MAX_ADDRESS_BYTES]) -> &[u8] {
    let mut rest = space.as_mut_slice();
    // It fits.
    let _ = write!(rest, "{address}");
    let length = MAX_ADDRESS_BYTES - rest.len();
    space.get(..length).unwrap_or_default()
}

/// Adds this hop to `Forwarded`: who asked, for which host, how. `peer` is its address as text.
fn add_element(fields: &mut HeaderMap, arrival: Arrival, peer: Option<&[u8]>) {
    let (before, after): (&[u8], &[u8]) = match arrival.peer {
        Some(IpAddr::V4(_)) | None => (b"for=", b""),
        Some(IpAddr::V6(_)) => (b"for=\"[", b"]\""),
    };
    let (peer, scheme) = (peer.unwrap_or(b"unknown"), arrival.scheme().as_bytes());
    // Of its exact length, so that no second block is needed to share it.
    let element = match fields.get(HOST).map(HeaderValue::as_bytes) {
        // A host that was checked has neither quotes nor backslashes.
        Some(host) => [before, peer, after, b";host=\"", host, b"\";proto=", scheme].concat(),
        None => [before, peer, after, b";proto=", scheme].concat(),
    };
    append(fields, &FORWARDED, element.into());
}

/// Adds to a list, which is one field afterwards.
fn append(fields: &mut HeaderMap, name: &HeaderName, item: Bytes) {
    let mut items = fields.get_all(name).iter();
    let list = match items.next() {
        None => item,
        Some(first) => {
            let mut list = first.as_bytes().to_vec();
            for field in items.map(HeaderValue::as_bytes).chain([&*item]) {
                list.extend_from_slice(b", ");
                list.extend_from_slice(field);
            }
            if list.len() > MAX_HOPS_BYTES {
                return;
            }
            list.into()
        }
    };
    // Of bytes that were a field's and ours: it cannot fail.
    if let Ok(list) = HeaderValue::from_maybe_shared(list) {
        fields.insert(name, list);
    }
}

/// Says what was asked for, where nobody before did.
fn fill(fields: &mut HeaderMap, arrival: Arrival) {
    if !fields.contains_key(&FORWARDED_PROTO) {
        fields.insert(&FORWARDED_PROTO, HeaderValue::from_static(arrival.scheme()));
    }
    if !fields.contains_key(&FORWARDED_HOST)
        && let Some(host) = fields.get(HOST).cloned()
    {
        fields.insert(&FORWARDED_HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMED: [(&str, &str); 6] = [
        ("host", "api.example.com"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.2, 192.0.2.3"),
        ("x_forwarded_for", "192.0.2.4"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.5"),
    ];

    fn forwarded(
        trusted: &[&str],
        claimed: &[(&'static str, &'static str)],
        peer: &str,
        is_encrypted: bool,
    ) -> Vec<String> {
        let mut fields = HeaderMap::new();
        for (name, value) in claimed {
            fields.append(*name, HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let arrival = Arrival::new(Some(&SocketAddr::Inet(peer.parse().unwrap())), is_encrypted, false);
        Forwarding::new(&trusted).apply(&mut fields, arrival);
        let fields = fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut fields: Vec<_> = fields.collect();
        fields.sort();
        fields
    }

    #[test]
    fn a_stranger_says_nothing_about_where_it_comes_from() {
        let seen = [
            "forwarded: for=10.1.2.3;host=\"api.example.com\";proto=http",
            "host: api.example.com",
            "x-forwarded-for: 10.1.2.3",
            "x-forwarded-host: api.example.com",
            "x-forwarded-proto: http",
        ];
        for trusted in [&[][..], &["10.2.0.0/16", "::1/128"]] {
            assert_eq!(forwarded(trusted, &CLAIMED, "[::ffff:10.1.2.3]:5", false), seen, "{trusted:?}");
        }
        assert_eq!(forwarded(&[], &CLAIMED[..1], "[::ffff:10.1.2.3]:5", false), seen);
    }

    #[test]
    fn no_other_name_for_the_same_says_it() {
        const OTHERS: [(&str, &str); 9] = [
            ("X-Forwarded-Prefix", "/admin"),
            ("x_forwarded_server", "evil.example"),
            ("X-Forwarded-", "x"),
            ("X-Real-IP", "192.0.2.1"),
            ("x_real_ip", "192.0.2.1"),
            ("True-Client-IP", "192.0.2.1"),
            ("X-Client-IP", "192.0.2.1"),
            ("X-Cluster-Client-IP", "192.0.2.1"),
            ("X-Forwarded", "for=192.0.2.1"),
        ];
        let mut left = forwarded(&[], &OTHERS, "10.1.2.3:5", false);
        left.retain(|field| !field.starts_with("forwarded: ") && !field.starts_with("x-forwarded-for: 10."));
        assert_eq!(left, ["x-forwarded-proto: http", "x-forwarded: for=192.0.2.1"]);
        assert_eq!(forwarded(&["10.0.0.0/8"], &OTHERS, "10.1.2.3:5", false).len(), OTHERS.len() + 3);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added() {
        let expected = [
            "forwarded: for=192.0.2.5, for=10.1.2.3;host=\"api.example.com\";proto=http",
            "host: api.example.com",
            "x-forwarded-for: 192.0.2.1, 192.0.2.2, 192.0.2.3, 10.1.2.3",
            "x-forwarded-host: api.example.com",
            "x-forwarded-proto: https",
            "x_forwarded_for: 192.0.2.4",
        ];
        assert_eq!(forwarded(&["10.0.0.0/8"], &CLAIMED, "[::ffff:10.1.2.3]:5", false), expected);
    }

    #[test]
    fn a_client_is_who_the_last_trusted_hop_says() {
        const PROXY: &str = "10.0.0.1";
        for (case, peer, fields, expected) in [
            ("a stranger says nothing", "192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("a proxy that asks by itself", PROXY, &[], PROXY),
            ("one hop", PROXY, &["198.51.100.1"], "198.51.100.1"),
            ("what the client wrote before its own", PROXY, &["203.0.113.7, 198.51.100.1"], "198.51.100.1"),
            ("the same in fields of their own", PROXY, &["203.0.113.7", "198.51.100.1"], "198.51.100.1"),
            ("several trusted hops", PROXY, &["203.0.113.7, 198.51.100.1,10.9.9.9", "10.0.0.2"], "198.51.100.1"),
            ("nobody but trusted hops", PROXY, &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("no address", PROXY, &["198.51.100.1, unknown"], PROXY),
            ("no address behind a trusted hop", PROXY, &["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("no text", PROXY, &["198.51.100.1, \u{e9}"], PROXY),
            ("empty elements", PROXY, &["198.51.100.1, ,", ""], "198.51.100.1"),
            ("a port", PROXY, &["198.51.100.1:5000"], "198.51.100.1"),
            ("IPv6", PROXY, &["2001:db8::7"], "2001:db8::7"),
            ("brackets", PROXY, &["[2001:db8::7]"], "2001:db8::7"),
            ("brackets and a port", PROXY, &["[2001:db8::7]:5"], "2001:db8::7"),
            ("a mapped address", "::ffff:10.0.0.1", &["::ffff:10.0.0.2", "::ffff:198.51.100.1"], "198.51.100.1"),
            ("a mapped hop", PROXY, &["198.51.100.1, [::ffff:10.0.0.2]:1"], "198.51.100.1"),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for value in fields {
                request.append_header("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap()).unwrap();
            }
            let peer = SocketAddr::Inet((peer.parse::<IpAddr>().unwrap(), 5).into());
            let forwarding = Forwarding::new(&["10.0.0.0/8".parse().unwrap()]);
            let client = forwarding.client(&request, Arrival::new(Some(&peer), false, false));
            assert_eq!(client, Some(expected.parse().unwrap()), "{case}");
            assert_eq!(forwarding.client(&request, Arrival::default()), None, "{case}");
        }
    }

    #[test]
    fn rfc7239_6_an_ipv6_address_is_quoted_and_tls_is_said() {
        let expected = [
            "forwarded: for=\"[2001:db8::1]\";host=\"a:8443\";proto=https",
            "host: a:8443",
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: a:8443",
            "x-forwarded-proto: https",
        ];
        assert_eq!(forwarded(&[], &[("host", "a:8443")], "[2001:db8::1]:5", true), expected);
    }

    #[test]
    fn a_list_has_an_end() {
        let mut fields = HeaderMap::new();
        fields.insert(&FORWARDED_FOR, HeaderValue::try_from("1".repeat(MAX_HOPS_BYTES)).unwrap());
        append(&mut fields, &FORWARDED_FOR, Bytes::from_static(b"192.0.2.1"));
        assert_eq!(fields.get(&FORWARDED_FOR).unwrap().len(), MAX_HOPS_BYTES);
    }
}
