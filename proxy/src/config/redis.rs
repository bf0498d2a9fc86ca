//! Where a Redis is, as its URL says it: `rediss://redis.internal:6379/0`, `redis://127.0.0.1`.
//!
//! Scheme (`rediss`: over TLS), host, port (default 6379) and the number of the database (default 0), as the IANA
//! registration of the `redis` scheme has them. User name and password have keys of their own: a URL is printed.

use std::{net::Ipv6Addr, str::FromStr};

use thiserror::Error;

/// The port that Redis listens on where nobody said otherwise.
const DEFAULT_PORT: u16 = 6379;

/// The longest host name (RFC 1035 section 2.3.4), in bytes.
const MAX_HOST_BYTES: usize = 253;

/// An address of a Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
    /// A host name or an IP address, without brackets.
    pub host: Box<str>,
    /// From 1.
    pub port: u16,
    /// Which of its databases.
    pub database: u16,
}

/// The text is not the address of a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidRedisAddress {
    /// Somebody to log in as. What was found is not repeated.
    #[error(
        "a user name or a password is not allowed in the URL: give `username`, and the password in a `password_file`"
    )]
    Credentials,
    /// Not scheme, host, port and database.
    #[error(
        "{0:?} is not the URL of a Redis: redis://HOST:PORT/DATABASE, or rediss:// for TLS (port 6379 and database 0 may be left out)"
    )]
    Form(String),
}

impl FromStr for RedisAddress {
    type Err = InvalidRedisAddress;

    fn from_str(text: &str) -> Result<Self, InvalidRedisAddress> {
        if text.contains('@') {
            return Err(InvalidRedisAddress::Credentials);
        }
        parse(text).ok_or_else(|| InvalidRedisAddress::Form(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<RedisAddress> {
    let (is_tls, rest) = match text.split_once("://")? {
        ("redis", rest) => (false, rest),
        ("rediss", rest) => (true, rest),
        _ => return None,
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, "")) => (authority, 0),
        Some((authority, database)) => (authority, number(database)?),
        None => (rest, 0),
    };
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, number(port).filter(|port| *port != 0)?),
        None => (authority, DEFAULT_PORT),
    };
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').filter(|address| address.parse::<Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| is_host(host))?,
    };
    Some(RedisAddress { is_tls, host: host.into(), port, database })
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name in a DNS or a hosts file, or an IPv4 address.
fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_scheme_host_port_and_database() {
        for (text, is_tls, host, port, database) in [
            ("redis://localhost", false, "localhost", 6379, 0),
            ("rediss://redis.internal:6380/3", true, "redis.internal", 6380, 3),
            ("redis://10.0.0.1:1/", false, "10.0.0.1", 1, 0),
            ("rediss://[fd00::1]", true, "fd00::1", 6379, 0),
            ("rediss://[fd00::1]:65535/65535", true, "fd00::1", 65535, 65535),
        ] {
            let address = RedisAddress { is_tls, host: host.into(), port, database };
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_redis_is_refused() {
        for text in [
            "",
            "localhost:6379",
            "http://localhost",
            "REDIS://localhost",
            "unix:///run/redis.sock",
            "redis://",
            "redis:///0",
            "redis://a b",
            "redis://localhost:",
            "redis://localhost:0",
            "redis://localhost:65536",
            "redis://localhost:+1",
            "redis://localhost/a",
            "redis://localhost/0/0",
            "redis://localhost/0?protocol=3",
            "redis://localhost/65536",
            "redis://fd00::1",
            "redis://[localhost]",
            "redis://[fd00::1",
        ] {
            assert_eq!(text.parse::<RedisAddress>(), Err(InvalidRedisAddress::Form(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = "redis://user:hunter2@localhost".parse::<RedisAddress>().unwrap_err();
        assert_eq!(error, InvalidRedisAddress::Credentials);
        assert!(!error.to_string().contains("hunter2"));
    }
}
