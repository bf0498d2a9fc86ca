//! The name that an upstream is found by: `dns: items.svc:8080`.

use std::{net::IpAddr, str::FromStr};

use thiserror::Error;

use super::{host_port::host_port, model::DnsName};

/// The text is not a name with a port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidDnsName {
    /// An address, which nobody has to be asked for.
    #[error("{0:?} is an address: list it in `endpoints`")]
    Address(String),
    /// Not a host name and a port.
    #[error("{0:?} is not a name to resolve: a host name and a port from 1 to 65535 are needed, as in items.svc:8080")]
    Form(String),
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;

    fn from_str(text: &str) -> Result<Self, InvalidDnsName> {
        let form = || InvalidDnsName::Form(text.to_owned());
        let (name, port) = text.rsplit_once(':').ok_or_else(form)?;
        // A dot at the end belongs to the name: it is then not looked for in the search domains.
        let (name, dot) = name.strip_suffix('.').map_or((name, ""), |name| (name, "."));
        let (host, port) = host_port(&[name, ":", port].concat()).ok_or_else(form)?;
        let port = port.ok_or_else(form)?;
        let host = host.to_string();
        match host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            true => Err(InvalidDnsName::Address(text.to_owned())),
            false => Ok(Self { host: (host + dot).into(), port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_host_and_a_port() {
        for (text, host, port) in [
            ("items.svc:8080", "items.svc", 8080),
            ("Items.example.com.:1", "items.example.com.", 1),
            ("localhost:65535", "localhost", 65535),
            ("my_service:80", "my_service", 80),
        ] {
            let name: DnsName = text.parse().unwrap();
            assert_eq!((&*name.host, name.port.get()), (host, port));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "items",
            ":80",
            ".:80",
            "a..:80",
            "items:",
            "items:0",
            "items:http",
            "http://items:80",
            "a:1/",
            "*.a:1",
        ] {
            assert_eq!(text.parse::<DnsName>(), Err(InvalidDnsName::Form(text.to_owned())), "{text:?}");
        }
        for text in ["10.0.0.1:80", "10.0.0.1.:80", "[::1]:80"] {
            assert_eq!(text.parse::<DnsName>(), Err(InvalidDnsName::Address(text.to_owned())), "{text:?}");
        }
    }
}
