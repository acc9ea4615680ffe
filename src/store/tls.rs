//! The certificates of TLS to a store.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject as _},
};
use zeroize::Zeroizing;

use crate::os::private_files::{NotPrivate, read_private};

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

/// Why TLS to a store cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StoreTlsError {
    /// The file of the CAs is unusable.
    #[error("{}: {cause}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: PemFault,
    },
    /// The file of the client certificate is unusable.
    #[error("{}: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: PemFault,
    },
    /// The file of the private key is unusable.
    #[error("{}: {cause}", path.display())]
    Key {
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
    /// No file of CAs is set, and the system has no root certificates to verify the server with.
    #[error("no root certificates for TLS to the store (install ca-certificates on Debian, or set a file with the CA)")]
    NoRootCertificates,
}

/// Why a PEM file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PemFault {
    /// The file cannot be read, or others can read it.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] NotPrivate),
    /// The file is not PEM.
    #[error("{0}")]
    Syntax(pem::Error),
    /// The file contains no certificate.
    #[error("no certificate: expected PEM with `BEGIN CERTIFICATE`")]
    NoCertificate,
    /// The file contains no private key that can be used without a password.
    #[error("no private key: expected PEM without a password, with `BEGIN PRIVATE KEY`")]
    NoKey,
    /// A certificate cannot be parsed.
    #[error("invalid certificate: {0}")]
    Certificate(rustls::Error),
}

/// The certificates of TLS to a store, as they were when their files were read.
#[derive(Clone, Default, PartialEq)]
pub struct StoreTls {
    files: StoreTlsFiles,
    ca: Option<Zeroizing<String>>,
    client: Option<ClientPem>,
}

/// A client certificate and its key in PEM.
#[derive(Clone, PartialEq)]
pub(super) struct ClientPem {
    pub certificates: Zeroizing<String>,
    pub key: Zeroizing<String>,
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
        let ca = files.ca.as_ref().map(|path| {
            read_pem(path, Privacy::Public).map_err(|cause| StoreTlsError::Ca { path: path.clone(), cause })
        });
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
    pub(super) fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(|pem| pem.as_str())
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
            (Some(path), Some(pem)) => {
                roots_of(pem).map_err(|cause| StoreTlsError::Ca { path: path.clone(), cause })?
            }
            _ => system_roots()?,
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|error| unreachable!("ring has cipher suites for TLS 1.2 and 1.3: {error}"))
            .with_root_certificates(roots);
        let (Some(files), Some(pem)) = (&self.files.client, &self.client) else {
            return Ok(config.with_no_client_auth());
        };
        let chain = certificates_of(&pem.certificates)
            .map_err(|cause| StoreTlsError::Certificate { path: files.certificates.clone(), cause })?;
        let key = key_of(&pem.key).map_err(|cause| StoreTlsError::Key { path: files.key.clone(), cause })?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|cause| StoreTlsError::Mismatch { files: files.clone(), cause })
    }
}

impl ClientPem {
    fn read(files: &ClientCertificateFiles) -> Result<Self, StoreTlsError> {
        let ClientCertificateFiles { certificates, key } = files;
        Ok(Self {
            certificates: read_pem(certificates, Privacy::Public)
                .map_err(|cause| StoreTlsError::Certificate { path: certificates.clone(), cause })?,
            key: read_pem(key, Privacy::Private).map_err(|cause| StoreTlsError::Key { path: key.clone(), cause })?,
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

/// Whether others may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Privacy {
    Public,
    Private,
}

/// Reads a PEM file. What is not text has no certificate and no key.
fn read_pem(path: &Path, privacy: Privacy) -> Result<Zeroizing<String>, PemFault> {
    match privacy {
        // Comments between the certificates may have another encoding.
        Privacy::Public => {
            Ok(Zeroizing::new(String::from_utf8_lossy(&fs::read(path).map_err(NotPrivate::Io)?).into_owned()))
        }
        Privacy::Private => read_private(path).map_err(|error| match error {
            NotPrivate::Io(error) if error.kind() == io::ErrorKind::InvalidData => PemFault::NoKey,
            error => PemFault::Unreadable(error),
        }),
    }
}

fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(PemFault::Syntax)?;
    if certificates.is_empty() { Err(PemFault::NoCertificate) } else { Ok(certificates) }
}

fn key_of(pem: &str) -> Result<PrivateKeyDer<'static>, PemFault> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => PemFault::NoKey,
        error => PemFault::Syntax(error),
    })
}

fn roots_of(pem: &str) -> Result<RootCertStore, PemFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots.add(certificate).map_err(PemFault::Certificate)?;
    }
    Ok(roots)
}

/// Returns the root certificates of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` if they are set.
fn system_roots() -> Result<RootCertStore, StoreTlsError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(StoreTlsError::NoRootCertificates) } else { Ok(roots) }
}
