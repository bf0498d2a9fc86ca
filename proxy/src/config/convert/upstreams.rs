//! `upstreams`: where requests go.

use std::{collections::HashSet, net::SocketAddr, ops::RangeInclusive, path::Path};

use rustls::pki_types::ServerName;

use super::{address, check_name};
use crate::config::{
    file::{EndpointSection, Named, Period, Scalar, TimeoutsSection, UpstreamSection, UpstreamTlsSection},
    finding::At,
    model::{EndpointConfig, TimeoutsConfig, UpstreamConfig, UpstreamProtocol, UpstreamTlsConfig},
    rule::BrokenRule,
};

/// The share of an endpoint. Weights are counted out one by one, so that they need a bound.
const WEIGHT: RangeInclusive<u64> = 0..=256;

/// Each time in `timeouts`: 0 would be no time at all, and more than a day no bound.
const TIMEOUT: RangeInclusive<Period> = Period::milliseconds(1)..=Period::hours(24);

pub(super) fn upstreams(Named(sections): Named<UpstreamSection>, folder: &Path, at: &At<'_>) -> Vec<UpstreamConfig> {
    let upstream = |(name, section): (String, UpstreamSection)| upstream(&name, section, folder, &at.field(&name));
    sections.into_iter().filter_map(upstream).collect()
}

fn upstream(name: &str, section: UpstreamSection, folder: &Path, at: &At<'_>) -> Option<UpstreamConfig> {
    let UpstreamSection {
        endpoints: endpoint_sections,
        balance: Scalar(balance),
        timeouts: timeouts_section,
        protocol: Scalar(protocol),
        tls: tls_section,
    } = section;
    check_name(name, at);
    let endpoints = endpoints(endpoint_sections, &at.field("endpoints"));
    let timeouts = timeouts(timeouts_section, &at.field("timeouts"));
    if protocol == UpstreamProtocol::Auto && tls_section.is_none() {
        at.field("protocol").report(BrokenRule::ProtocolNeedsTls);
    }
    let tls = match tls_section.map(|section| upstream_tls(section, folder, &at.field("tls"))) {
        Some(tls) => Some(tls?),
        None => None,
    };
    Some(UpstreamConfig { name: name.into(), endpoints, balance, timeouts: timeouts?, protocol, tls })
}

fn upstream_tls(section: UpstreamTlsSection, folder: &Path, at: &At<'_>) -> Option<UpstreamTlsConfig> {
    let UpstreamTlsSection { server_name: Scalar(server_name), ca } = section;
    // An empty name would turn verification off, and for one with `_` Pingora verifies another.
    let name = match ServerName::try_from(server_name.as_str()) {
        Ok(_) if !server_name.contains('_') => Some(server_name.into_boxed_str()),
        Ok(_) | Err(_) => at.field("server_name").refuse(BrokenRule::ServerName(server_name)),
    };
    let ca = super::path(ca, folder, &at.field("ca"));
    Some(UpstreamTlsConfig { server_name: name?, ca: ca? })
}

fn endpoints(sections: Vec<EndpointSection>, at: &At<'_>) -> Vec<EndpointConfig> {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    } else if sections.iter().all(|section| section.weight.0 == 0) {
        at.report(BrokenRule::WeightsAllZero);
    }
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

/// An address that can be connected to and that the upstream does not have yet.
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
