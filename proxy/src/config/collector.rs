//! The collector that spans go to: `otlp: http://127.0.0.1:4317`.
//!
//! The port is always said: that of OTLP over gRPC, 4317, is not the one that the scheme stands for.

use thiserror::Error;
use url::Url;

use super::host_port::host_port;

/// The text is not the address of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidCollector {
    /// Somebody to log in as. What was found is not repeated.
    #[error("a user name or a password is not allowed in the URL")]
    Credentials,
    /// Not scheme, host and port.
    #[error(
        "{0:?} is not the URL of a collector: http://HOST:PORT or https://HOST:PORT, without a path (OTLP over gRPC)"
    )]
    Form(String),
}

/// Reads the address of a collector.
pub(super) fn collector(text: &str) -> Result<Url, InvalidCollector> {
    if text.contains('@') {
        return Err(InvalidCollector::Credentials);
    }
    parse(text).ok_or_else(|| InvalidCollector::Form(text.to_owned()))
}

fn parse(text: &str) -> Option<Url> {
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    let (_, port) = host_port(authority.strip_suffix('/').unwrap_or(authority))?;
    port.and_then(|_| Url::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_scheme_host_and_port() {
        for text in ["http://127.0.0.1:4317/", "https://otel.internal:4317/", "http://[::1]:4317/"] {
            assert_eq!(collector(text).as_ref().map(Url::as_str), Ok(text));
            assert_eq!(collector(text.trim_end_matches('/')).as_ref().map(Url::as_str), Ok(text));
        }
        assert_eq!(collector("http://a:80").map(|url| url.port_or_known_default()), Ok(Some(80)));
        for text in [
            "",
            "127.0.0.1:4317",
            "grpc://a:4317",
            "HTTP://a:4317",
            "http://",
            "http://a",
            "http://a:0",
            "http://:4317",
            "http://a:4317/v1/traces",
            "http://a:4317//",
            "http://a:4317?x",
            "http://a:4317#x",
            "http://a b:4317",
            "http://a:4317\n",
        ] {
            assert_eq!(collector(text), Err(InvalidCollector::Form(text.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = collector("http://user:hunter2@a:4317").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
