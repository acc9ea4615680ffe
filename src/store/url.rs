//! URLs of stores, and the files that hold them.

use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use tracing::{error, info};
use zeroize::Zeroizing;

use super::tls::{StoreTls, StoreTlsError};
use crate::{
    model::{is_plain, trimmed},
    os::private_files::{NotPrivate, read_private},
    reloading::{ReloadEvent, ReloadSource, Reloading},
};

/// How often the file of a URL is checked, so that an invalid one is reported before a connection needs it.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The address of a store, with user and password.
pub trait StoreUrl: FromStr<Err = String> + Clone {
    /// What switches TLS on, for errors.
    const SWITCHES_TLS_ON: &'static str;

    /// Returns whether the URL requires TLS.
    fn is_encrypted(&self) -> bool;

    /// Returns the file that the URL was read from, if any.
    fn file(&self) -> Option<&UrlFile>;

    /// Returns the same URL, read from this file.
    #[must_use]
    fn of(self, file: UrlFile) -> Self;

    /// Returns the certificates of TLS.
    fn tls(&self) -> &StoreTls;

    /// Returns the same URL, with these certificates.
    #[must_use]
    fn by(self, tls: StoreTls) -> Self;

    /// Reads a URL from a file that contains nothing else.
    ///
    /// # Errors
    /// Returns [`UrlFileError`] if the file is unreadable, if others can read it, or if it contains no valid URL.
    fn read(path: &Path) -> Result<Self, UrlFileError> {
        let text = Zeroizing::new(trimmed(&read_private(path)?).to_owned());
        if !is_plain(&text) {
            return Err(UrlFileError::NotPlain);
        }
        let url: Self = text.parse().map_err(UrlFileError::NoUrl)?;
        Ok(url.of(UrlFile { path: path.to_owned(), text }))
    }

    /// Reads the files of the URL and of its certificates again.
    ///
    /// # Errors
    /// Returns [`UrlFileError`] if a file is unusable.
    fn read_again(&self) -> Result<Self, UrlFileError> {
        let url = match self.file() {
            Some(file) => Self::read(&file.path)?,
            None => self.clone(),
        };
        if self.tls().has_files() && !url.is_encrypted() {
            return Err(UrlFileError::NotEncrypted(Self::SWITCHES_TLS_ON));
        }
        let tls = self.tls().read_again()?;
        Ok(url.by(tls))
    }
}

/// A file of a URL, and its content when it was read.
#[derive(Clone, PartialEq)]
pub struct UrlFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl fmt::Debug for UrlFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(formatter)
    }
}

/// Why a file of a URL is unusable. Never contains the file's content, which may include the password.
#[derive(Debug, thiserror::Error)]
pub enum UrlFileError {
    /// The file was not read.
    #[error(transparent)]
    Unreadable(#[from] NotPrivate),
    /// The URL contains line breaks, other control characters or invisible characters.
    #[error("invalid content: expected a URL on one line, without control or invisible characters")]
    NotPlain,
    /// The file contains no valid URL.
    #[error("invalid content: expected {0}")]
    NoUrl(String),
    /// The URL does not use TLS, although files for it are set.
    #[error("files for TLS are set, but the URL does not switch it on: expected {0}")]
    NotEncrypted(&'static str),
    /// A file for TLS is unusable.
    #[error(transparent)]
    Tls(#[from] StoreTlsError),
}

/// A URL, together with everything that connecting to it requires.
pub(super) trait Endpoint: Sized + Send + Sync + 'static {
    const STORE: &'static str;
    type Url: StoreUrl;
    type Error: fmt::Display;

    fn new(url: Self::Url) -> Result<Self, Self::Error>;

    fn url(&self) -> &Self::Url;
}

/// The files of an endpoint: of its URL and of its certificates.
pub(super) struct EndpointFiles<E>(PhantomData<fn() -> E>);

/// An endpoint that is rebuilt when a reload finds another URL or other certificates in its files.
pub(super) type ReloadingEndpoint<E> = Arc<Reloading<EndpointFiles<E>>>;

pub(super) fn reloading_endpoint<E: Endpoint>(url: E::Url) -> Result<ReloadingEndpoint<E>, E::Error> {
    let has_files = url.file().is_some() || url.tls().has_files();
    Ok(Arc::new(Reloading::new(has_files.then_some(EndpointFiles(PhantomData)), E::new(url)?)))
}

impl<E: Endpoint> ReloadSource for EndpointFiles<E> {
    type Value = E;
    type Error = String;

    fn reload(&self, current: &E) -> Result<Option<E>, String> {
        let url = current.url().read_again().map_err(|error| error.to_string())?;
        if url.file() == current.url().file() && url.tls() == current.url().tls() {
            return Ok(None);
        }
        E::new(url).map(Some).map_err(|error| error.to_string())
    }

    fn log(&self, event: ReloadEvent<'_, E>) {
        let store = E::STORE;
        match event {
            ReloadEvent::Failed(error) => error!(store, error, "failed to reload the URL; keeping the previous one"),
            ReloadEvent::Recovered(_) => info!(store, "the file of the URL is valid again"),
            ReloadEvent::Changed(_) => info!(store, "URL reloaded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{os::private_files::write_private, store::redis::RedisUrl};

    struct TestEndpoint(RedisUrl);

    impl Endpoint for TestEndpoint {
        const STORE: &'static str = "a store";
        type Url = RedisUrl;
        type Error = String;

        fn new(url: RedisUrl) -> Result<Self, String> {
            Ok(Self(url))
        }

        fn url(&self) -> &RedisUrl {
            &self.0
        }
    }

    #[tokio::test]
    async fn endpoint_is_replaced_if_the_file_has_another_url() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("redis-url");
        let write = |text: &str| write_private(&file, text.as_bytes()).expect("the file can be written");
        write("redis://:first@localhost/1\n");
        let endpoint = reloading_endpoint::<TestEndpoint>(RedisUrl::read(&file).expect("a URL")).expect("an endpoint");
        let first = endpoint.current();

        for text in ["redis://:first@localhost/1", "not a URL", ""] {
            write(text);
            assert!(endpoint.newer_than(&first).await.is_none(), "{text}");
        }
        write("redis://:second@localhost/2\n");
        let second = endpoint.newer_than(&first).await.expect("another endpoint");

        assert_eq!(second.0.to_string(), "redis://localhost:6379/2");
        assert!(Arc::ptr_eq(&endpoint.current(), &second));
    }

    #[tokio::test]
    async fn endpoint_of_a_url_without_a_file_never_changes() {
        let url = "redis://localhost/1".parse().expect("a URL");
        let endpoint = reloading_endpoint::<TestEndpoint>(url).expect("an endpoint");

        assert!(endpoint.newer_than(&endpoint.current()).await.is_none());
    }
}
