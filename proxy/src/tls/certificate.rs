//! Certificates and keys from files, and what can be wrong with them.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use thiserror::Error;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::verifier::Readable;
use crate::config::model::{CertificateConfig, ClientCertificates, TlsConfig};

/// The largest file that is read, in bytes: 1 MiB. A bundle of every public authority is a fifth of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Something that is wrong with the files of a listener's `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultAt {
    /// The key below `tls` that names the file: `certificates[0].cert`. Empty if it is about all of them.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// No certificate in it.
    #[error("{file}: no certificate is in it (PEM, BEGIN CERTIFICATE)")]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// No private key in it.
    #[error("{file}: no private key is in it (PEM, BEGIN PRIVATE KEY, without a passphrase)")]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A certificate for nobody.
    #[error("{file}: the certificate has no names (subjectAltName): every client would refuse it")]
    NoName {
        /// The file.
        file: PathBuf,
    },
    /// Not PEM, or what is in it not DER.
    #[error("{file}: {cause}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with its content.
        cause: String,
    },
    /// It cannot be read.
    #[error("{file}: cannot be read: {cause}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// A key of another certificate.
    #[error("{file}: is not the key of {certificate}")]
    WrongKey {
        /// The file.
        file: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// Two certificates for one name: which of them a client is shown would be a guess.
    #[error("{file}: is a certificate for {name:?}, and so is {other}")]
    NameTaken {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
        /// The file before it.
        other: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
}

impl FaultAt {
    pub(super) fn tls(error: impl std::fmt::Display) -> Self {
        Self { key: String::new(), fault: Fault::Tls(error.to_string()) }
    }
}

/// What the operator wants to know about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its file.
    pub file: PathBuf,
    /// When it expires, in seconds since 1970.
    pub expires: i64,
}

/// A certificate that clients are shown, with its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) names: Vec<String>,
    pub(super) key: Arc<CertifiedKey>,
    pub(super) info: CertificateInfo,
}

/// Everything that a snapshot is made of.
pub(super) struct Material {
    pub(super) certificates: Vec<Certificate>,
    /// The bytes of the file.
    pub(super) client_ca: Option<Vec<u8>>,
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Material {
    pub(super) fn load(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Self, Vec<FaultAt>> {
        let mut faults = Vec::new();
        let mut certificates = Vec::new();
        for (index, pair) in config.certificates.iter().enumerate() {
            match Certificate::load(pair, provider) {
                Ok(certificate) => certificates.push((index, certificate)),
                Err((key, fault)) => faults.push(FaultAt { key: format!("certificates[{index}].{key}"), fault }),
            }
        }
        faults.extend(names_taken(&certificates));
        let client_ca = config.client_ca.as_deref().map(|file| {
            let bytes = read(file)?;
            let verifier = verifier(file, &bytes, config.client_certificates, provider)?;
            Ok((bytes, verifier))
        });
        let client_ca = client_ca.transpose();
        let client_ca = client_ca.map_err(|fault| faults.push(FaultAt { key: "client_ca".to_owned(), fault }));
        match client_ca {
            Ok(client_ca) if faults.is_empty() => {
                let (client_ca, verifier) = client_ca.unzip();
                let certificates = certificates.into_iter().map(|(_, certificate)| certificate).collect();
                Ok(Self { certificates, client_ca, verifier })
            }
            Ok(_) | Err(()) => Err(faults),
        }
    }
}

impl Certificate {
    /// The key of a fault is `cert` or `key`.
    fn load(pair: &CertificateConfig, provider: &CryptoProvider) -> Result<Self, (&'static str, Fault)> {
        let CertificateConfig { cert, key } = pair;
        let chain = certificates(cert).map_err(|fault| ("cert", fault))?;
        let (names, expires) = describe(cert, &chain).map_err(|fault| ("cert", fault))?;
        let private = private_key(key).map_err(|fault| ("key", fault))?;
        let signing = provider.key_provider.load_private_key(private);
        let unusable = |error: rustls::Error| ("key", Fault::Unusable { file: key.clone(), cause: error.to_string() });
        let certified = CertifiedKey::new(chain, signing.map_err(unusable)?);
        match certified.keys_match() {
            // Unknown: the key does not tell its public half, so that nobody can say that it is another's.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(("key", Fault::WrongKey { file: key.clone(), certificate: cert.clone() })),
        }
        Ok(Self { names, key: Arc::new(certified), info: CertificateInfo { file: cert.clone(), expires } })
    }
}

fn names_taken(certificates: &[(usize, Certificate)]) -> Vec<FaultAt> {
    let (mut taken, mut faults) = (HashMap::new(), Vec::new());
    for (index, certificate) in certificates {
        let file = &certificate.info.file;
        for name in &certificate.names {
            if let Some((other_index, other)) = taken.insert(name.as_str(), (index, file))
                && other_index != index
            {
                let fault = Fault::NameTaken { file: file.clone(), name: name.clone(), other: other.clone() };
                faults.push(FaultAt { key: format!("certificates[{index}].cert"), fault });
                break;
            }
        }
    }
    faults
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let unreadable = |cause: String| Fault::Unreadable { file: file.to_owned(), cause };
    let mut bytes = Vec::new();
    let read =
        |bytes: &mut Vec<u8>| -> io::Result<usize> { File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(bytes) };
    read(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        true => Ok(bytes),
        false => Err(unreadable("more than 1 MiB".to_owned())),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    certificates_in(file, &read(file)?)
}

fn certificates_in(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let unusable = |error| Fault::Unusable { file: file.to_owned(), cause: format!("not PEM: {error}") };
    let certificates = certificates.map_err(unusable)?;
    if certificates.is_empty() { Err(Fault::NoCertificate { file: file.to_owned() }) } else { Ok(certificates) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    // What the parser says could have a piece of the key in it.
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|_| Fault::NoKey { file: file.to_owned() })
}

/// The names that a certificate is for, in lower case, and when it expires.
fn describe(file: &Path, chain: &[CertificateDer<'_>]) -> Result<(Vec<String>, i64), Fault> {
    let unusable = |cause: &str| Fault::Unusable { file: file.to_owned(), cause: cause.to_owned() };
    let leaf = chain.first().ok_or_else(|| Fault::NoCertificate { file: file.to_owned() })?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| unusable("not a certificate (X.509)"))?;
    let names = leaf.subject_alternative_name().map_err(|_| unusable("its names cannot be read (subjectAltName)"))?;
    let names: Vec<_> = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
    match names.is_empty() {
        true => Err(Fault::NoName { file: file.to_owned() }),
        false => Ok((names, leaf.validity().not_after.timestamp())),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(octets) => super::name::address(octets).map(|address| address.to_string()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_) => None,
    }
}

fn verifier(
    file: &Path,
    bytes: &[u8],
    rule: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Fault> {
    let unusable = |cause: String| Fault::Unusable { file: file.to_owned(), cause };
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(file, bytes)? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match rule {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    let verifier = builder.build().map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(Readable(verifier)))
}
