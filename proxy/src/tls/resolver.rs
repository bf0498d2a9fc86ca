//! Which certificate a client is shown: that of the name it asks for, else of a wildcard for one label, else the first.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Certificate;

/// Certificates by name. A wildcard is kept as it is written, `*.example.com`.
#[derive(Debug)]
pub(super) struct Resolver {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Resolver {
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        let first = certificates.first().map(|certificate| Arc::clone(&certificate.key));
        let named = certificates.into_iter().flat_map(|Certificate { names, key, info: _ }| {
            names.into_iter().map(move |name| (name, Arc::clone(&key)))
        });
        Self { by_name: named.collect(), first }
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let name = name.strip_suffix('.').unwrap_or(&name);
            let exact = self.by_name.get(name);
            exact.or_else(|| self.by_name.get(&format!("*.{}", name.split_once('.')?.1)))
        });
        named.or(self.first.as_ref())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(client.server_name()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustls::{
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };

    use super::*;
    use crate::tls::certificate::CertificateInfo;

    fn certificate(names: &[&str]) -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            key: Arc::new(CertifiedKey::new(Vec::new(), key)),
            info: CertificateInfo { file: PathBuf::new(), expires: 0 },
        }
    }

    #[test]
    fn the_exact_name_wins_then_a_wildcard_then_the_first() {
        let certificates = [&["first.example"][..], &["*.example.com", "example.com"], &["api.example.com"]];
        let certificates: Vec<_> = certificates.into_iter().map(certificate).collect();
        let keys: Vec<_> = certificates.iter().map(|certificate| Arc::clone(&certificate.key)).collect();
        let resolver = Resolver::new(certificates);
        for (name, place) in [
            (Some("api.example.com"), 2),
            (Some("API.Example.COM."), 2),
            (Some("www.example.com"), 1),
            (Some("example.com"), 1),
            (Some("a.www.example.com"), 0),
            (Some("com"), 0),
            (Some("other.example"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            assert!(Arc::ptr_eq(resolver.find(name).unwrap(), &keys[place]), "{name:?}");
        }
    }
}
