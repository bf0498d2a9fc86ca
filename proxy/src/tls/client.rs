//! What a client's certificate says, for as long as its connection.

use http::HeaderValue;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::name;
use crate::config::model::CertificateField;

/// The longest text that is made of a certificate. Servers take headers of twice the length.
const MAX_BYTES: usize = 4096;

/// A certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    subject: Option<HeaderValue>,
    alternatives: Option<HeaderValue>,
}

impl ClientCertificate {
    /// Reads a certificate in DER.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.map(|names| name::alternatives(&names.value.general_names));
        Some(Self {
            subject: value(&name::distinguished(certificate.subject())),
            alternatives: alternatives.and_then(|names| value(&names)),
        })
    }

    /// What a header says about it; nothing if the certificate does not, or at too great length.
    #[must_use]
    pub const fn field(&self, field: CertificateField) -> Option<&HeaderValue> {
        match field {
            CertificateField::Subject => self.subject.as_ref(),
            CertificateField::SubjectAltNames => self.alternatives.as_ref(),
        }
    }
}

fn value(text: &str) -> Option<HeaderValue> {
    let is_sayable = !text.is_empty() && text.len() <= MAX_BYTES;
    HeaderValue::from_str(text).ok().filter(|_| is_sayable)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn read(params: &CertificateParams) -> ClientCertificate {
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der()).unwrap()
    }

    /// RFC 4514 section 2.1: the last part of the name first.
    #[test]
    fn subject_and_names_are_read() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "FR");
        params.distinguished_name.push(DnType::OrganizationName, "Café, Ltd");
        params.distinguished_name.push(DnType::CommonName, DnValue::PrintableString("client 1".try_into().unwrap()));
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
        params.subject_alt_names = vec![
            SanType::DnsName("client.example".try_into().unwrap()),
            SanType::URI("spiffe://example/client".try_into().unwrap()),
        ];
        let certificate = read(&params);
        let field = |field| certificate.field(field).map(|value| value.to_str().unwrap());
        assert_eq!(field(CertificateField::Subject), Some("1.2.3=#0C0178,CN=client 1,O=Caf\\C3\\A9\\, Ltd,C=FR"));
        let names = "dns:client.example,uri:spiffe://example/client";
        assert_eq!(field(CertificateField::SubjectAltNames), Some(names));
    }

    #[test]
    fn what_a_certificate_does_not_say_is_not_said() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let certificate = read(&params);
        assert_eq!(certificate.field(CertificateField::Subject), None);
        assert_eq!(certificate.field(CertificateField::SubjectAltNames), None);
        params.distinguished_name.push(DnType::CommonName, "x".repeat(MAX_BYTES));
        assert_eq!(read(&params).field(CertificateField::Subject), None);
        assert_eq!(ClientCertificate::read(b"\x30\x03\x02\x01\x01"), None);
    }
}
