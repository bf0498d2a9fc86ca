//! User pools and their issuers: types whose values prove that they were checked.
//!
//! A pool id names its region, and region and id together name the issuer, which is where the signing keys are.
//! Rules (Cognito developer guide, "Verifying a JSON web token"; service model of `cognito-idp`):
//!
//! - a pool id is `<region>_<suffix>`, at most 55 bytes; the suffix is letters and digits
//! - the issuer is `https://cognito-idp.<region>.<partition suffix>/<pool id>`, compared byte for byte
//! - the keys are at `<issuer>/.well-known/jwks.json`, whatever custom domain the pool has
//!
//! This module does not fetch anything.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;
use url::{Host, Url};

/// The longest pool id that Cognito issues, in bytes.
const MAX_POOL_ID_BYTES: usize = 55;

/// A Cognito user pool id such as `eu-west-1_AbC123xyz`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolId(Box<str>);

/// The text is not a user pool id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a user pool id (a region, an underscore, letters and digits: eu-west-1_AbC123xyz; at most 55 bytes)"
)]
pub struct InvalidPoolId(String);

impl FromStr for PoolId {
    type Err = InvalidPoolId;

    fn from_str(text: &str) -> Result<Self, InvalidPoolId> {
        match text.split_once('_') {
            Some((region, suffix)) if text.len() <= MAX_POOL_ID_BYTES && is_region(region) && is_suffix(suffix) => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidPoolId(text.to_owned())),
        }
    }
}

impl PoolId {
    /// The issuer of the pool's tokens in the partition of its region: `IssuerConfiguration.Type` `ORIGINAL`.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        self.issuer_at("cognito-idp", self.region())
    }

    /// The issuer of its tokens once it is set to `UPDATED`: the same in every region that it is replicated to.
    #[must_use]
    pub fn updated_issuer(&self) -> Issuer {
        self.issuer_at("issuer-cognito-idp", self.region())
    }

    /// The issuer of the tokens that a replica in another region issues while the pool is set to `ORIGINAL`.
    #[must_use]
    pub fn replica_issuer(&self, region: &Region) -> Issuer {
        self.issuer_at("cognito-idp", &region.0)
    }

    fn issuer_at(&self, service: &str, region: &str) -> Issuer {
        Issuer(format!("https://{service}.{region}.{}/{}", partition_suffix(region), self.0).into())
    }

    fn region(&self) -> &str {
        self.0.split_once('_').map_or("", |(region, _)| region)
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An AWS region such as `eu-west-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Region(Box<str>);

/// The text is not a region.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a region (words of small letters and a number: eu-west-1, us-gov-east-1)")]
pub struct InvalidRegion(String);

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, InvalidRegion> {
        if is_region(text) { Ok(Self(text.into())) } else { Err(InvalidRegion(text.to_owned())) }
    }
}

/// `us-gov-east-1`, `eu-west-1`, `eusc-de-east-1`: words of small letters, then a number.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<_> = parts.collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (2..=3).contains(&words.len()) && words.iter().all(is_word)
}

fn is_suffix(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// DNS suffixes of the AWS partitions (botocore's `partitions.json`).
fn partition_suffix(region: &str) -> &'static str {
    let mut words = region.split('-');
    match (words.next(), words.next()) {
        (Some("cn"), _) => "amazonaws.com.cn",
        (Some("eusc"), _) => "amazonaws.eu",
        (_, Some("iso")) => "c2s.ic.gov",
        (_, Some("isob")) => "sc2s.sgov.gov",
        (_, Some("isoe")) => "cloud.adc-e.uk",
        (_, Some("isof")) => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// The exact `iss` of a pool's tokens. Compared byte for byte, never normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer(Box<str>);

impl Issuer {
    /// The issuer as it stands in `iss`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the issuer publishes its keys: `<issuer>/.well-known/jwks.json`.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer is so long or odd that the address is no URL.
    pub fn jwks_uri(&self) -> Result<JwksUri, InvalidEndpoint> {
        format!("{}/.well-known/jwks.json", self.0.trim_end_matches('/')).parse()
    }
}

impl FromStr for Issuer {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = endpoint(text)?;
        match url.query() {
            Some(_) => Err(InvalidEndpoint::new(text, "an issuer has no query")),
            None => Ok(Self(text.into())),
        }
    }
}

/// Where a key set is fetched from: `https`, or plain `http` on loopback only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JwksUri(Url);

impl JwksUri {
    /// The address, ready to be fetched.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is plain `http`, and so must not leave this machine.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl FromStr for JwksUri {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        endpoint(text).map(Self)
    }
}

/// The text is not an address that keys may be trusted from.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found:?}: {rule}")]
pub struct InvalidEndpoint {
    found: String,
    rule: &'static str,
}

impl InvalidEndpoint {
    fn new(found: &str, rule: &'static str) -> Self {
        Self { found: found.to_owned(), rule }
    }
}

fn endpoint(text: &str) -> Result<Url, InvalidEndpoint> {
    // The parser skips what cannot be seen, and the text counts as it stands.
    if text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(InvalidEndpoint::new(text, "a URL has no white space, control characters or letters beyond ASCII"));
    }
    let url = Url::parse(text).map_err(|_| InvalidEndpoint::new(text, "not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        // What was found may hold a password, so it is not repeated.
        return Err(InvalidEndpoint::new("...", "a user name, a password or a fragment is not allowed in a URL"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(InvalidEndpoint::new(text, "only https is allowed (plain http on loopback only)")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Which app clients of a pool may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRule {
    /// Any client of the pool: said out loud with `any_client: true`.
    Any,
    /// These client ids only.
    Listed(Box<[Box<str>]>),
}

impl ClientRule {
    /// Whether tokens of this client pass.
    #[must_use]
    pub fn admits(&self, client_id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(ids) => ids.iter().any(|id| **id == *client_id),
        }
    }
}

/// How the keys of a pool are kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JwksPolicy {
    /// Time between two fetches, spread by a fifth either way. Default 5 minutes, at least 1 second.
    pub refresh: Duration,
    /// How old keys may grow while fetches fail before they decide nothing any more. Default 24 hours.
    pub max_stale: Duration,
    /// Bound of one fetch from connect to last byte. Default 3 seconds.
    pub timeout: Duration,
}

impl Default for JwksPolicy {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(5 * 60),
            max_stale: Duration::from_secs(24 * 60 * 60),
            timeout: Duration::from_secs(3),
        }
    }
}

/// An issuer and where its keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerEndpoint {
    /// The exact `iss` of its tokens.
    pub issuer: Issuer,
    /// Where its keys are.
    pub jwks_uri: JwksUri,
}

/// A pool whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPool {
    /// The name that routes call it by.
    pub name: Box<str>,
    /// The exact `iss` of its tokens.
    pub issuer: Issuer,
    /// Where its keys are.
    pub jwks_uri: JwksUri,
    /// Who else issues its tokens: the other form of its issuer, its replicas. They may or may not publish keys.
    pub alternatives: Box<[IssuerEndpoint]>,
    /// Its app clients that may call.
    pub clients: ClientRule,
    /// How far this machine's clock may be behind or ahead of Cognito's. Default 0, at most 5 minutes.
    pub clock_skew: Duration,
    /// How its keys are kept fresh.
    pub jwks: JwksPolicy,
}

impl UserPool {
    /// A pool with one issuer, whose keys are where it says, and every default.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer's keys have no address.
    pub fn new(name: impl Into<Box<str>>, issuer: Issuer, clients: ClientRule) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            name: name.into(),
            jwks_uri: issuer.jwks_uri()?,
            issuer,
            alternatives: Box::default(),
            clients,
            clock_skew: Duration::ZERO,
            jwks: JwksPolicy::default(),
        })
    }

    /// Everyone who issues its tokens; the first is the pool's own issuer.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = IssuerEndpoint> {
        let own = IssuerEndpoint { issuer: self.issuer.clone(), jwks_uri: self.jwks_uri.clone() };
        std::iter::once(own).chain(self.alternatives.iter().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_id_names_its_issuer_in_every_partition() {
        for (id, issuer) in [
            ("eu-west-1_AbC123xyz", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123xyz"),
            ("us-gov-west-1_x1", "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_x1"),
            ("cn-north-1_x1", "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_x1"),
            ("eusc-de-east-1_x1", "https://cognito-idp.eusc-de-east-1.amazonaws.eu/eusc-de-east-1_x1"),
            ("us-iso-east-1_x1", "https://cognito-idp.us-iso-east-1.c2s.ic.gov/us-iso-east-1_x1"),
            ("us-isob-east-1_x1", "https://cognito-idp.us-isob-east-1.sc2s.sgov.gov/us-isob-east-1_x1"),
            ("eu-isoe-west-1_x1", "https://cognito-idp.eu-isoe-west-1.cloud.adc-e.uk/eu-isoe-west-1_x1"),
            ("us-isof-south-1_x1", "https://cognito-idp.us-isof-south-1.csp.hci.ic.gov/us-isof-south-1_x1"),
            ("ap-southeast-12_x1", "https://cognito-idp.ap-southeast-12.amazonaws.com/ap-southeast-12_x1"),
        ] {
            assert_eq!(id.parse::<PoolId>().unwrap().issuer().as_str(), issuer, "{id}");
        }
    }

    #[test]
    fn a_pool_has_another_issuer_for_each_way_to_replicate_it() {
        let id: PoolId = "us-east-1_x1".parse().unwrap();
        let region: Region = "us-west-2".parse().unwrap();
        assert_eq!(id.updated_issuer().as_str(), "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_x1");
        assert_eq!(id.replica_issuer(&region).as_str(), "https://cognito-idp.us-west-2.amazonaws.com/us-east-1_x1");
        assert!("us-west".parse::<Region>().is_err());
    }

    #[test]
    fn what_is_not_a_pool_id_is_refused() {
        let long = format!("eu-west-1_{}", "a".repeat(46));
        for text in ["", "_", "eu-west-1", "eu-west-1_", "eu-west-1_a/b", "eu_west-1_a", "1_a", "EU-west-1_a", &long] {
            assert!(text.parse::<PoolId>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_come_over_https_or_loopback() {
        for good in
            ["https://keys.internal/jwks.json", "http://127.0.0.1:9229/p/k", "http://[::1]:1/", "http://localhost/"]
        {
            assert!(good.parse::<JwksUri>().is_ok(), "{good}");
        }
        for bad in
            ["http://10.0.0.1/k", "http://localhost.evil.example/k", "ftp://127.0.0.1/", "jwks.json", "https://u:p@h/"]
        {
            assert!(bad.parse::<JwksUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_parser_of_urls_would_skip_is_refused() {
        for text in
            ["https://a.example/p\n", " https://a.example/", "https://a.exa\tmple/", "https://caf\u{e9}.example/"]
        {
            assert!(text.parse::<Issuer>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = "https://user:secret@host/".parse::<JwksUri>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn an_issuer_is_kept_as_written() {
        let issuer: Issuer = "http://127.0.0.1:9229/Pool".parse().unwrap();
        assert_eq!(issuer.as_str(), "http://127.0.0.1:9229/Pool");
        assert_eq!(issuer.jwks_uri().unwrap().as_str(), "http://127.0.0.1:9229/Pool/.well-known/jwks.json");
    }
}
