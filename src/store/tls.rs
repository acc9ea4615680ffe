//! The certificates of TLS to a store.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use zeroize::Zeroizing;

use crate::os::pem::{self, PemFileError, read_certificates, read_private_key};

/// The PEM files of TLS to a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreTlsFiles {
    /// The certificates of the trusted CAs, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate.
    pub client: Option<ClientCertificateFiles>,
}

/// The PEM files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateFiles {
    /// The certificate, followed by its intermediates.
    pub certificates: PathBuf,
    /// The private key. Only its owner, and its group, may be able to read it.
    pub key: PathBuf,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreTlsRole {
    /// The trusted CAs.
    Ca,
    /// The client certificate.
    Certificate,
    /// The private key of the client certificate.
    Key,
}

impl StoreTlsRole {
    /// Names the file in an error.
    fn of<T>(self, path: &Path, outcome: Result<T, impl Into<PemFault>>) -> Result<T, StoreTlsError> {
        outcome.map_err(|cause| StoreTlsError::File { role: self, path: path.to_owned(), cause: cause.into() })
    }
}

/// Why TLS to a store cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StoreTlsError {
    /// A file is unusable.
    #[error("{}: {cause}", path.display())]
    File {
        /// What the file is for.
        role: StoreTlsRole,
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: PemFault,
    },
    /// The client certificate is invalid, or does not match the key.
    #[error("{} and {}: {cause}", files.certificates.display(), files.key.display())]
    Mismatch {
        /// The files.
        files: ClientCertificateFiles,
        /// The error of rustls.
        cause: rustls::Error,
    },
    /// No file of CAs is set, and the root certificates of the system, `SSL_CERT_FILE` or `SSL_CERT_DIR` are unusable.
    #[error("unusable root certificates of the system, SSL_CERT_FILE or SSL_CERT_DIR: {0}")]
    SystemRoots(String),
    /// No file of CAs is set, and the system has no root certificates to verify the server with.
    #[error("no root certificates for TLS to the store (install ca-certificates on Debian, or set a file with the CA)")]
    NoRootCertificates,
}

/// Why a PEM file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PemFault {
    /// The file was not read, or does not have the expected part.
    #[error(transparent)]
    File(#[from] PemFileError),
    /// A certificate cannot be parsed.
    #[error("invalid certificate: {0}")]
    Certificate(rustls::Error),
}

/// The certificates of TLS to a store, as they were when their files were read.
#[derive(Clone, Default, PartialEq)]
pub struct StoreTls {
    files: StoreTlsFiles,
    ca: Option<Pem>,
    client: Option<ClientPem>,
}

type Pem = Zeroizing<Vec<u8>>;

/// A client certificate and its key in PEM.
#[derive(Clone, PartialEq)]
pub(super) struct ClientPem {
    pub certificates: Pem,
    pub key: Pem,
}

impl fmt::Debug for StoreTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(formatter)
    }
}

impl StoreTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns [`StoreTlsError`] if a file is unreadable or unusable, or if there is no root certificate.
    pub fn read(files: StoreTlsFiles) -> Result<Self, StoreTlsError> {
        let ca = files.ca.as_deref().map(|path| StoreTlsRole::Ca.of(path, read_certificates(path)));
        let client = files.client.as_ref().map(ClientPem::read);
        let tls = Self { ca: ca.transpose()?, client: client.transpose()?, files };
        tls.client_config().map(|_| tls)
    }

    /// Reads the files again.
    pub(super) fn read_again(&self) -> Result<Self, StoreTlsError> {
        Self::read(self.files.clone())
    }

    /// Returns whether there is a file to read.
    pub(super) fn has_files(&self) -> bool {
        self.files != StoreTlsFiles::default()
    }

    /// Returns the trusted CAs in PEM, unless they are those of the system.
    pub(super) fn ca_pem(&self) -> Option<&[u8]> {
        self.ca.as_ref().map(|pem| pem.as_slice())
    }

    /// Returns the client certificate.
    pub(super) fn client_pem(&self) -> Option<&ClientPem> {
        self.client.as_ref()
    }

    /// Returns the configuration of TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// Returns [`StoreTlsError`] if a certificate or the key is unusable, or if there is no root certificate.
    pub(super) fn client_config(&self) -> Result<ClientConfig, StoreTlsError> {
        let roots = match (&self.files.ca, &self.ca) {
            (Some(path), Some(pem)) => StoreTlsRole::Ca.of(path, roots_of(pem))?,
            _ => system_roots()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|error| unreachable!("ring has cipher suites for TLS 1.2 and 1.3: {error}"))
            .with_root_certificates(roots);
        let (Some(files), Some(pem)) = (&self.files.client, &self.client) else {
            return Ok(config.with_no_client_auth());
        };
        let chain = StoreTlsRole::Certificate.of(&files.certificates, pem::certificates(&pem.certificates))?;
        let key = StoreTlsRole::Key.of(&files.key, pem::private_key(&pem.key))?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|cause| StoreTlsError::Mismatch { files: files.clone(), cause })
    }
}

impl ClientPem {
    fn read(files: &ClientCertificateFiles) -> Result<Self, StoreTlsError> {
        let ClientCertificateFiles { certificates, key } = files;
        Ok(Self {
            certificates: StoreTlsRole::Certificate.of(certificates, read_certificates(certificates))?,
            key: StoreTlsRole::Key.of(key, read_private_key(key))?,
        })
    }
}

/// Returns whether a certificate can be valid for this host.
pub(super) fn is_server_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Returns the message of a failed connection, with what to do if the cause is a certificate. `prefix` is that of the settings
/// of the store, such as `POSTERN_REDIS`.
pub(super) fn with_tls_advice(message: String, prefix: &str) -> String {
    // The texts are those of rustls for its variants and alerts of these names.
    let advice = if message.contains("CaUsedAsEndEntity") {
        format!(
            "the server presents a CA certificate (CA:TRUE) as its own: issue it a certificate with \
             basicConstraints CA:FALSE, and trust its issuer, or itself if it is self-signed, with {prefix}_CA_FILE"
        )
    } else if message.contains("UnknownIssuer") {
        format!("the server's certificate was not issued by a trusted CA: set {prefix}_CA_FILE to the CA's certificate")
    } else if message.contains("not valid for name") {
        "connect to a name in the server's certificate, or issue it one for this name".to_owned()
    } else if message.contains("CertificateRequired") {
        format!("the server requires a client certificate: set {prefix}_CERT_FILE and {prefix}_KEY_FILE")
    } else if message.contains("InvalidContentType") {
        "the server does not use TLS on this port".to_owned()
    } else {
        return message;
    };
    format!("{message} ({advice})")
}

fn roots_of(pem: &[u8]) -> Result<RootCertStore, PemFault> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(pem)? {
        roots.add(certificate).map_err(PemFault::Certificate)?;
    }
    Ok(roots)
}

/// Returns the root certificates of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` if they are set.
fn system_roots() -> Result<RootCertStore, StoreTlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    // The client of Redis refuses what is refused here.
    if let Some(error) = loaded.errors.first() {
        return Err(StoreTlsError::SystemRoots(error.to_string()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in loaded.certs {
        roots.add(certificate).map_err(|error| StoreTlsError::SystemRoots(error.to_string()))?;
    }
    if roots.is_empty() { Err(StoreTlsError::NoRootCertificates) } else { Ok(roots) }
}
