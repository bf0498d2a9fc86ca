//! `upstreams` and `resolver`: where requests go.

use std::{collections::HashSet, net::SocketAddr, ops::RangeInclusive};

use http::HeaderName;
use rustls::pki_types::ServerName;

use super::{NamedFiles, address, check_name, health, where_given};
use crate::config::{
    file::{
        BalanceWord, EndpointSection, Named, Period, ResolverSection, Scalar, TimeoutsSection, UpstreamSection,
        UpstreamTlsSection,
    },
    finding::At,
    model::{
        Balance, EndpointConfig, Endpoints, HashOn, ResolverConfig, TimeoutsConfig, UpstreamConfig, UpstreamProtocol,
        UpstreamTlsConfig,
    },
    rule::BrokenRule,
};

/// How many `endpoints` an upstream may have, as many as addresses of a name are used: their turns are worked out beforehand.
const ENDPOINTS: RangeInclusive<usize> = 0..=256;

/// The share of an endpoint. Weights are counted out one by one, so that they need a bound.
const WEIGHT: RangeInclusive<u64> = 0..=256;

/// Each time in `timeouts`: 0 would be no time at all, and more than a day no bound.
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(1)..=Period::hours(24);

/// `retries`. More would make one request many.
const RETRIES: RangeInclusive<u64> = 0..=5;

/// How many `servers` of `resolver` there may be: each may cost its `timeout`.
const NAME_SERVERS: RangeInclusive<usize> = 0..=8;

/// `resolver.timeout`
const RESOLVER_TIMEOUT: RangeInclusive<Period> = Period::milliseconds(100)..=Period::seconds(60);

/// `resolver.min_ttl`
const MIN_TTL: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(1);

/// `resolver.max_ttl`
const MAX_TTL: RangeInclusive<Period> = Period::milliseconds(100)..=Period::hours(24);

/// What `hash_on` writes before the name of a header.
const HEADER: &str = "header:";

pub(super) fn upstreams(
    Named(sections): Named<UpstreamSection>,
    files: &mut NamedFiles,
    at: &At<'_>,
) -> Vec<UpstreamConfig> {
    let upstream = |(name, section): (String, UpstreamSection)| upstream(&name, section, files, &at.field(&name));
    sections.into_iter().filter_map(upstream).collect()
}

fn upstream(name: &str, section: UpstreamSection, files: &mut NamedFiles, at: &At<'_>) -> Option<UpstreamConfig> {
    let UpstreamSection {
        endpoints: endpoint_sections,
        dns,
        balance: Scalar(word),
        hash_on,
        health_check,
        outlier,
        timeouts: timeouts_section,
        retries: Scalar(retries),
        protocol: Scalar(protocol),
        tls: tls_section,
    } = section;
    check_name(name, at);
    let endpoints = servers(endpoint_sections, dns, at);
    let balance = balance(word, hash_on, &at.field("hash_on"));
    let health_check = health_check.map(|section| health::check(section, &at.field("health_check")));
    let outlier = health::outlier(outlier, &at.field("outlier"));
    let timeouts = timeouts(timeouts_section, &at.field("timeouts"));
    let retries = at.field("retries").within(retries, &RETRIES);
    if protocol == UpstreamProtocol::Auto && tls_section.is_none() {
        at.field("protocol").report(BrokenRule::ProtocolNeedsTls);
    }
    let tls = tls_section.map(|section| upstream_tls(section, files, &at.field("tls")));
    Some(UpstreamConfig {
        name: name.into(),
        endpoints: endpoints?,
        balance: balance?,
        health_check: where_given(health_check)?,
        outlier: outlier?,
        timeouts: timeouts?,
        retries: usize::try_from(retries?).ok()?,
        protocol,
        tls: where_given(tls)?,
    })
}

fn servers(listed: Option<Vec<EndpointSection>>, dns: Option<Scalar<String>>, at: &At<'_>) -> Option<Endpoints> {
    match (listed, dns) {
        (Some(listed), None) => Some(Endpoints::Listed(endpoints(listed, &at.field("endpoints")))),
        (None, Some(Scalar(name))) => at.field("dns").accept(name.parse()).map(Endpoints::Discovered),
        (Some(_), Some(_)) => at.refuse(BrokenRule::EndpointsContradict),
        (None, None) => at.refuse(BrokenRule::EndpointsMissing),
    }
}

fn balance(word: BalanceWord, hash_on: Option<Scalar<String>>, at: &At<'_>) -> Option<Balance> {
    let balance = match (word, hash_on) {
        (BalanceWord::ConsistentHash, Some(Scalar(key))) => return hash_key(key, at).map(Balance::ConsistentHash),
        (BalanceWord::ConsistentHash, None) => return at.refuse(BrokenRule::HashKeyMissing),
        (BalanceWord::LeastRequests | BalanceWord::Random | BalanceWord::RoundRobin, Some(_)) => {
            return at.refuse(BrokenRule::HashKeyUnused);
        }
        (BalanceWord::LeastRequests, None) => Balance::LeastRequests,
        (BalanceWord::Random, None) => Balance::Random,
        (BalanceWord::RoundRobin, None) => Balance::RoundRobin,
    };
    Some(balance)
}

fn hash_key(key: String, at: &At<'_>) -> Option<HashOn> {
    match (key.as_str(), key.strip_prefix(HEADER)) {
        ("source_ip", _) => Some(HashOn::SourceIp),
        ("sub", _) => Some(HashOn::Sub),
        (_, Some(name)) => {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BrokenRule::HeaderName(name.to_owned()));
            at.accept(name).map(HashOn::Header)
        }
        (_, None) => at.refuse(BrokenRule::HashKey(key)),
    }
}

fn upstream_tls(section: UpstreamTlsSection, files: &mut NamedFiles, at: &At<'_>) -> Option<UpstreamTlsConfig> {
    let UpstreamTlsSection { server_name: Scalar(server_name), ca } = section;
    // An empty name would turn verification off, and for one with `_` Pingora verifies another.
    let name = match ServerName::try_from(server_name.as_str()) {
        Ok(_) if !server_name.contains('_') => Some(server_name.into_boxed_str()),
        Ok(_) | Err(_) => at.field("server_name").refuse(BrokenRule::ServerName(server_name)),
    };
    let ca = files.read_where_given(ca, &at.field("ca"));
    Some(UpstreamTlsConfig { server_name: name?, ca: ca? })
}

fn endpoints(sections: Vec<EndpointSection>, at: &At<'_>) -> Vec<EndpointConfig> {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    } else if sections.iter().all(|section| section.weight.0 == 0) {
        at.report(BrokenRule::WeightsAllZero);
    }
    at.within(sections.len(), &ENDPOINTS);
    let mut seen = HashSet::new();
    let endpoint = |(index, section)| endpoint(section, &mut seen, &at.item(index));
    sections.into_iter().enumerate().filter_map(endpoint).collect()
}

fn endpoint(section: EndpointSection, seen: &mut HashSet<SocketAddr>, at: &At<'_>) -> Option<EndpointConfig> {
    let EndpointSection { address: Scalar(text), weight: Scalar(weight), is_mapping } = section;
    let own_key = at.field("address");
    let weight = at.field("weight").within(weight, &WEIGHT);
    let address = peer(&text, seen, if is_mapping { &own_key } else { at });
    Some(EndpointConfig { address: address?, weight: u32::try_from(weight?).ok()? })
}

/// An address that can be connected to and that is not in the list yet.
fn peer(text: &str, seen: &mut HashSet<SocketAddr>, at: &At<'_>) -> Option<SocketAddr> {
    let address = address(text, at)?;
    if address.port() == 0 {
        return at.refuse(BrokenRule::PortZero(address));
    }
    match seen.insert(address) {
        true => Some(address),
        false => at.refuse(BrokenRule::Duplicate(address.to_string())),
    }
}

fn timeouts(section: TimeoutsSection, at: &At<'_>) -> Option<TimeoutsConfig> {
    let TimeoutsSection { connect: Scalar(connect), read: Scalar(read), write: Scalar(write), idle: Scalar(idle) } =
        section;
    let connect = at.field("connect").within(connect, &TIMEOUT);
    let read = at.field("read").within(read, &TIMEOUT);
    let write = at.field("write").within(write, &TIMEOUT);
    let idle = at.field("idle").within(idle, &TIMEOUT);
    Some(TimeoutsConfig { connect: connect?.0, read: read?.0, write: write?.0, idle: idle?.0 })
}

pub(super) fn resolver(section: ResolverSection, at: &At<'_>) -> Option<ResolverConfig> {
    let ResolverSection { servers, timeout: Scalar(timeout), min_ttl: Scalar(min_ttl), max_ttl: Scalar(max_ttl) } =
        section;
    let servers_at = at.field("servers");
    let count = servers_at.within(servers.len(), &NAME_SERVERS);
    let mut seen = HashSet::new();
    let server = |(index, Scalar(text)): (usize, Scalar<String>)| peer(&text, &mut seen, &servers_at.item(index));
    let servers = servers.into_iter().enumerate().filter_map(server).collect();
    let timeout = at.field("timeout").within(timeout, &RESOLVER_TIMEOUT);
    let min_ttl = at.field("min_ttl").within(min_ttl, &MIN_TTL);
    let max_ttl = at.field("max_ttl").within(max_ttl, &MAX_TTL);
    let (min_ttl, max_ttl) = (min_ttl?, max_ttl?);
    if max_ttl < min_ttl {
        let (found, least) = (max_ttl.to_string(), min_ttl.to_string());
        at.field("max_ttl").report(BrokenRule::LessThanKey { found, key: "min_ttl", least });
    }
    count.and(timeout).map(|timeout| ResolverConfig {
        servers,
        timeout: timeout.0,
        min_ttl: min_ttl.0,
        max_ttl: max_ttl.0,
    })
}
