//! An authority that issues certificates, made as the test runs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;

use crate::process::Directory;

/// An authority.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
}

impl Authority {
    /// A new authority of this name.
    ///
    /// # Panics
    ///
    /// If there is no key.
    pub fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its certificate, DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for a server: the common name is the first of the names.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn server(&self, names: &[&str]) -> Issued {
        let mut params = named(names.first().unwrap_or(&"nobody"));
        params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&params)
    }

    /// A certificate for a client of the organisation `Example, Ltd`, with a SPIFFE name.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    pub fn client(&self, name: &str) -> Issued {
        let mut params = named(name);
        params.distinguished_name.push(DnType::OrganizationName, "Example, Ltd");
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://example/{name}").try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Issued {
    /// Writes `name.crt` and `name.key`, and returns their paths.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn write(&self, directory: &Directory, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.write(&format!("{name}.crt"), &self.certificate);
        (certificate, directory.write(&format!("{name}.key"), &self.key))
    }
}
