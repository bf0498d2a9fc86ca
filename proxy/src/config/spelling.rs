//! Hot path: no lock, no I/O, no info log.
//!
//! Which header names are one name to some server.
//!
//! Servers that make variables of header names (CGI, FastCGI, WSGI, Rack; RFC 3875 section 4.1.18) turn `-` into `_`, and
//! some of them every byte that is no letter or digit. `X-User`, `x_user` and `x.user` are then one.

use http::HeaderName;

/// Whether some server reads both as one name.
#[must_use]
pub fn is_read_alike(one: &HeaderName, other: &HeaderName) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    one.len() == other.len() && one.bytes().map(folded_byte).eq(other.bytes().map(folded_byte))
}

/// Whether some server reads the beginning of a name as `prefix`, which is lower case with `-`.
#[must_use]
pub fn begins_alike(name: &HeaderName, prefix: &str) -> bool {
    let name = name.as_str();
    name.len() >= prefix.len() && name.bytes().zip(prefix.bytes()).all(|(one, other)| folded_byte(one) == other)
}

/// The one spelling of all that are read alike.
pub(super) fn folded(name: &HeaderName) -> String {
    name.as_str().bytes().map(|byte| char::from(folded_byte(byte))).collect()
}

/// Names are lower case already.
const fn folded_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_servers_read_them() {
        let name = HeaderName::from_static;
        for (other, is_alike) in [
            ("x-cognito-sub", true),
            ("x_cognito_sub", true),
            ("x.cognito!sub", true),
            ("x-cognito_sub", true),
            ("x-cognito-sub2", false),
            ("x-cognitoxsub", false),
        ] {
            assert_eq!(is_read_alike(&name("x-cognito-sub"), &name(other)), is_alike, "{other}");
            assert_eq!(folded(&name("x-cognito-sub")) == folded(&name(other)), is_alike, "{other}");
        }
    }
}
