//! TLS by rustls: 1.2 and 1.3, with a certificate that is read again when its files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use sha2::{Digest as _, Sha256};
use tokio::time::{Duration, sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use crate::os::private_files::{self, NotPrivate};

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
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Loaded>,
    failure: Mutex<Option<String>>,
}

/// What the files hold.
struct Loaded {
    /// Of both files: whether they have changed.
    digest: [u8; 32],
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Where they cannot be used.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Loaded::read(&files)?);
        Ok(Self { files, current, failure: Mutex::default() })
    }

    /// Shakes hands with the certificate of now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Reads the files every ten seconds, for as long as the process runs.
    pub async fn watch(self: Arc<Self>) {
        loop {
            sleep(READING_INTERVAL).await;
            let tls = Arc::clone(&self);
            // The disk may hang: nobody waits for it.
            if let Err(error) = tokio::task::spawn_blocking(move || tls.reload()).await {
                error!(%error, "reading the certificate failed");
            }
        }
    }

    /// Reads the files now, and takes what they hold if that can be used as a whole.
    pub fn reload(&self) {
        let loaded = Loaded::read(&self.files);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(loaded) => {
                if failure.take().is_some() {
                    info!("the certificate can be used again");
                }
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                if loaded.digest != current.digest {
                    info!("the certificate has changed");
                    *current = loaded;
                }
            }
            Err(error) => {
                let error = error.to_string();
                if failure.as_ref() != Some(&error) {
                    error!(error, "the certificate cannot be used: the last good one goes on");
                    *failure = Some(error);
                }
            }
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
