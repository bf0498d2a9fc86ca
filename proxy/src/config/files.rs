//! What is in the files that a configuration names: read once with it, so that what is wrong with one is an error of the
//! configuration. Those that are written later are not touched: that they can be written is asked of the system.

use std::{fs, io, path::Path};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    error::{ConfigError, ConfigErrors},
    load,
    model::{AccessLogConfig, Config, LogTarget, RedisConfig, RevocationConfig},
    revocations::{self, RevocationFile, RevocationFileError},
    rule::BrokenRule,
    secret::{Secret, SecretError, SecretKind},
};

/// The largest file of certificates that is read, in bytes: those of every public authority come to a quarter.
const MAX_CERTIFICATE_BYTES: usize = 1024 * 1024;

/// The content of the files that a configuration names.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `admin.token_file`: whoever changes something shows it.
    pub admin_token: Option<Secret>,
    /// `revocation.file`
    pub revocations: Option<RevocationFile>,
    /// `revocation.redis.password_file`
    pub redis_password: Option<Secret>,
    /// `revocation.redis.ca`: certificates in PEM, one at least.
    pub redis_ca: Option<Vec<u8>>,
}

impl Files {
    /// Reads what `config` names. `file` is what errors call the configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`]: one for each file that is not there or not as it should be.
    pub(super) fn read(file: &str, config: &Config) -> Result<Self, ConfigErrors> {
        let mut reader = Reader { file, errors: Vec::new() };
        let RevocationConfig { file: revocation_file, state_file: _, max_entries, redis } = &config.revocation;
        let redis = redis.as_ref();
        let password_file = redis.and_then(|RedisConfig { password_file, .. }| password_file.as_deref());
        let files = Self {
            admin_token: reader.secret("admin.token_file", config.admin.token_file.as_deref(), SecretKind::BearerToken),
            revocations: reader.revocations(revocation_file.as_deref(), *max_entries),
            redis_password: reader.secret("revocation.redis.password_file", password_file, SecretKind::Password),
            redis_ca: reader.certificates("revocation.redis.ca", redis.and_then(|redis| redis.ca.as_deref())),
        };
        if let Some(AccessLogConfig { target: LogTarget::File(path), format: _ }) = &config.access_log {
            reader.check_writable("access_log.path", path);
        }
        match reader.errors.is_empty() {
            true => Ok(files),
            false => Err(reader.errors.into()),
        }
    }
}

/// Whether a file could be written, or made where there is none yet.
fn writable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(Errno::EISDIR.into()),
        Ok(_) => Ok(access(path, AccessFlags::W_OK)?),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(cause) => Err(cause),
    }
}

/// Whether there is a certificate, and nothing that looks like one and is none.
fn has_certificates(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    let is_added = |certificate: Result<_, _>| certificate.is_ok_and(|certificate| roots.add(certificate).is_ok());
    CertificateDer::pem_slice_iter(pem).all(is_added) && !roots.is_empty()
}

/// Reads one file after the other, and keeps what is wrong with each.
struct Reader<'f> {
    file: &'f str,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn refuse<T>(&mut self, key: &str, rule: BrokenRule) -> Option<T> {
        self.errors.push(ConfigError::Rule { file: self.file.to_owned(), key: key.to_owned(), rule });
        None
    }

    fn secret(&mut self, key: &str, path: Option<&Path>, kind: SecretKind) -> Option<Secret> {
        let path = path?;
        match Secret::read(path, kind) {
            Ok(secret) => Some(secret),
            Err(SecretError::Invalid(fault)) => self.refuse(key, BrokenRule::Secret { file: path.into(), fault }),
            Err(SecretError::Unreadable(cause)) => self.unreadable(key, path, &cause.to_string()),
        }
    }

    fn certificates(&mut self, key: &str, path: Option<&Path>) -> Option<Vec<u8>> {
        let path = path?;
        match load::read(path, MAX_CERTIFICATE_BYTES) {
            Ok(Some(bytes)) if has_certificates(&bytes) => Some(bytes),
            Ok(Some(_)) => self.refuse(key, BrokenRule::NoCertificate(path.into())),
            Ok(None) => self.unreadable(key, path, "more than 1 MiB"),
            Err(cause) => self.unreadable(key, path, &cause.to_string()),
        }
    }

    fn check_writable(&mut self, key: &str, path: &Path) {
        if let Err(cause) = writable(path) {
            let rule = BrokenRule::FileUnwritable { file: path.into(), cause: cause.to_string() };
            self.refuse::<()>(key, rule);
        }
    }

    fn unreadable<T>(&mut self, key: &str, path: &Path, cause: &str) -> Option<T> {
        self.refuse(key, BrokenRule::FileUnreadable { file: path.into(), cause: cause.to_owned() })
    }

    fn revocations(&mut self, path: Option<&Path>, max_entries: usize) -> Option<RevocationFile> {
        match revocations::read(path?, None) {
            Ok(Some(file)) if file.entries.len() > max_entries => {
                let found = file.entries.len();
                self.refuse("revocation.file", BrokenRule::TooManyRevocations { found, max_entries })
            }
            Ok(file) => file,
            Err(RevocationFileError { error, digest: _ }) => {
                self.errors.push(*error);
                None
            }
        }
    }
}
