//! `listeners[].tls`: which files, not what is in them.

use super::NamedFiles;
use crate::config::{
    file::{CertificateSection, Scalar, TlsSection},
    finding::At,
    model::{CertificateConfig, TlsConfig},
    rule::BrokenRule,
};

pub(super) fn tls(section: TlsSection, files: &mut NamedFiles, at: &At<'_>) -> Option<TlsConfig> {
    let TlsSection { certificates, client_ca, client_certificates } = section;
    if client_ca.is_none() && client_certificates.is_some() {
        at.field("client_certificates").report(BrokenRule::ClientCaMissing);
    }
    let certificates = self::certificates(certificates, files, &at.field("certificates"));
    let client_ca = files.read_where_given(client_ca, &at.field("client_ca"))?;
    Some(TlsConfig {
        certificates,
        client_ca,
        client_certificates: client_certificates.map(|Scalar(rule)| rule).unwrap_or_default(),
    })
}

fn certificates(sections: Vec<CertificateSection>, files: &mut NamedFiles, at: &At<'_>) -> Vec<CertificateConfig> {
    if sections.is_empty() {
        at.report(BrokenRule::Empty);
    }
    let certificate = |(index, section)| {
        let CertificateSection { cert, key } = section;
        let at = at.item(index);
        let (cert, key) = (files.read(cert, &at.field("cert")), files.read(key, &at.field("key")));
        Some(CertificateConfig { cert: cert?, key: key? })
    };
    sections.into_iter().enumerate().filter_map(certificate).collect()
}
