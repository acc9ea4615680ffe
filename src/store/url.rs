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

use crate::{
    model::{is_plain, trimmed},
    os::private_files::{NotPrivate, read_private},
    reloading::{ReloadEvent, ReloadSource, Reloading},
};

/// How often the file of a URL is checked, so that an invalid one is reported before a connection needs it.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The address of a store, with user and password.
pub trait StoreUrl: FromStr<Err = String> {
    /// Returns the file that the URL was read from, if any.
    fn file(&self) -> Option<&UrlFile>;

    /// Returns the same URL, read from this file.
    #[must_use]
    fn of(self, file: UrlFile) -> Self;

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
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] NotPrivate),
    /// The URL contains line breaks, other control characters or invisible characters.
    #[error("invalid content: expected a URL on one line, without control or invisible characters")]
    NotPlain,
    /// The file contains no valid URL.
    #[error("invalid content: expected {0}")]
    NoUrl(String),
}

/// A URL, together with everything that connecting to it requires.
pub(super) trait Endpoint: Sized + Send + Sync + 'static {
    const STORE: &'static str;
    type Url: StoreUrl;
    type Error: fmt::Display;

    fn new(url: Self::Url) -> Result<Self, Self::Error>;

    fn url(&self) -> &Self::Url;
}

/// The file of an endpoint's URL.
pub(super) struct EndpointFile<E>(PathBuf, PhantomData<fn() -> E>);

/// An endpoint that is rebuilt when a reload finds another URL in its file.
pub(super) type ReloadingEndpoint<E> = Arc<Reloading<EndpointFile<E>>>;

pub(super) fn reloading_endpoint<E: Endpoint>(url: E::Url) -> Result<ReloadingEndpoint<E>, E::Error> {
    let file = url.file().map(|file| EndpointFile(file.path.clone(), PhantomData));
    Ok(Arc::new(Reloading::new(file, E::new(url)?)))
}

impl<E: Endpoint> ReloadSource for EndpointFile<E> {
    type Value = E;
    type Error = String;

    fn reload(&self, current: &E) -> Result<Option<E>, String> {
        let url = E::Url::read(&self.0).map_err(|error| error.to_string())?;
        if url.file() == current.url().file() {
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
