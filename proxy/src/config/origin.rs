//! One web origin, as a browser writes it in the `Origin` field (Fetch standard, "origin serialization"; RFC 6454
//! section 6.2): `https://app.example.com`, `http://localhost:3000`, `capacitor://localhost`.
//!
//! What a browser sends is compared byte by byte, so an origin that is written in any other way would never match: it is an
//! error that says how the browser writes it.

use std::str::FromStr;

use thiserror::Error;

use super::host_port::host_port;

/// An origin: scheme, host and, unless it is the scheme's own, port. Lower case, no path, not `null`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

/// The text is not an origin as a browser writes it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidOrigin {
    /// Not scheme, host and port.
    #[error(
        "{0:?} is not an origin: scheme://host or scheme://host:port is needed, without a path or a slash at the end"
    )]
    Form(String),
    /// The origin of nobody in particular.
    #[error("\"null\" is the origin of every sandboxed page and local file: it cannot be told whose page it is")]
    Null,
    /// An origin that browsers write in another way.
    #[error("{found:?} is never sent: browsers write {sent}")]
    Spelling {
        /// The origin as it was found.
        found: String,
        /// The origin as browsers write it.
        sent: String,
    },
    /// A wildcard.
    #[error("{0:?} has a wildcard: name each origin, or allow every one with \"*\" alone")]
    Wildcard(String),
}

impl Origin {
    /// The origin as browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "null" {
            return Err(InvalidOrigin::Null);
        }
        if text.contains('*') {
            return Err(InvalidOrigin::Wildcard(text.to_owned()));
        }
        let sent = as_sent(text).ok_or_else(|| InvalidOrigin::Form(text.to_owned()))?;
        match sent == text {
            true => Ok(Self(text.into())),
            false => Err(InvalidOrigin::Spelling { found: text.to_owned(), sent }),
        }
    }
}

fn as_sent(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme))?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = host_port(authority)?;
    let port = port.filter(|port| default_port(&scheme) != Some(port.get())).map(|port| format!(":{port}"));
    Some(format!("{scheme}://{host}{}", port.unwrap_or_default()))
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_write_them() {
        for text in [
            "https://app.example.com",
            "http://localhost:3000",
            "https://app.example.com:8443",
            "http://app.example.com:443",
            "https://192.0.2.1",
            "http://[2001:db8::1]",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert_eq!(text.parse::<Origin>().as_ref().map(Origin::as_str), Ok(text));
        }
    }

    #[test]
    fn another_spelling_is_refused_with_the_one_that_browsers_use() {
        for (text, sent) in [
            ("https://App.example.com", "https://app.example.com"),
            ("HTTPS://app.example.com", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://localhost:03000", "http://localhost:3000"),
            ("http://[2001:DB8:0::1]", "http://[2001:db8::1]"),
        ] {
            let error = InvalidOrigin::Spelling { found: text.to_owned(), sent: sent.to_owned() };
            assert_eq!(text.parse::<Origin>(), Err(error));
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "app.example.com",
            "https://",
            "://app.example.com",
            "https:app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?x",
            "https://app.example.com#x",
            "https://user@app.example.com",
            "https://app.example.com.",
            "https://app.example.com:",
            "https://app.example.com:0",
            "https://app.example.com:65536",
            "https://app.example.com:+80",
            "https://app example.com",
            "https://app.example.com, https://b.example.com",
            "https://::1",
            "https://[::1",
            "file://",
            "1https://app.example.com",
            "https://b\u{fc}cher.example",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(InvalidOrigin::Form(text.to_owned())), "{text}");
        }
        assert_eq!("null".parse::<Origin>(), Err(InvalidOrigin::Null));
        let wildcard = "https://*.example.com";
        assert_eq!(wildcard.parse::<Origin>(), Err(InvalidOrigin::Wildcard(wildcard.to_owned())));
    }
}
