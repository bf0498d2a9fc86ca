//! Hot path: no lock, no I/O, no info log.
//!
//! What the upstream learns about where a request came from: `X-Forwarded-For`, `-Host` and `-Proto`.
//!
//! Only what was seen here, unless the peer is a proxy that is trusted: then what it says is kept, and its own address is
//! added. Everything else that says so (`Forwarded`, `X-Forwarded-Port`, other spellings of these names) is removed from the
//! requests of peers that are not trusted, and left alone otherwise.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, header::HOST};
use ipnet::IpNet;
use pingora_core::{Result, protocols::l4::socket::SocketAddr};
use pingora_http::RequestHeader;

use crate::config::spelling::is_read_alike;

const FORWARDED_FOR: &str = "X-Forwarded-For";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";

/// All that say where a request came from.
const NAMES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];

/// Says where requests came from.
#[derive(Debug)]
pub struct Forwarding {
    trusted: Box<[IpNet]>,
    names: Box<[HeaderName]>,
}

impl Forwarding {
    /// Believes the peers in these networks.
    #[must_use]
    pub fn new(trusted: &[IpNet]) -> Self {
        Self { trusted: trusted.into(), names: NAMES.map(HeaderName::from_static).into() }
    }

    /// Says where a request came from that `peer` sent.
    ///
    /// # Errors
    ///
    /// Pingora's, if the request has no room for a field.
    pub fn apply(&self, request: &mut RequestHeader, peer: Option<&SocketAddr>) -> Result<()> {
        let peer = peer.and_then(SocketAddr::as_inet).map(|address| address.ip().to_canonical());
        if peer.is_some_and(|peer| self.trusts(peer)) {
            return extend(request, peer);
        }
        while let Some(name) = request.headers.keys().find(|name| self.tells(name)).cloned() {
            request.remove_header(&name);
        }
        if let Some(peer) = peer {
            request.insert_header(FORWARDED_FOR, peer.to_string())?;
        }
        fill(request)
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    fn tells(&self, name: &HeaderName) -> bool {
        self.names.iter().any(|ours| is_read_alike(ours, name))
    }
}

/// Adds the trusted proxy to those that the request passed.
fn extend(request: &mut RequestHeader, peer: Option<IpAddr>) -> Result<()> {
    let hops = request.headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).map(<[u8]>::to_vec);
    let hops: Vec<Vec<u8>> = hops.chain(peer.map(|peer| peer.to_string().into_bytes())).collect();
    if let Ok(hops) = HeaderValue::from_bytes(&hops.join(b", ".as_slice())) {
        request.insert_header(FORWARDED_FOR, hops)?;
    }
    fill(request)
}

/// Says what was asked for, where nobody before did.
fn fill(request: &mut RequestHeader) -> Result<()> {
    if !request.headers.contains_key(FORWARDED_PROTO) {
        request.insert_header(FORWARDED_PROTO, HeaderValue::from_static("http"))?;
    }
    match request.headers.get(HOST).cloned() {
        Some(host) if !request.headers.contains_key(FORWARDED_HOST) => request.insert_header(FORWARDED_HOST, host),
        Some(_) | None => Ok(()),
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

    fn forwarded(trusted: &[&str], claimed: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in claimed {
            request.append_header(*name, *value).unwrap();
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let peer = SocketAddr::Inet("[::ffff:10.1.2.3]:5".parse().unwrap());
        Forwarding::new(&trusted).apply(&mut request, Some(&peer)).unwrap();
        let fields = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut fields: Vec<_> = fields.collect();
        fields.sort();
        fields
    }

    #[test]
    fn a_stranger_says_nothing_about_where_it_comes_from() {
        let seen = [
            "host: api.example.com",
            "x-forwarded-for: 10.1.2.3",
            "x-forwarded-host: api.example.com",
            "x-forwarded-proto: http",
        ];
        for trusted in [&[][..], &["10.2.0.0/16", "::1/128"]] {
            assert_eq!(forwarded(trusted, &CLAIMED), seen, "{trusted:?}");
        }
        assert_eq!(forwarded(&[], &CLAIMED[..1]), seen);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added() {
        let expected = [
            "forwarded: for=192.0.2.5",
            "host: api.example.com",
            "x-forwarded-for: 192.0.2.1, 192.0.2.2, 192.0.2.3, 10.1.2.3",
            "x-forwarded-host: api.example.com",
            "x-forwarded-proto: https",
            "x_forwarded_for: 192.0.2.4",
        ];
        assert_eq!(forwarded(&["10.0.0.0/8"], &CLAIMED), expected);
    }
}
