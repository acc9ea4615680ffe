//! TLS 1.2 and 1.3 by rustls, with a certificate that is reloaded when its files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};
use sha2::{Digest as _, Sha256};
use tokio::time::Duration;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::{
    os::pem::{self, PemFileError},
    reloading::{FileWatch, ReloadEvent, ReloadSource, Reloading},
};

/// How often the files are read.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// The PEM files of a certificate.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by its intermediates.
    pub certificates: PathBuf,
    /// The private key. Only its owner, and its group, may be able to read it.
    pub key: PathBuf,
}

/// Why a certificate or its key is unusable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, is exposed, or lacks the certificate or the key.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        cause: PemFileError,
    },
    /// The certificate is invalid, or does not match the key.
    #[error("{} and {}: {cause}", files.certificates.display(), files.key.display())]
    Mismatch {
        /// The files.
        files: TlsFiles,
        /// The error of rustls.
        cause: rustls::Error,
    },
}

/// The current certificate and key. New files take effect within ten seconds, for new connections. If they are unusable,
/// the previous pair stays in use, and the error is logged once.
pub struct Tls(Arc<Reloading<TlsFiles>>);

/// A certificate and its key.
pub(crate) struct Loaded {
    /// Digest of both files.
    digest: [u8; 32],
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns [`TlsError`] if the files are unusable.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Loaded::read(&files)?;
        Ok(Self(Arc::new(Reloading::new(Some(files), loaded))))
    }

    /// Returns an acceptor with the current certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.current().config))
    }

    /// Returns a watch that reloads the files every ten seconds.
    #[must_use]
    pub fn watch(&self) -> FileWatch {
        self.0.watch(RELOAD_INTERVAL)
    }
}

impl ReloadSource for TlsFiles {
    type Value = Loaded;
    type Error = TlsError;

    fn reload(&self, current: &Loaded) -> Result<Option<Loaded>, TlsError> {
        let loaded = Loaded::read(self)?;
        Ok((loaded.digest != current.digest).then_some(loaded))
    }

    fn log(&self, event: ReloadEvent<'_, Loaded>) {
        match event {
            ReloadEvent::Failed(error) => error!(error, "failed to reload the certificate; keeping the previous one"),
            ReloadEvent::Recovered(_) | ReloadEvent::Changed(_) => info!("certificate reloaded"),
        }
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let in_file = |path: &Path| {
            let path = path.to_owned();
            move |cause| TlsError::File { path, cause }
        };
        let certificates = pem::read_certificates(&files.certificates).map_err(in_file(&files.certificates))?;
        let key = pem::read_private_key(&files.key).map_err(in_file(&files.key))?;
        let digest = Sha256::new().chain_update(&*certificates).chain_update(b"\0").chain_update(&*key).finalize();
        let chain = pem::certificates(&certificates).map_err(in_file(&files.certificates))?;
        let key = pem::private_key(&key).map_err(in_file(&files.key))?;
        let config = server_config(chain, key).map_err(|cause| TlsError::Mismatch { files: files.clone(), cause })?;
        Ok(Self { digest: digest.into(), config: Arc::new(config) })
    }
}

/// The protocols of ALPN, the preferred first. Clients of HTTP/1.0 are served too. If a client offers others only, the
/// handshake ends with the alert `no_application_protocol` (RFC 7301, section 3.2); if it offers none, the server detects the protocol.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// Builds a configuration with rustls' defaults: its cipher suites, and session resumption from memory. No tickets, whose key
/// could decrypt recorded sessions later, and no early data, which could be replayed.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
