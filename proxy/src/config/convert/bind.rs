//! `listeners` and `admin`: the addresses that are bound.

use std::{collections::HashMap, net::SocketAddr};

use super::NamedFiles;
use crate::config::{
    file::{AdminSection, ListenerSection, Scalar},
    finding::At,
    model::{AdminConfig, ListenerConfig},
    rule::BrokenRule,
};

/// The addresses that are bound so far, and the keys that have them.
#[derive(Default)]
pub(super) struct Bound(HashMap<SocketAddr, String>);

impl Bound {
    /// An address that nothing else binds. Port 0 is a port of its own each time.
    fn address(&mut self, text: &str, at: &At<'_>) -> Option<SocketAddr> {
        let address = super::address(text, at)?;
        if address.port() == 0 {
            return Some(address);
        }
        match self.0.insert(address, at.to_string()) {
            Some(other) => at.refuse(BrokenRule::AddressTaken { address, other }),
            None => Some(address),
        }
    }
}

pub(super) fn listeners(
    sections: Vec<ListenerSection>,
    bound: &mut Bound,
    files: &mut NamedFiles,
    at: &At<'_>,
) -> Vec<ListenerConfig> {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    }
    let listener = |(index, section)| {
        let ListenerSection { address: Scalar(address), tls, proxy_protocol: Scalar(proxy_protocol) } = section;
        let at = at.item(index);
        let address = bound.address(&address, &at.field("address"));
        let tls = match tls {
            Some(section) => Some(super::tls::tls(section, files, &at.field("tls"))?),
            None => None,
        };
        Some(ListenerConfig { address: address?, tls, proxy_protocol })
    };
    sections.into_iter().enumerate().filter_map(listener).collect()
}

pub(super) fn admin(
    section: AdminSection,
    bound: &mut Bound,
    files: &mut NamedFiles,
    at: &At<'_>,
) -> Option<AdminConfig> {
    let AdminSection { address: Scalar(address), token_file } = section;
    let address = bound.address(&address, &at.field("address"));
    let token_file = files.read_where_given(token_file, &at.field("token_file"));
    Some(AdminConfig { address: address?, token_file: token_file? })
}
