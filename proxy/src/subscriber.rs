//! Hot path: no lock, no I/O, no info log.
//!
//! Whom an address belongs to: what connections and requests are counted by.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address alone, an IPv6 address by its /64, which is what one subscriber is given (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscriber(u64);

impl Subscriber {
    /// Who has this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No /64 of the global unicast space begins with 32 zero bits.
            IpAddr::V4(address) => Self(u64::from(u32::from(address))),
            IpAddr::V6(address) => Self(prefix(address)),
        }
    }

    /// A number of its own. Neighbours differ in its last bits.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

fn prefix(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments();
    [a, b, c, d].into_iter().fold(0, |prefix, segment| prefix << 16 | u64::from(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_has_an_ipv4_address_or_a_64() {
        let of = |address: &str| Subscriber::of(address.parse().unwrap());
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("2001:db8::1", "2001:db9::1", false),
        ] {
            assert_eq!(of(one) == of(other), is_same, "{one} {other}");
        }
    }
}
