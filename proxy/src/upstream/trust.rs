//! Who upstreams may be: the authorities that vouch for them.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Read,
    path::Path,
    sync::{Arc, LazyLock},
};

use pingora_core::{
    protocols::tls::CaType,
    utils::tls::{WrappedX509, parse_x509},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::tls::Fault;

/// The largest file that is read, in bytes: 1 MiB. A bundle of every public authority is a fifth of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The authorities of a file, in place of the system's.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    pub(super) certificates: Arc<CaType>,
    /// Different for different authorities, and never 0: connections that one of them vouched for are not another's.
    pub(super) group: u64,
}

/// Reads a file of authorities, as a check before it is needed.
///
/// # Errors
///
/// [`Fault`]: it cannot be read, or what is in it is no certificate.
pub fn check(file: &Path) -> Result<(), Fault> {
    Authorities::load(file).map(|_| ())
}

impl Authorities {
    pub(super) fn load(file: &Path) -> Result<Self, Fault> {
        static GROUPS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let bytes = read(file)?;
        let unusable = |cause: String| Fault::Unusable { file: file.to_owned(), cause };
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            store.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
            // Pingora panics on what its parser does not take.
            X509Certificate::from_der(&certificate).map_err(|error| unusable(error.to_string()))?;
            certificates.push(WrappedX509::new(certificate.to_vec(), parse_x509));
        }
        if certificates.is_empty() {
            return Err(Fault::NoCertificate { file: file.to_owned() });
        }
        Ok(Self { certificates: certificates.into(), group: GROUPS.hash_one(&bytes).max(1) })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    let cause = match read {
        Ok(length) if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE_BYTES) => return Ok(bytes),
        Ok(_) => "it is larger than 1 MiB".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Fault::Unreadable { file: file.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    fn loaded(name: &str, text: &str) -> Result<Authorities, String> {
        let file = env::temp_dir().join(format!("cognigate-trust-{}-{name}", std::process::id()));
        fs::write(&file, text).unwrap();
        let loaded = Authorities::load(&file).map_err(|fault| fault.to_string());
        fs::remove_file(&file).unwrap();
        loaded
    }

    fn authority(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn each_set_of_authorities_is_a_group_of_its_own() {
        let (one, other) = (authority("one"), authority("other"));
        let group = |name, text: &str| loaded(name, text).unwrap().group;
        assert_eq!(group("one", &one), group("one-again", &one));
        assert_ne!(group("one", &one), group("other", &other));
        assert_eq!(loaded("both", &(one + &other)).unwrap().certificates.len(), 2);
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, text, message) in [
            ("empty", "", "no certificate is in it"),
            ("text", "hello", "no certificate is in it"),
            ("broken", broken, "BadEncoding"),
            ("half", "-----BEGIN CERTIFICATE-----\nAAAA\n", "section end"),
            ("large", &"x".repeat(1024 * 1024 + 1), "larger than 1 MiB"),
        ] {
            let fault = loaded(name, text).unwrap_err();
            assert!(fault.contains(message), "{name}: {fault}");
        }
        assert!(check(Path::new("/nowhere/ca.pem")).unwrap_err().to_string().contains("cannot be read"));
    }
}
