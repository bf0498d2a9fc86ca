//! `token` and `identity`: the request headers that carry a token or say who calls.

use std::collections::{HashMap, HashSet};

use cognigate_auth::token::{TokenSource, TokenSources};
use http::HeaderName;

use crate::config::{
    file::{IdentitySection, Named, Scalar, TokenSection, TokenSourceSection},
    finding::At,
    model::{CertificateField, CertificateHeader, IdentityConfig, IdentityHeader, TokenConfig},
    rule::BrokenRule,
    spelling::folded,
};

/// Headers that frame the request, belong to one connection (RFC 9110 section 7.6.1) or say where the request came from
/// and goes to: the proxy sets them, or servers act on them. With `-` for `_`.
const RESERVED: [&str; 25] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// The one header for credentials that a token may be read from, but no claim written to.
const CREDENTIALS: &str = "authorization";

pub(super) fn token(section: TokenSection, at: &At<'_>) -> TokenConfig {
    let TokenSection { sources: source_sections, forward: Scalar(forward), close_expired: Scalar(close_expired) } =
        section;
    TokenConfig { sources: sources(source_sections, &at.field("sources")), forward, close_expired }
}

fn sources(sections: Vec<TokenSourceSection>, at: &At<'_>) -> TokenSources {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    }
    let mut seen = HashSet::new();
    let source = |(index, section)| {
        let (shown, source) = source(section, &at.item(index))?;
        if !seen.insert(shown.clone()) {
            at.item(index).report(BrokenRule::Duplicate(shown));
        }
        Some(source)
    };
    TokenSources::new(sections.into_iter().enumerate().filter_map(source).collect::<Box<[_]>>())
}

/// A source, and how it is written.
fn source(section: TokenSourceSection, at: &At<'_>) -> Option<(String, TokenSource)> {
    let TokenSourceSection { header, cookie } = section;
    match (header, cookie) {
        (Some(Scalar(text)), None) => {
            let name = header_name(&text, &at.field("header"))?;
            Some((format!("header {name}"), TokenSource::Header(name)))
        }
        (None, Some(Scalar(text))) => {
            let name = cookie_name(&text, &at.field("cookie"))?;
            Some((format!("cookie {name}"), TokenSource::Cookie(name)))
        }
        (Some(_), Some(_)) | (None, None) => at.refuse(BrokenRule::TokenSource),
    }
}

pub(super) fn identity(section: IdentitySection, token: &TokenSources, at: &At<'_>) -> IdentityConfig {
    let IdentitySection { headers: Named(claims), client_certificate_headers: Named(fields) } = section;
    let mut names = HashMap::new();
    let mut unique_name = |text: &str, at: &At<'_>| {
        let name = identity_header_name(text, token, at)?;
        if let Some(other) = names.insert(folded(&name), text.to_owned()) {
            at.report(BrokenRule::HeaderTwins { one: text.to_owned(), other });
        }
        Some(name)
    };
    let headers_at = at.field("headers");
    let header = |(text, Scalar(claim)): (String, Scalar<String>)| {
        let at = headers_at.field(&text);
        let name = unique_name(&text, &at)?;
        if claim.is_empty() {
            at.report(BrokenRule::Claim);
        }
        Some(IdentityHeader { name, claim: claim.into() })
    };
    let headers = claims.into_iter().filter_map(header).collect();
    let fields_at = at.field("client_certificate_headers");
    let field = |(text, Scalar(field)): (String, Scalar<CertificateField>)| {
        let name = unique_name(&text, &fields_at.field(&text))?;
        Some(CertificateHeader { name, field })
    };
    IdentityConfig { headers, client_certificate_headers: fields.into_iter().filter_map(field).collect() }
}

fn identity_header_name(text: &str, token: &TokenSources, at: &At<'_>) -> Option<HeaderName> {
    let name = header_name(text, at)?;
    let folded_name = folded(&name);
    let is_source = |source: &TokenSource| match source {
        TokenSource::Header(source) => folded(source) == folded_name,
        TokenSource::Cookie(_) => false,
    };
    if folded_name == CREDENTIALS {
        return at.refuse(BrokenRule::HeaderReserved(text.to_owned()));
    }
    match token.iter().any(is_source) {
        true => at.refuse(BrokenRule::HeaderOfToken(text.to_owned())),
        false => Some(name),
    }
}

fn header_name(text: &str, at: &At<'_>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        return at.refuse(BrokenRule::HeaderName(text.to_owned()));
    };
    match RESERVED.contains(&folded(&name).as_str()) {
        true => at.refuse(BrokenRule::HeaderReserved(text.to_owned())),
        false => Some(name),
    }
}

fn cookie_name(text: &str, at: &At<'_>) -> Option<Box<str>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Some(text.into()),
        false => at.refuse(BrokenRule::CookieName(text.to_owned())),
    }
}
