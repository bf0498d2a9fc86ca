//! The JOSE header of a Cognito token (RFC 7515 section 4.1).
//!
//! Cognito emits `kid` and `alg`, nothing else. A parameter that would change how the token is to be read (`crit`, `b64`,
//! `zip`, `enc`, `cty`) is refused; one that names a key (`jku`, `jwk`, `x5u`, `x5c`) is ignored, never followed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error};

use crate::{json, rejection::Rejection};

/// The parameters of the header that count.
#[derive(Debug, Deserialize)]
pub(crate) struct JoseHeader<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    /// Names the key: an opaque string, compared byte for byte.
    #[serde(borrow)]
    pub(crate) kid: Cow<'a, str>,
    #[serde(default, rename = "crit")]
    _crit: Absent,
    #[serde(default, rename = "b64")]
    _b64: Absent,
    #[serde(default, rename = "zip")]
    _zip: Absent,
    #[serde(default, rename = "enc")]
    _enc: Absent,
    #[serde(default, rename = "cty")]
    _cty: Absent,
}

impl<'a> JoseHeader<'a> {
    /// Reads the JSON text of a header.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenMalformed`], [`Rejection::AlgNotAllowed`].
    pub(crate) fn parse(json: &'a str) -> Result<Self, Rejection> {
        let header: Self = json::object(json).map_err(|_| Rejection::TokenMalformed)?;
        if header.alg == "RS256" { Ok(header) } else { Err(Rejection::AlgNotAllowed) }
    }
}

/// A parameter whose presence alone is the error.
#[derive(Debug, Default)]
struct Absent;

impl<'de> Deserialize<'de> for Absent {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("a parameter that is not allowed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cognito_headers_are_read() {
        let header = JoseHeader::parse(r#"{"kid":"a+b\/c=","alg":"RS256"}"#).unwrap();
        assert_eq!(header.kid, "a+b/c=");
    }

    #[test]
    fn rfc7515_4_1_what_is_refused() {
        for (json, rejection) in [
            (r#"{"kid":"k","alg":"none"}"#, Rejection::AlgNotAllowed),
            (r#"{"kid":"k","alg":"rs256"}"#, Rejection::AlgNotAllowed),
            (r#"{"kid":"k","alg":"HS256"}"#, Rejection::AlgNotAllowed),
            (r#"{"kid":"k","alg":{"RS256":null}}"#, Rejection::TokenMalformed),
            (r#"{"kid":5,"alg":"RS256"}"#, Rejection::TokenMalformed),
            (r#"{"alg":"RS256"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","kid":"k","alg":"RS256"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","alg":"RS256"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","crit":["exp"]}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","b64":true}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","zip":null}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","enc":"A128GCM"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256","cty":"JWT"}"#, Rejection::TokenMalformed),
            (r#"{"kid":"k","alg":"RS256"} x"#, Rejection::TokenMalformed),
            (r#"["RS256","k"]"#, Rejection::TokenMalformed),
        ] {
            assert_eq!(JoseHeader::parse(json).err(), Some(rejection), "{json}");
        }
    }

    #[test]
    fn parameters_that_name_a_key_are_not_followed() {
        let json = r#"{"kid":"k","alg":"RS256","jku":"https://evil.example/k","jwk":{},"x5u":"","x5c":[]}"#;
        assert!(JoseHeader::parse(json).is_ok());
    }
}
