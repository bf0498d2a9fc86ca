//! What a proxy in front says about a connection before its first byte: the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! - A header is at most [`MAX_HEADER_BYTES`] long; the addresses count, the TLVs behind them are passed over.
//! - `UNKNOWN`, `LOCAL` and families without an IP address say nothing: the connection is the one that it is.
//! - Everything that is not exactly a header ends the connection: a listener either asks for headers or does not (section 2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The longest line of version 1, its end included (section 2.1).
const MAX_LINE_BYTES: usize = 107;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// The longest rest of a version 2 header: what fits with the fixed part into one segment of any network.
const MAX_REST_BYTES: usize = 536;

/// The longest header of either version.
pub const MAX_HEADER_BYTES: usize = FIXED_BYTES + MAX_REST_BYTES;

/// What was sent is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no valid PROXY protocol header")]
pub struct Invalid;

/// A header that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has.
    pub length: usize,
    /// Whose connection it is; nothing if it does not say.
    pub client: Option<SocketAddr>,
}

/// Reads a header: whose connection it is, if it says so, and what was read behind it.
///
/// # Errors
///
/// The socket's; [`io::ErrorKind::InvalidData`] if there is no header.
pub async fn read(stream: &mut TcpStream) -> io::Result<(Option<SocketAddr>, Bytes)> {
    let mut bytes = BytesMut::with_capacity(MAX_HEADER_BYTES);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&bytes) {
            Ok(Some(Header { length, client })) => return Ok((client, bytes.split_off(length).freeze())),
            Ok(None) => {}
            Err(invalid) => return Err(io::Error::new(io::ErrorKind::InvalidData, invalid)),
        }
    }
}

/// The header at the beginning of `bytes`; nothing if more of it has to come.
///
/// # Errors
///
/// [`Invalid`], as soon as no header can begin like this.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

fn parse_line(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    const BEGINNING: &[u8] = b"PROXY ";
    if bytes.iter().zip(BEGINNING).any(|(found, expected)| found != expected) {
        return Err(Invalid);
    }
    let shown = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    let Some(end) = shown.windows(2).position(|pair| pair == b"\r\n") else {
        return if shown.len() < MAX_LINE_BYTES { Ok(None) } else { Err(Invalid) };
    };
    let line = shown.get(BEGINNING.len()..end).and_then(|line| str::from_utf8(line).ok()).ok_or(Invalid)?;
    Ok(Some(Header { length: end + 2, client: client_of(line)? }))
}

/// `TCP4 source destination source-port destination-port`, or `UNKNOWN` and whatever follows.
fn client_of(line: &str) -> Result<Option<SocketAddr>, Invalid> {
    let mut words = line.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let mut word = || words.next().ok_or(Invalid);
    let (source, destination, source_port, destination_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Invalid);
    }
    let address: fn(&str) -> Option<IpAddr> = match family {
        Some("TCP4") => |text| text.parse().map(Ipv4Addr::into).ok(),
        Some("TCP6") => |text| text.parse().map(Ipv6Addr::into).ok(),
        Some(_) | None => return Err(Invalid),
    };
    let (source, _) = address(source).zip(address(destination)).ok_or(Invalid)?;
    let (source_port, _) = port(source_port).zip(port(destination_port)).ok_or(Invalid)?;
    Ok(Some(SocketAddr::new(source, source_port)))
}

/// A port without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, Invalid> {
    if bytes.iter().zip(SIGNATURE).any(|(found, expected)| found != expected) {
        return Err(Invalid);
    }
    let Some((fixed, behind)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., version_and_command, family, high, low] = *fixed;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > MAX_REST_BYTES {
        return Err(Invalid);
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Invalid),
    };
    let Some(rest_bytes) = behind.get(..rest) else { return Ok(None) };
    let client = if is_local { None } else { client_in(family, rest_bytes)? };
    Ok(Some(Header { length: FIXED_BYTES + rest, client }))
}

/// The source address of a family: it is followed by the destination's, and both ports.
fn client_in(family: u8, bytes: &[u8]) -> Result<Option<SocketAddr>, Invalid> {
    const UNSPECIFIED: u8 = 0x00;
    const TCP_OVER_IPV4: u8 = 0x11;
    const TCP_OVER_IPV6: u8 = 0x21;
    const UNIX_STREAM: u8 = 0x31;
    const UNIX_BYTES: usize = 216;
    match family {
        UNSPECIFIED => Ok(None),
        TCP_OVER_IPV4 => {
            let ([a, b, c, d, _, _, _, _, high, low, ..], _) = bytes.split_first_chunk::<12>().ok_or(Invalid)?;
            let source = Ipv4Addr::new(*a, *b, *c, *d);
            Ok(Some(SocketAddr::new(source.into(), u16::from_be_bytes([*high, *low]))))
        }
        TCP_OVER_IPV6 => {
            let (source, behind) = bytes.split_first_chunk::<16>().ok_or(Invalid)?;
            let (_destination, ports) = behind.split_first_chunk::<16>().ok_or(Invalid)?;
            let ([high, low, ..], _) = ports.split_first_chunk::<4>().ok_or(Invalid)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes([*high, *low]))))
        }
        UNIX_STREAM if bytes.len() >= UNIX_BYTES => Ok(None),
        _ => Err(Invalid),
    }
}

#[cfg(test)]
mod tests;
