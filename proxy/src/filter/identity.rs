//! Hot path: no lock, no I/O, no info log.
//!
//! What the upstream learns about the caller: only what was verified.
//!
//! A header of the client's that reads like one of ours to any upstream is removed, on open routes too. Gateways such as CGI
//! and WSGI read `_` and `-` as the same letter, so names are compared that way. Runs on the request as it goes out, after
//! the hop-by-hop fields were removed, so that `Connection: x-cognito-sub` cannot remove what is set here.

use cognigate_auth::{
    cache::VerifiedToken,
    identity::ForwardedClaims,
    token::{self, TokenSource, TokenSources},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};

use crate::{
    config::{
        model::{CertificateHeader, IdentityConfig},
        spelling::is_read_alike,
    },
    tls::client::ClientCertificate,
};

/// The headers that say something verified about the caller.
#[derive(Debug)]
pub struct IdentityHeaders {
    /// In the order of their claims.
    claims: Box<[HeaderName]>,
    certificate: Box<[CertificateHeader]>,
}

impl IdentityHeaders {
    /// The headers, and the claims that the authorizer is to read for them.
    #[must_use]
    pub fn new(config: &IdentityConfig) -> (Self, ForwardedClaims) {
        let IdentityConfig { headers, client_certificate_headers } = config;
        let names = headers.iter().map(|header| header.name.clone()).collect();
        let claims: Box<[_]> = headers.iter().map(|header| header.claim.clone()).collect();
        let certificate = client_certificate_headers.as_slice().into();
        (Self { claims: names, certificate }, ForwardedClaims::new(claims))
    }

    /// Removes what the client forged and sets what is verified.
    pub fn apply(
        &self,
        fields: &mut HeaderMap,
        token: Option<&VerifiedToken>,
        certificate: Option<&ClientCertificate>,
    ) {
        self.strip(fields);
        let values = token.map_or(&[][..], |token| token.identity().forwarded());
        for (name, value) in self.claims.iter().zip(values) {
            if let Some(value) = value {
                fields.insert(name, value.clone());
            }
        }
        for CertificateHeader { name, field } in &self.certificate {
            if let Some(value) = certificate.and_then(|certificate| certificate.field(*field)) {
                fields.insert(name, value.clone());
            }
        }
    }

    fn strip(&self, fields: &mut HeaderMap) {
        while let Some(forged) = fields.keys().find(|name| self.is_read_as_ours(name)).cloned() {
            fields.remove(&forged);
        }
    }

    fn is_read_as_ours(&self, name: &HeaderName) -> bool {
        let mut ours = self.claims.iter().chain(self.certificate.iter().map(|header| &header.name));
        ours.any(|ours| is_read_alike(ours, name))
    }
}

/// Removes the token from everywhere it is read from, and nothing else: other cookies and credentials that are no token
/// stay.
pub fn hide_token(fields: &mut HeaderMap, sources: &TokenSources) {
    for source in sources.iter() {
        match source {
            TokenSource::Header(name) => hide_header(fields, name),
            TokenSource::Cookie(_) => {}
        }
    }
    let is_hidden = |name: &[u8]| {
        sources.iter().any(|source| match source {
            TokenSource::Cookie(cookie) => cookie.as_bytes() == name,
            TokenSource::Header(_) => false,
        })
    };
    hide_cookies(fields, is_hidden);
}

/// Also where some server reads another name as this one.
fn hide_header(fields: &mut HeaderMap, source: &HeaderName) {
    let is_twin = |name: &HeaderName| name != source && is_read_alike(name, source);
    while let Some(twin) = fields.keys().find(|name| is_twin(name)).cloned() {
        fields.remove(&twin);
    }
    if fields.get_all(source).iter().any(token::is_credential) {
        fields.remove(source);
    }
}

fn hide_cookies(fields: &mut HeaderMap, is_hidden: impl Fn(&[u8]) -> bool) {
    if !token::cookie_names(fields).any(&is_hidden) {
        return;
    }
    let cookies = fields.get_all(COOKIE).iter();
    let kept: Vec<HeaderValue> = cookies.filter_map(|cookie| token::cookie_without(cookie, &is_hidden)).collect();
    fields.remove(COOKIE);
    for cookie in kept {
        fields.append(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hiding_the_token_hides_nothing_else() {
        let sources = TokenSources::new([
            TokenSource::Header(http::header::AUTHORIZATION),
            TokenSource::Cookie("session".into()),
        ]);
        for (fields, left) in [
            (vec![("authorization", "Bearer a.b.c"), ("cookie", "x=1; session=a.b.c")], vec![("cookie", "x=1")]),
            (vec![("authorization", "Basic eA==")], vec![("authorization", "Basic eA==")]),
            (vec![("authorization", "Basic eA=="), ("authorization", "Bearer a.b.c")], vec![]),
            (
                vec![("authorization", "Basic eA=="), ("authoriz_ation", "x")],
                vec![("authorization", "Basic eA=="), ("authoriz_ation", "x")],
            ),
            (vec![("cookie", "session=a.b.c")], vec![]),
            (vec![("cookie", "x=1;y=2")], vec![("cookie", "x=1;y=2")]),
        ] {
            let mut request = HeaderMap::new();
            for (name, value) in &fields {
                request.append(*name, HeaderValue::from_static(value));
            }
            hide_token(&mut request, &sources);
            let found: Vec<_> = request.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            assert_eq!(found, left, "{fields:?}");
        }
    }
}
