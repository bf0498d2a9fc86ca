//! The claims of a Cognito token and their checks (RFC 7519 section 4.1; Cognito developer guide, "ID token", "Access token").
//!
//! - Text may be escaped (`"https:\/\/cognito-idp..."`), so strings are borrowed where they can be and owned where not.
//! - A claim that is read here has one type and appears once; every other claim is ignored.
//! - `exp` is a required integer. Not accepted on or after it, and none reaches further ahead than Cognito's longest token.
//! - `iat` is not held against this machine's clock: it says nothing that `exp` does not, and a clock that is a second
//!   behind would refuse every fresh token.
//!
//! Whether the claims are true is for the signature to say.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

use crate::{
    clock::UnixSeconds,
    json::{self, Kept, Text, present},
    policy::TokenUse,
    rejection::Rejection,
};

/// The longest life of a Cognito token, a day, and five minutes for clocks that differ.
const MAX_LIFETIME_SECONDS: u64 = 24 * 60 * 60 + 5 * 60;

/// The claims that a verdict depends on.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims<'a> {
    /// The exact issuer.
    #[serde(borrow)]
    pub(crate) iss: Cow<'a, str>,
    /// The caller: a user's id or, in a client credentials token, the client's.
    #[serde(borrow)]
    pub(crate) sub: Cow<'a, str>,
    #[serde(borrow)]
    token_use: Cow<'a, str>,
    exp: UnixSeconds,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<UnixSeconds>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<UnixSeconds>,
    #[serde(default, borrow)]
    aud: Audience<'a>,
    #[serde(default, borrow, deserialize_with = "present")]
    client_id: Option<Text<'a>>,
    /// Space-separated scopes (RFC 6749 section 3.3).
    #[serde(default, borrow)]
    pub(crate) scope: Cow<'a, str>,
    /// The names of the groups that the user is in.
    #[serde(default, borrow, rename = "cognito:groups")]
    pub(crate) groups: Groups<'a>,
    /// The id of this token.
    #[serde(default, borrow, deserialize_with = "present")]
    pub(crate) jti: Option<Text<'a>>,
    /// The id of the session, the same in every token that it is refreshed to.
    #[serde(default, borrow, deserialize_with = "present")]
    pub(crate) origin_jti: Option<Text<'a>>,
}

/// Who calls, as far as it can be said before the signature is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) token_use: TokenUse,
    pub(crate) client_id: &'a str,
}

impl<'a> Claims<'a> {
    /// Reads the JSON text of a payload.
    ///
    /// # Errors
    ///
    /// serde's, which may name values.
    pub(crate) fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        json::object(json)
    }

    /// Reads the JSON text of a payload, and keeps the texts of the claims of these names.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse), in other words.
    pub(crate) fn parse_keeping<'n>(
        json: &'a str,
        names: &'n [Box<str>],
    ) -> Result<(Self, Kept<'n, 'a>), serde_json::Error> {
        Kept::read(json, names)
    }

    /// The kind of token and its app client: `aud`, one string, of an ID token, `client_id` of an access token (whose
    /// `aud`, if any, is a resource).
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenUseMismatch`] for a kind that Cognito does not issue, [`Rejection::TokenMalformed`] if the client
    /// is not named.
    pub(crate) fn caller(&self) -> Result<Caller<'_>, Rejection> {
        let (token_use, client_id) = match &*self.token_use {
            "access" => (TokenUse::Access, self.client_id.as_ref().map(Text::as_ref)),
            "id" => (TokenUse::Id, self.aud.client()),
            _ => return Err(Rejection::TokenUseMismatch),
        };
        let client_id = client_id.ok_or(Rejection::TokenMalformed)?;
        Ok(Caller { token_use, client_id })
    }

    /// The claims that [`caller`](Self::caller) looks at.
    pub(crate) fn compared_kind(&self) -> String {
        let Self { token_use, aud, client_id, .. } = self;
        let client_id = client_id.as_ref().map_or("absent".to_owned(), |client| format!("{:?}", client.0));
        let aud = match aud {
            Audience::Absent => "absent".to_owned(),
            Audience::Client(client) => format!("{:?}", client.0),
            Audience::Several => "a list".to_owned(),
        };
        format!("{token_use:?}; aud {aud} (of an id token, one string), client_id {client_id} (of an access token)")
    }

    /// When the token is alive.
    pub(crate) const fn lifetime(&self) -> Lifetime {
        Lifetime { issued_at: self.iat, not_before: self.nbf, expires_at: self.exp }
    }
}

/// When a token is alive. Remembered with it, so that a clock that is set back finds the same rules as the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) issued_at: Option<UnixSeconds>,
    not_before: Option<UnixSeconds>,
    pub(crate) expires_at: UnixSeconds,
}

impl Lifetime {
    /// Whether the token is alive.
    ///
    /// # Errors
    ///
    /// [`Rejection::TokenExpired`], [`Rejection::TokenNotYetValid`], and [`Rejection::TokenMalformed`] for times that
    /// Cognito does not issue.
    pub(crate) fn check(self, now: UnixSeconds, skew: u64) -> Result<(), Rejection> {
        if self.is_over(now, skew) {
            return Err(Rejection::TokenExpired);
        }
        if self.not_before.is_some_and(|nbf| nbf > now.saturating_add(skew)) {
            return Err(Rejection::TokenNotYetValid);
        }
        if self.expires_at > Self::furthest(now, skew) || self.issued_at.is_some_and(|iat| iat > self.expires_at) {
            return Err(Rejection::TokenMalformed);
        }
        Ok(())
    }

    /// The times that [`check`](Self::check) compares.
    pub(crate) fn compared(self, now: UnixSeconds, skew: Duration) -> String {
        let Self { issued_at, not_before, expires_at } = self;
        let optional = |time: Option<UnixSeconds>| time.map_or_else(|| "absent".to_owned(), |time| time.to_string());
        let (iat, nbf) = (optional(issued_at), optional(not_before));
        let remark = match issued_at {
            Some(iat) if iat > now => {
                format!("; issued {} s in the future: is this machine's clock behind?", iat - now)
            }
            _ if self.is_over(now, skew.as_secs()) => format!("; expired {} s ago", now - expires_at),
            Some(iat) if iat > expires_at => "; issued after it expires".to_owned(),
            _ if expires_at > Self::furthest(now, skew.as_secs()) => {
                format!("; more than {MAX_LIFETIME_SECONDS} s ahead, longer than Cognito's tokens live")
            }
            _ => String::new(),
        };
        format!("exp {expires_at}, nbf {nbf}, iat {iat}; the time is {now}, clock_skew {skew:?}{remark}")
    }

    /// The last moment at which a token that was issued now could die.
    const fn furthest(now: UnixSeconds, skew: u64) -> UnixSeconds {
        now.saturating_add(MAX_LIFETIME_SECONDS).saturating_add(skew)
    }

    /// Whether the token has died.
    pub(crate) const fn is_over(self, now: UnixSeconds, skew: u64) -> bool {
        is_expired(now, self.expires_at, skew)
    }
}

/// Whether `exp` has passed (RFC 7519 section 4.1.4: not accepted on or after `exp`).
const fn is_expired(now: UnixSeconds, exp: UnixSeconds, skew: u64) -> bool {
    exp.saturating_add(skew) <= now
}

/// `aud`, a string or a list of strings (RFC 7519 section 4.1.3). The client of an ID token is never a list; what an access
/// token names there are resources.
#[derive(Debug, Default)]
enum Audience<'a> {
    #[default]
    Absent,
    Client(Text<'a>),
    Several,
}

impl Audience<'_> {
    fn client(&self) -> Option<&str> {
        match self {
            Self::Client(client) => Some(client.as_ref()),
            Self::Absent | Self::Several => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Audience<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(StringsVisitor)? {
            Strings::One(client) => Self::Client(client),
            Strings::Several(_) => Self::Several,
        })
    }
}

/// `cognito:groups`: a list of names, or one name where a pre-token-generation trigger made it a string.
#[derive(Debug, Default)]
pub(crate) struct Groups<'a>(pub(crate) Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Groups<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(StringsVisitor)? {
            Strings::One(name) => Self(vec![name]),
            Strings::Several(names) => Self(names),
        })
    }
}

/// A string, or a list of strings.
enum Strings<'a> {
    One(Text<'a>),
    Several(Vec<Text<'a>>),
}

struct StringsVisitor;

impl<'de> Visitor<'de> for StringsVisitor {
    type Value = Strings<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Strings<'de>, E> {
        Ok(Strings::One(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Strings<'de>, E> {
        Ok(Strings::One(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Strings<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = elements.next_element()? {
            texts.push(text);
        }
        Ok(Strings::Several(texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = r#""iss":"https:\/\/i","sub":"s","token_use":"id","exp":1000,"aud":"c""#;

    fn parse(extra: &str) -> Result<(String, Vec<String>), Rejection> {
        let json = format!("{{{ID}{extra}}}");
        let claims = Claims::parse(&json).map_err(|_| Rejection::TokenMalformed)?;
        let groups = claims.groups.0.into_iter().map(|group| group.0.into_owned());
        Ok((claims.iss.into_owned(), groups.collect()))
    }

    #[test]
    fn escaped_slashes_and_unknown_claims_are_read() {
        let (iss, groups) = parse(r#","cognito:groups":["a","b"],"custom:x":{"deep":[1,{"y":null}]}"#).unwrap();
        assert_eq!(iss, "https://i");
        assert_eq!(groups, ["a", "b"]);
    }

    #[test]
    fn one_group_may_be_a_string() {
        assert_eq!(parse(r#","cognito:groups":"admins""#).unwrap().1, ["admins"]);
    }

    #[test]
    fn a_wrong_type_a_duplicate_and_a_missing_claim_are_malformed() {
        for extra in [
            r#","nbf":"5""#,
            r#","nbf":null"#,
            r#","iat":1.5"#,
            r#","exp":2000"#,
            r#","iss":"https://i""#,
            r#","cognito:groups":{"a":1}"#,
            r#","cognito:groups":[1]"#,
            r#","scope":["a"]"#,
        ] {
            assert_eq!(parse(extra).err(), Some(Rejection::TokenMalformed), "{extra}");
        }
        for missing in ["iss", "sub", "token_use", "exp"] {
            let json = format!("{{{ID}}}").replace(&format!("\"{missing}\""), "\"other\"");
            assert!(Claims::parse(&json).is_err(), "{missing}");
        }
    }

    #[test]
    fn claims_are_an_object() {
        let in_order_of_the_fields = r#"["https://i","s","id",1000,null,null,"c","c","",[],"j","o"]"#;
        for json in [in_order_of_the_fields, "null", "\"{}\"", ""] {
            assert!(Claims::parse(json).is_err(), "{json}");
        }
    }

    #[test]
    fn rfc7519_2_exp_is_an_integer() {
        for exp in ["\"1000\"", "1000.0", "1e3", "-1", "18446744073709551616", "null", "true"] {
            let json = format!("{{{ID}}}").replace("1000", exp);
            assert!(Claims::parse(&json).is_err(), "{exp}");
        }
    }

    #[test]
    fn the_client_is_aud_of_an_id_token_and_client_id_of_an_access_token() {
        for (token_use, clients, expected) in [
            ("id", r#""aud":"c""#, Ok("c")),
            ("id", r#""aud":["c"]"#, Err(Rejection::TokenMalformed)),
            ("id", r#""client_id":"c""#, Err(Rejection::TokenMalformed)),
            ("access", r#""client_id":"c""#, Ok("c")),
            ("access", r#""client_id":"c","aud":["https://api"]"#, Ok("c")),
            ("access", r#""aud":"c""#, Err(Rejection::TokenMalformed)),
            ("refresh", r#""aud":"c","client_id":"c""#, Err(Rejection::TokenUseMismatch)),
        ] {
            let json = format!(r#"{{"iss":"i","sub":"s","exp":1,"token_use":"{token_use}",{clients}}}"#);
            let claims = Claims::parse(&json).unwrap();
            assert_eq!(claims.caller().map(|caller| caller.client_id), expected, "{json}");
        }
    }

    #[test]
    fn rfc7519_4_1_4_exp() {
        for (case, exp, expired) in
            [("inside skew", 971, false), ("end of skew", 970, true), ("no overflow", u64::MAX, false)]
        {
            assert_eq!(is_expired(1_000, exp, 30), expired, "{case}");
        }
    }

    #[test]
    fn times_that_cognito_does_not_issue_are_malformed() {
        let day = MAX_LIFETIME_SECONDS;
        for (case, exp, extra, expected) in [
            ("alive", 1_001, String::new(), Ok(())),
            ("dead", 1_000, String::new(), Err(Rejection::TokenExpired)),
            ("the longest life", 1_000 + day, String::new(), Ok(())),
            ("longer than the longest", 1_001 + day, String::new(), Err(Rejection::TokenMalformed)),
            ("for ever", u64::MAX, String::new(), Err(Rejection::TokenMalformed)),
            ("not yet", 1_900, r#","nbf":1001"#.to_owned(), Err(Rejection::TokenNotYetValid)),
            ("now", 1_900, r#","nbf":1000"#.to_owned(), Ok(())),
            ("issued after it died", 1_900, r#","iat":1901"#.to_owned(), Err(Rejection::TokenMalformed)),
            ("issued by a clock ahead of ours", 1_900, r#","iat":1001"#.to_owned(), Ok(())),
        ] {
            let json = format!(r#"{{"iss":"i","sub":"s","token_use":"id","aud":"c","exp":{exp}{extra}}}"#);
            assert_eq!(Claims::parse(&json).unwrap().lifetime().check(1_000, 0), expected, "{case}");
        }
    }
}
