//! `upstreams` and `resolver`, as written.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    health::{HealthCheckSection, OutlierSection},
    scalar::{FromScalar, Period, Scalar},
};
use crate::config::model::{ResolverConfig, UpstreamProtocol};

/// `upstreams.NAME`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct UpstreamSection {
    pub(in crate::config) endpoints: Option<Vec<EndpointSection>>,
    pub(in crate::config) dns: Option<Scalar<String>>,
    #[serde(default)]
    pub(in crate::config) balance: Scalar<BalanceWord>,
    pub(in crate::config) hash_on: Option<Scalar<String>>,
    pub(in crate::config) health_check: Option<HealthCheckSection>,
    #[serde(default)]
    pub(in crate::config) outlier: OutlierSection,
    #[serde(default)]
    pub(in crate::config) timeouts: TimeoutsSection,
    #[serde(default = "one")]
    pub(in crate::config) retries: Scalar<u64>,
    #[serde(default)]
    pub(in crate::config) protocol: Scalar<UpstreamProtocol>,
    pub(in crate::config) tls: Option<UpstreamTlsSection>,
}

const fn one() -> Scalar<u64> {
    Scalar(1)
}

/// `upstreams.NAME.endpoints[]`: an address alone, or a mapping.
pub(in crate::config) struct EndpointSection {
    pub(in crate::config) address: Scalar<String>,
    pub(in crate::config) weight: Scalar<u64>,
    /// Whether the address is below a key of its own: errors name the key that the file has.
    pub(in crate::config) is_mapping: bool,
}

/// `upstreams.NAME.balance`: the word alone. What `consistent_hash` tells requests apart by is in `hash_on`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::config) enum BalanceWord {
    ConsistentHash,
    LeastRequests,
    Random,
    #[default]
    RoundRobin,
}

/// `upstreams.NAME.timeouts`
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct TimeoutsSection {
    pub(in crate::config) connect: Scalar<Period>,
    pub(in crate::config) read: Scalar<Period>,
    pub(in crate::config) write: Scalar<Period>,
    pub(in crate::config) idle: Scalar<Period>,
}

impl Default for TimeoutsSection {
    fn default() -> Self {
        Self {
            connect: Scalar(Period::seconds(1)),
            read: Scalar(Period::seconds(30)),
            write: Scalar(Period::seconds(30)),
            idle: Scalar(Period::seconds(60)),
        }
    }
}

/// `upstreams.NAME.tls`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct UpstreamTlsSection {
    pub(in crate::config) server_name: Scalar<String>,
    pub(in crate::config) ca: Option<Scalar<String>>,
}

/// `resolver`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct ResolverSection {
    pub(in crate::config) servers: Vec<Scalar<String>>,
    pub(in crate::config) timeout: Scalar<Period>,
    pub(in crate::config) min_ttl: Scalar<Period>,
    pub(in crate::config) max_ttl: Scalar<Period>,
}

impl Default for ResolverSection {
    fn default() -> Self {
        let ResolverConfig { servers: _, timeout, min_ttl, max_ttl } = ResolverConfig::default();
        Self {
            servers: Vec::new(),
            timeout: Scalar(Period(timeout)),
            min_ttl: Scalar(Period(min_ttl)),
            max_ttl: Scalar(Period(max_ttl)),
        }
    }
}

impl FromScalar for BalanceWord {
    const EXPECTED: &'static str = "`round_robin`, `random`, `least_requests` or `consistent_hash`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "consistent_hash" => Some(Self::ConsistentHash),
            "least_requests" => Some(Self::LeastRequests),
            "random" => Some(Self::Random),
            "round_robin" => Some(Self::RoundRobin),
            _ => None,
        }
    }
}

impl FromScalar for UpstreamProtocol {
    const EXPECTED: &'static str = "`http1`, `http2` or `auto`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "auto" => Some(Self::Auto),
            "http1" => Some(Self::Http1),
            "http2" => Some(Self::Http2),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for EndpointSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointVisitor)
    }
}

struct EndpointVisitor;

/// An endpoint that has keys of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointMapping {
    address: Scalar<String>,
    #[serde(default = "one")]
    weight: Scalar<u64>,
}

impl<'de> Visitor<'de> for EndpointVisitor {
    type Value = EndpointSection;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an address, or a mapping with `address` and `weight`")
    }

    fn visit_str<E: Error>(self, address: &str) -> Result<EndpointSection, E> {
        Ok(EndpointSection { address: Scalar(address.to_owned()), weight: one(), is_mapping: false })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<EndpointSection, A::Error> {
        let EndpointMapping { address, weight } = Deserialize::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(EndpointSection { address, weight, is_mapping: true })
    }
}
