//! Header fields that carry tokens: which of them counts, and that it can be hidden.
//!
//! The first byte picks the sources; each line is a letter for the field's name (`a`, `c`, `x`) and its value.

use std::collections::BTreeSet;

use cognigate_auth::token::{TokenSource, TokenSources, cookie_names, cookie_without, is_credential};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};

use crate::input::Input;

const COOKIE_NAME: &str = "session";
const CUSTOM: HeaderName = HeaderName::from_static("x-token");

/// What a lenient reader takes for the token: nothing, or one or more texts.
type Candidates<'f> = BTreeSet<&'f [u8]>;

pub(super) fn check(mut input: Input<'_>) {
    let cookie = || TokenSource::Cookie(COOKIE_NAME.into());
    let (bearer, custom) = (TokenSource::Header(AUTHORIZATION), TokenSource::Header(CUSTOM));
    let sources = match input.byte() & 3 {
        0 => vec![bearer],
        1 => vec![cookie()],
        2 => vec![bearer, cookie()],
        _ => vec![cookie(), custom, bearer],
    };
    let fields = fields(input.rest());
    let backwards = TokenSources::new(sources.iter().rev().cloned().collect::<Box<[_]>>());
    let sources = TokenSources::new(sources);

    let token = sources.read(&fields);
    assert_eq!(token, backwards.read(&fields), "the order of the sources decides");
    let candidates: Candidates<'_> = sources.iter().flat_map(|source| candidates(source, &fields)).collect();
    match token {
        Ok(None) => assert!(candidates.is_empty(), "overlooked: {candidates:?}"),
        Ok(Some(token)) => assert_eq!(candidates, Candidates::from([token.as_bytes()]), "a choice was made"),
        Err(_) => assert!(candidates.len() > 1 || has_twins(&sources, &fields), "{candidates:?} is one at most"),
    }
    if token.is_ok() {
        let hidden = without_tokens(&sources, &fields);
        assert_eq!(sources.read(&hidden), Ok(None), "still there: {hidden:?}");
    }
}

fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let name = match name {
            b'a' => AUTHORIZATION,
            b'c' => COOKIE,
            _ => CUSTOM,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(name, value);
        }
    }
    fields
}

/// Every text that some reader of this source could take for the token.
fn candidates<'f>(source: &TokenSource, fields: &'f HeaderMap) -> Vec<&'f [u8]> {
    match source {
        TokenSource::Header(name) => {
            fields.get_all(name).iter().filter_map(|value| credentials(value.as_bytes())).collect()
        }
        TokenSource::Cookie(name) => {
            let pairs = fields.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
            let values = pairs.filter_map(|pair| {
                let mut halves = pair.splitn(2, |byte| *byte == b'=');
                let is_named = halves.next()?.trim_ascii() == name.as_bytes();
                halves.next().map(<[u8]>::trim_ascii).filter(|_| is_named)
            });
            values.map(unquoted).filter(|value| !value.is_empty()).collect()
        }
    }
}

/// `Bearer` and what follows, or a value without a space.
fn credentials(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(6).unwrap_or((value, b""));
    match rest {
        [] | [b' ', ..] if scheme.eq_ignore_ascii_case(b"bearer") => Some(rest.trim_ascii_start()),
        _ if value.is_empty() || value.contains(&b' ') => None,
        _ => Some(value),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

/// Whether a header that is a source, or a cookie that is one, is there more than once.
fn has_twins(sources: &TokenSources, fields: &HeaderMap) -> bool {
    sources.iter().any(|source| match source {
        TokenSource::Cookie(name) => cookie_names(fields).filter(|found| *found == name.as_bytes()).nth(1).is_some(),
        TokenSource::Header(name) => fields.get_all(name).iter().nth(1).is_some(),
    })
}

/// The fields as an upstream is to see them that is not to see the token.
fn without_tokens(sources: &TokenSources, fields: &HeaderMap) -> HeaderMap {
    let is_hidden_cookie = |found: &[u8]| {
        sources.iter().any(|source| match source {
            TokenSource::Cookie(name) => name.as_bytes() == found,
            TokenSource::Header(_) => false,
        })
    };
    let is_source = |found: &HeaderName| sources.iter().any(|source| *source == TokenSource::Header(found.clone()));
    let mut left = HeaderMap::new();
    for (name, value) in fields {
        let value = match name {
            name if *name == COOKIE => cookie_without(value, is_hidden_cookie),
            name if is_source(name) && is_credential(value) => None,
            _ => Some(value.clone()),
        };
        if let Some(value) = value {
            left.append(name, value);
        }
    }
    left
}
