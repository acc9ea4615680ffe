//! TLS by rustls: 1.2 and 1.3, with a certificate that is read again when its files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use sha2::{Digest as _, Sha256};
use tokio::time::Duration;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::{
    os::private_files::{self, NotPrivate},
    reloading::{ReloadEvent, Reloading, Source},
};

/// How often the files are read.
const READING_INTERVAL: Duration = Duration::from_secs(10);

/// The files of a certificate, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to a root.
    pub certificates: PathBuf,
    /// The key, which nobody else may read.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Others may read the key.
    #[error("{}: {cause}", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        cause: NotPrivate,
    },
    /// The file holds nothing of the kind.
    #[error("{}: {cause}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// The certificate is none, or not the key's.
    #[error("{} and {}: {cause}", files.certificates.display(), files.key.display())]
    Mismatch {
        /// Which files.
        files: TlsFiles,
        /// What is wrong with them.
        cause: rustls::Error,
    },
}

/// A certificate and its key, as they are now. What changes counts for the connections that are made ten seconds later; a
/// pair that cannot be used changes nothing, and the log says so once.
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

    /// Reloads the files every ten seconds and never returns.
    pub async fn watch(self: Arc<Self>) {
        Arc::clone(&self.0).watch(READING_INTERVAL).await;
    }
}

impl Source for TlsFiles {
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
        let certificates = fs::read(&files.certificates)
            .map_err(|cause| TlsError::Unreadable { path: files.certificates.clone(), cause })?;
        let key = read_key(&files.key)?;
        let digest = Sha256::new().chain_update(&certificates).chain_update(b"\0").chain_update(&*key).finalize();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
        let chain = chain.map_err(|cause| TlsError::Pem { path: files.certificates.clone(), cause })?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|cause| TlsError::Pem { path: files.key.clone(), cause })?;
        let config = config(chain, key).map_err(|cause| TlsError::Mismatch { files: files.clone(), cause })?;
        Ok(Self { digest: digest.into(), config: Arc::new(config) })
    }
}

fn read_key(path: &Path) -> Result<zeroize::Zeroizing<String>, TlsError> {
    private_files::read_private(path).map_err(|error| match error {
        NotPrivate::Io(cause) => TlsError::Unreadable { path: path.to_owned(), cause },
        cause @ NotPrivate::Exposed { .. } => TlsError::Exposed { path: path.to_owned(), cause },
    })
}

/// rustls' defaults: its cipher suites, and sessions that are resumed from memory. There are no tickets that a key of ours
/// would open later, and no early data, which could be replayed.
fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
