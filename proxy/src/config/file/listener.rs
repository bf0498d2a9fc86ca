//! `listeners` as written.

use serde::Deserialize;

use super::Scalar;
use crate::config::model::{CertificateField, ClientCertificates};

/// `listeners[]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct ListenerSection {
    pub(in crate::config) address: Scalar<String>,
    pub(in crate::config) tls: Option<TlsSection>,
    #[serde(default)]
    pub(in crate::config) proxy_protocol: Scalar<bool>,
}

/// `listeners[].tls`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct TlsSection {
    pub(in crate::config) certificates: Vec<CertificateSection>,
    pub(in crate::config) client_ca: Option<Scalar<String>>,
    pub(in crate::config) client_certificates: Option<Scalar<ClientCertificates>>,
}

/// `listeners[].tls.certificates[]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(in crate::config) struct CertificateSection {
    pub(in crate::config) cert: Scalar<String>,
    pub(in crate::config) key: Scalar<String>,
}

impl super::scalar::FromScalar for ClientCertificates {
    const EXPECTED: &'static str = "`required` or `optional`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "optional" => Some(Self::Optional),
            "required" => Some(Self::Required),
            _ => None,
        }
    }
}

impl super::scalar::FromScalar for CertificateField {
    const EXPECTED: &'static str = "`subject` or `san`";

    fn from_text(found: &str) -> Option<Self> {
        match found {
            "san" => Some(Self::SubjectAltNames),
            "subject" => Some(Self::Subject),
            _ => None,
        }
    }
}
