//! The rules for a header and claims once more, read from the list of an object's members: everything but the signature.
//!
//! RFC 7515 section 4.1, RFC 7519 section 4.1, and the guide's pages on ID tokens and access tokens.

use cognigate_auth::{
    clock::UnixSeconds,
    identity::Identity,
    policy::{Policy, TokenUse, TokenUseRule},
    token::MAX_TOKEN_BYTES,
};
use http::HeaderValue;
use serde_json::{Value, value::RawValue};

use crate::{
    gate::{FORWARDED, MAX_STALE_SECONDS, NOW, POOLS, PoolRules},
    members::{Members, parsed},
};

/// The longest encoded header, in bytes.
const MAX_HEADER_BYTES: usize = 1024;

/// A signature of 2048 bits, encoded, in bytes.
const SIGNATURE_BYTES: usize = 342;

/// The longest life of a token: a day and five minutes.
const MAX_LIFETIME_SECONDS: u64 = 86_700;

/// Parameters that a header must not have.
const FORBIDDEN: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// The claims that a bearer passes with.
#[derive(Debug)]
pub(super) struct Claims<'t> {
    /// The place of the pool that issued the token.
    pub(super) pool: usize,
    token_use: TokenUse,
    sub: String,
    client_id: String,
    scopes: Vec<String>,
    groups: Vec<String>,
    issued_at: Option<UnixSeconds>,
    expires_at: UnixSeconds,
    jti: Option<String>,
    origin_jti: Option<String>,
    forwarded: [Option<&'t str>; FORWARDED.len()],
    /// Whether a claim that is passed on is JSON that readers may give up on: too deep, a number too large. Such a token may
    /// be refused.
    pub(super) is_odd: bool,
}

/// Reads a header and claims; none if they break a rule.
pub(super) fn read<'t>(header: &[u8], payload: &'t [u8], policy: &Policy, now: UnixSeconds) -> Option<Claims<'t>> {
    let encoded = |bytes: &[u8]| (bytes.len() * 4).div_ceil(3);
    let length = encoded(header) + encoded(payload) + SIGNATURE_BYTES + 2;
    let kid = read_header(header)?;
    let (rules, claims) = read_payload(payload, policy, now)?;
    let fits = encoded(header) <= MAX_HEADER_BYTES && length <= MAX_TOKEN_BYTES;
    let is_text = is_unicode(header) && is_unicode(payload);
    (fits && is_text && kid == rules.kid).then_some(claims)
}

/// Whether JSON that was read is Unicode in its escapes too, also in strings that nobody asks for.
fn is_unicode(json: &[u8]) -> bool {
    let mut units = Vec::with_capacity(json.len());
    let mut rest = json;
    while let [first, after @ ..] = rest {
        let (unit, length) = match (first, after) {
            (b'\\', [b'u', digits @ ..]) => (digits.get(..4).and_then(hexadecimal), 6),
            (b'\\', _) => (None, 2),
            _ => (None, 1),
        };
        units.push(unit.unwrap_or_default());
        rest = rest.get(length..).unwrap_or_default();
    }
    char::decode_utf16(units).all(|character| character.is_ok())
}

fn hexadecimal(digits: &[u8]) -> Option<u16> {
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// The name of the key.
fn read_header(header: &[u8]) -> Option<String> {
    let header = Members::parse(header)?;
    let is_plain = FORBIDDEN.iter().all(|name| matches!(header.text(name), Some(None)));
    let alg: String = header.required("alg")?;
    header.required("kid").filter(|_| is_plain && alg == "RS256")
}

fn read_payload<'t>(payload: &'t [u8], policy: &Policy, now: UnixSeconds) -> Option<(&'static PoolRules, Claims<'t>)> {
    let members = Members::parse(payload)?;
    let issuer: String = members.required("iss")?;
    let pool = POOLS.iter().position(|pool| pool.issuer == issuer)?;
    let rules = POOLS.get(pool)?;
    let token_use = read_token_use(&members)?;
    let scope: String = members.optional("scope")?.unwrap_or_default();
    let (audience, client_id) = (read_audience(&members)?, members.optional("client_id")?);
    let forwarded = read_forwarded(&members)?;
    let claims = Claims {
        pool,
        token_use,
        sub: members.required("sub")?,
        client_id: match token_use {
            TokenUse::Access => client_id?,
            TokenUse::Id => audience?,
        },
        scopes: match token_use {
            TokenUse::Access => scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            TokenUse::Id => Vec::new(),
        },
        groups: read_groups(&members)?,
        issued_at: members.optional("iat")?,
        expires_at: members.required("exp")?,
        jti: members.optional("jti")?,
        origin_jti: members.optional("origin_jti")?,
        is_odd: forwarded.into_iter().flatten().any(is_odd),
        forwarded,
    };
    let is_alive = claims.is_alive(rules, members.optional("nbf")?, now);
    (is_alive && claims.meet(rules, policy)).then_some((rules, claims))
}

fn read_token_use(members: &Members<'_>) -> Option<TokenUse> {
    match members.required::<String>("token_use")?.as_str() {
        "access" => Some(TokenUse::Access),
        "id" => Some(TokenUse::Id),
        _ => None,
    }
}

/// Inside, nothing if it is absent or a list.
fn read_audience(members: &Members<'_>) -> Option<Option<String>> {
    match members.text("aud")? {
        Some(text) => parsed(text).map(Some).or_else(|| parsed::<Vec<String>>(text).map(|_| None)),
        None => Some(None),
    }
}

/// A list, or one name.
fn read_groups(members: &Members<'_>) -> Option<Vec<String>> {
    match members.text("cognito:groups")? {
        Some(text) => parsed(text).or_else(|| parsed(text).map(|name| vec![name])),
        None => Some(Vec::new()),
    }
}

/// The texts of the claims that are passed on.
fn read_forwarded<'t>(members: &Members<'t>) -> Option<[Option<&'t str>; FORWARDED.len()]> {
    let mut texts = [None; FORWARDED.len()];
    for (text, name) in texts.iter_mut().zip(FORWARDED) {
        *text = members.text(name)?;
    }
    Some(texts)
}

/// Whether a reader of values gives up on it, as deep in the document as it stands.
fn is_odd(text: &str) -> bool {
    parsed::<Value>(&format!("[{text}]")).is_none()
}

impl Claims<'_> {
    fn is_alive(&self, rules: &PoolRules, not_before: Option<UnixSeconds>, now: UnixSeconds) -> bool {
        let (exp, now, skew) = (i128::from(self.expires_at), i128::from(now), i128::from(rules.clock_skew));
        now < exp + skew
            && exp <= now + skew + i128::from(MAX_LIFETIME_SECONDS)
            && not_before.is_none_or(|nbf| i128::from(nbf) <= now + skew)
            && self.issued_at.is_none_or(|iat| iat <= self.expires_at)
            && now - i128::from(NOW) <= i128::from(MAX_STALE_SECONDS)
    }

    fn meet(&self, rules: &PoolRules, policy: &Policy) -> bool {
        let has_any = |wanted: &[Box<str>], found: &[String]| {
            wanted.is_empty() || found.iter().any(|found| wanted.iter().any(|wanted| **wanted == **found))
        };
        let is_wanted_use = match policy.token_use {
            TokenUseRule::Access => self.token_use == TokenUse::Access,
            TokenUseRule::Any => true,
            TokenUseRule::Id => self.token_use == TokenUse::Id,
        };
        is_wanted_use
            && policy.user_pools.iter().any(|name| **name == *rules.name)
            && (rules.clients.is_empty() || rules.clients.contains(&self.client_id.as_str()))
            && has_any(&policy.scopes_any, &self.scopes)
            && has_any(&policy.groups_any, &self.groups)
    }

    /// Checks that these are what the identity says.
    pub(super) fn assert_are_of(&self, identity: &Identity) {
        assert_eq!(POOLS.get(self.pool).map(|pool| pool.name), Some(&*identity.pool().name));
        assert_eq!(self.token_use, identity.token_use());
        assert_eq!(self.sub, identity.sub());
        assert_eq!(self.client_id, identity.client_id());
        assert!(identity.scopes().eq(&self.scopes), "{:?}", self.scopes);
        assert!(identity.groups().eq(&self.groups), "{:?}", self.groups);
        assert_eq!((self.issued_at, self.expires_at), (identity.issued_at(), identity.expires_at()));
        assert_eq!((self.jti.as_deref(), self.origin_jti.as_deref()), (identity.jti(), identity.origin_jti()));
        assert_eq!(self.forwarded.len(), identity.forwarded().len());
        for (text, value) in self.forwarded.iter().zip(identity.forwarded()) {
            assert!(is_said(*text, value.as_ref()), "{text:?} is passed on as {value:?}");
        }
    }
}

/// Whether a header value says what the JSON text of a claim says, and nothing that a server could read as more.
fn is_said(claim: Option<&str>, value: Option<&HeaderValue>) -> bool {
    let (claim, value) = match (claim, value) {
        (None | Some("null"), value) => return value.is_none(),
        (Some(claim), Some(value)) => (claim, value.to_str().unwrap_or("\n")),
        (Some(_), None) => return false,
    };
    let is_one_value = value.trim() == value && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let is_same = match parsed::<Vec<&RawValue>>(claim) {
        Some(elements) if elements.is_empty() => value.is_empty(),
        Some(elements) => {
            let parts: Vec<_> = value.split(',').collect();
            parts.len() == elements.len()
                && elements.iter().zip(parts).all(|(element, part)| is_element_said(element.get(), part))
        }
        None => is_element_said(claim, value),
    };
    is_one_value && is_same
}

/// A string stands for itself, a number or another word for its text, a list or an object for its JSON.
fn is_element_said(element: &str, part: &str) -> bool {
    let Some(part) = percent_decoded(part) else { return false };
    match (parsed::<String>(element), element.bytes().next()) {
        (Some(text), _) => part == text,
        (None, first @ Some(b'[' | b'{')) => {
            part.bytes().next() == first && parsed::<Value>(element) == parsed::<Value>(&part)
        }
        (None, _) => part == element,
    }
}

/// None if a `%` stands for itself.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
