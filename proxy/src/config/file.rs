//! The configuration as written: one struct for each mapping of the file, one field for each key, defaults next to them.
//!
//! - An unknown key is refused where it stands, with the keys that are allowed there.
//! - A section has the shape that the file must have and nothing more: text that means something (an address, a path, a
//!   name) is still text. What it must obey, and what each key means, is in `convert` and `model`.
//! - A key that may be left out has its default here. It is optional in the struct only where "not said" differs from
//!   every value.

mod health;
mod limits;
mod listener;
mod rate;
mod revocation;
mod scalar;
mod telemetry;
mod upstream;

use std::fmt;

use cognigate_auth::{policy::TokenUseRule, pool::JwksPolicy};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor, value::MapAccessDeserializer},
};

pub(super) use health::{HealthCheckSection, OutlierSection};
pub(super) use limits::LimitsSection;
pub(super) use listener::{CertificateSection, ListenerSection, TlsSection};
pub(super) use rate::RateLimitSection;
pub(super) use revocation::{RedisSection, RevocationSection};
pub(super) use scalar::{ByteSize, Period, Scalar};
pub(super) use telemetry::{AccessLogSection, TracingSection};
pub(super) use upstream::{
    BalanceWord, EndpointSection, ResolverSection, TimeoutsSection, UpstreamSection, UpstreamTlsSection,
};

use super::model::{CertificateField, Profile};

/// A file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct ConfigSection {
    pub(super) listeners: Vec<ListenerSection>,
    pub(super) admin: AdminSection,
    pub(super) user_pools: Named<UserPoolSection>,
    pub(super) upstreams: Named<UpstreamSection>,
    pub(super) resolver: ResolverSection,
    pub(super) routes: Vec<RouteSection>,
    pub(super) token: TokenSection,
    pub(super) forwarded: ForwardedSection,
    pub(super) identity: IdentitySection,
    pub(super) token_cache: TokenCacheSection,
    pub(super) revocation: RevocationSection,
    pub(super) cors: Option<CorsSection>,
    pub(super) responses: ResponsesSection,
    pub(super) limits: LimitsSection,
    pub(super) access_log: Option<AccessLogSection>,
    pub(super) tracing: Option<TracingSection>,
    pub(super) server: ServerSection,
}

/// `admin`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct AdminSection {
    pub(super) address: Scalar<String>,
    pub(super) token_file: Option<Scalar<String>>,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { address: Scalar("127.0.0.1:9090".to_owned()), token_file: None }
    }
}

/// `user_pools.NAME`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct UserPoolSection {
    pub(super) id: Option<Scalar<String>>,
    pub(super) client_ids: Option<Vec<Scalar<String>>>,
    #[serde(default)]
    pub(super) any_client: Scalar<bool>,
    #[serde(default)]
    pub(super) additional_regions: Vec<Scalar<String>>,
    pub(super) issuer: Option<Scalar<String>>,
    pub(super) jwks_uri: Option<Scalar<String>>,
    #[serde(default)]
    pub(super) clock_skew: Scalar<Period>,
    #[serde(default)]
    pub(super) jwks: JwksSection,
}

/// `user_pools.NAME.jwks`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct JwksSection {
    pub(super) refresh: Scalar<Period>,
    pub(super) max_stale: Scalar<Period>,
    pub(super) timeout: Scalar<Period>,
    pub(super) state_file: Option<Scalar<String>>,
}

impl Default for JwksSection {
    fn default() -> Self {
        let JwksPolicy { refresh, max_stale, timeout } = JwksPolicy::default();
        Self {
            refresh: Scalar(Period(refresh)),
            max_stale: Scalar(Period(max_stale)),
            timeout: Scalar(Period(timeout)),
            state_file: None,
        }
    }
}

/// `routes[]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RouteSection {
    pub(super) name: Option<Scalar<String>>,
    #[serde(rename = "match")]
    pub(super) matches: MatchSection,
    pub(super) auth: Option<AuthSection>,
    pub(super) upstream: Scalar<String>,
    pub(super) rewrite: Option<Scalar<String>>,
    pub(super) timeout: Option<Scalar<Period>>,
    pub(super) rate_limit: Option<RateLimitSection>,
}

/// `routes[].match`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct MatchSection {
    pub(super) host: Option<Scalar<String>>,
    pub(super) path: Scalar<String>,
    pub(super) methods: Option<Vec<Scalar<String>>>,
}

/// `routes[].auth`: `none`, or a mapping.
pub(super) enum AuthSection {
    Open,
    Required(RequiredSection),
}

/// `routes[].auth` where it asks for a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequiredSection {
    pub(super) user_pools: Vec<Scalar<String>>,
    pub(super) token: Option<Scalar<TokenUseRule>>,
    pub(super) scopes_any: Option<Vec<Scalar<String>>>,
    pub(super) groups_any: Option<Vec<Scalar<String>>>,
}

/// `token`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct TokenSection {
    pub(super) sources: Vec<TokenSourceSection>,
    pub(super) forward: Scalar<bool>,
    pub(super) close_expired: Scalar<bool>,
}

impl Default for TokenSection {
    fn default() -> Self {
        let authorization = TokenSourceSection { header: Some(Scalar("authorization".to_owned())), cookie: None };
        Self { sources: vec![authorization], forward: Scalar(true), close_expired: Scalar(true) }
    }
}

/// `token.sources[]`: one of the keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct TokenSourceSection {
    pub(super) header: Option<Scalar<String>>,
    pub(super) cookie: Option<Scalar<String>>,
}

/// `forwarded`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct ForwardedSection {
    pub(super) trusted: Vec<Scalar<String>>,
}

/// `identity`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct IdentitySection {
    pub(super) headers: Named<Scalar<String>>,
    pub(super) client_certificate_headers: Named<Scalar<CertificateField>>,
}

/// `token_cache`
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct TokenCacheSection {
    pub(super) max_bytes: Scalar<ByteSize>,
}

impl Default for TokenCacheSection {
    fn default() -> Self {
        Self { max_bytes: Scalar(ByteSize::mebibytes(64)) }
    }
}

/// `cors`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct CorsSection {
    pub(super) allow_origins: Vec<Scalar<String>>,
    pub(super) allow_methods: Option<Vec<Scalar<String>>>,
    pub(super) allow_headers: Vec<Scalar<String>>,
    #[serde(default)]
    pub(super) expose_headers: Vec<Scalar<String>>,
    #[serde(default)]
    pub(super) allow_credentials: Scalar<bool>,
    #[serde(default = "ten_minutes")]
    pub(super) max_age: Scalar<Period>,
}

const fn ten_minutes() -> Scalar<Period> {
    Scalar(Period::seconds(10 * 60))
}

/// `responses`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct ResponsesSection {
    pub(super) profile: Scalar<Profile>,
}

impl Default for ResponsesSection {
    fn default() -> Self {
        Self { profile: Scalar(Profile::Rfc6750) }
    }
}

/// `server`
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(super) struct ServerSection {
    pub(super) threads: Scalar<u64>,
    pub(super) shutdown_grace: Scalar<Period>,
    pub(super) drain_delay: Scalar<Period>,
    pub(super) watch: Scalar<bool>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            threads: Scalar(0),
            shutdown_grace: Scalar(Period::seconds(30)),
            drain_delay: Scalar(Period::seconds(0)),
            watch: Scalar(true),
        }
    }
}

/// A mapping whose keys are names, in the order of the file. That none is there twice was checked before.
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(Self::default()))
    }
}

struct NamedVisitor<T>(Named<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Named<T>, A::Error> {
        let Self(Named(mut named)) = self;
        while let Some(entry) = entries.next_entry()? {
            named.push(entry);
        }
        Ok(Named(named))
    }
}

impl<'de> Deserialize<'de> for AuthSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

impl<'de> Visitor<'de> for AuthVisitor {
    type Value = AuthSection;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("`none`, or a mapping with `user_pools`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AuthSection, E> {
        match text {
            "none" => Ok(AuthSection::Open),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<AuthSection, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(entries)).map(AuthSection::Required)
    }
}
