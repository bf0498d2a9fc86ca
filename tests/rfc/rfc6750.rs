//! RFC 6750: Bearer Token Usage.

use cognigate_auth::token::{AmbiguousToken, TokenSource, TokenSources};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::{reason, token};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let fields =
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    fields.fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}

fn read(sources: &TokenSources, fields: &[(&'static str, &str)]) -> Result<Option<String>, AmbiguousToken> {
    let headers = headers(fields);
    let token = sources.read(&headers)?;
    Ok(token.map(|token| String::from_utf8_lossy(token.as_bytes()).into_owned()))
}

#[test]
fn section_2_a_token_comes_in_one_way_only() {
    let token = token();
    let (bearer, cookie) = (format!("Bearer {token}"), format!("session={token}x"));
    let both = [TokenSource::Header(http::header::AUTHORIZATION), TokenSource::Cookie("session".into())];
    let sources = TokenSources::new(both);
    assert_eq!(read(&sources, &[("authorization", &bearer), ("cookie", &cookie)]), Err(AmbiguousToken));
    for second in ["Bearer x.y.z", "Basic dXNlcjpwYXNz", &bearer] {
        let fields = [("authorization", bearer.as_str()), ("authorization", second)];
        assert_eq!(read(&TokenSources::default(), &fields), Err(AmbiguousToken), "{second}");
    }
}

#[test]
fn section_2_1_a_token_is_read_from_the_authorization_header() {
    let token = token();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let read = read(&TokenSources::default(), &[("authorization", &format!("{scheme} {token}"))]).unwrap().unwrap();
        assert_eq!(reason(read), "ok", "{scheme}");
    }
}

#[test]
fn section_2_1_another_scheme_is_no_token() {
    for value in ["Basic dXNlcjpwYXNz", "DPoP a.b.c", "Bearer: a.b.c", "Token a.b.c", ""] {
        assert_eq!(read(&TokenSources::default(), &[("authorization", value)]), Ok(None), "{value}");
    }
}

/// `b64token` is one word of letters, digits and `-._~+/`, then any number of `=`.
#[test]
fn section_2_1_a_token_is_one_word_of_its_alphabet() {
    let token = token();
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, {token}"),
        format!("Bearer {token},"),
        format!("Bearer \"{token}\""),
        format!("Bearer {token}="),
        format!("Bearer\t{token}"),
        format!("Bearer Bearer {token}"),
    ] {
        let read = read(&TokenSources::default(), &[("authorization", &value)]).unwrap().unwrap();
        assert_eq!(reason(read), "token_malformed", "{value}");
    }
}

/// Sections 2.2 and 2.3 describe tokens in the body and in the query; neither can be asked for.
#[test]
fn section_2_2_and_2_3_other_places_are_not_looked_at() {
    let token = token();
    for name in ["x-authorization", "proxy-authorization", "x-access-token", "cookie"] {
        let value = format!("access_token={token}");
        assert_eq!(read(&TokenSources::default(), &[(name, &value)]), Ok(None), "{name}");
    }
}
