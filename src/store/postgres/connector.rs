//! Opens connections to PostgreSQL.

use std::sync::Arc;

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Error, NoTls,
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use super::{
    error::{STORE, SchemaError},
    url::PostgresUrl,
};
use crate::{
    reloading::FileWatch,
    store::{
        StoreUrl as _,
        url::{CHECK_INTERVAL, Endpoint, ReloadingEndpoint, reloading_endpoint},
    },
};

/// Opens connections. If that fails, reloads the URL from its file and tries once more.
#[derive(Clone)]
pub struct PostgresConnector(ReloadingEndpoint<PostgresEndpoint>);

/// A URL and its TLS configuration.
pub(super) struct PostgresEndpoint {
    url: PostgresUrl,
    tls: Option<MakeRustlsConnect>,
}

impl PostgresConnector {
    /// Prepares connections to a URL.
    ///
    /// # Errors
    /// Returns [`SchemaError::Tls`] if the URL requires TLS and there are no usable certificates for it.
    pub fn new(url: &PostgresUrl) -> Result<Self, SchemaError> {
        Ok(Self(reloading_endpoint(url.clone())?))
    }

    /// Returns a watch that checks the file of the URL.
    pub(super) fn watch_url_file(&self) -> FileWatch {
        self.0.watch_without_adopting(CHECK_INTERVAL)
    }

    /// Returns the current URL.
    pub(super) fn endpoint(&self) -> Arc<PostgresEndpoint> {
        self.0.current()
    }

    /// Returns whether the URL is another one than `used`, after a reload if necessary.
    pub(super) async fn has_newer_than(&self, used: &Arc<PostgresEndpoint>) -> bool {
        self.0.newer_than(used).await.is_some()
    }

    /// Opens a connection, and returns it with the task that drives it.
    ///
    /// # Errors
    /// Returns the error of PostgreSQL or the network.
    pub async fn connect(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let endpoint = self.0.current();
        match endpoint.connect().await {
            // With several hosts, the error is that of the last one: another may have rejected the password.
            Err(error) => match self.0.newer_than(&endpoint).await {
                Some(newer) => newer.connect().await,
                None => Err(error),
            },
            outcome => outcome,
        }
    }
}

impl Endpoint for PostgresEndpoint {
    const STORE: &'static str = STORE;
    type Url = PostgresUrl;
    type Error = SchemaError;

    fn new(url: PostgresUrl) -> Result<Self, SchemaError> {
        // TLS always verifies the certificate and the name. The default of libpq, `prefer`, would encrypt without
        // verification, which does not stop an active attacker.
        let config = url.is_encrypted().then(|| url.tls().client_config()).transpose()?;
        Ok(Self { url, tls: config.map(MakeRustlsConnect::new) })
    }

    fn url(&self) -> &PostgresUrl {
        &self.url
    }
}

impl PostgresEndpoint {
    async fn connect(&self) -> Result<(Client, JoinHandle<()>), Error> {
        match &self.tls {
            Some(tls) => connect_by(&self.url.config, tls.clone()).await,
            None => connect_by(&self.url.config, NoTls).await,
        }
    }
}

async fn connect_by<T>(config: &Config, tls: T) -> Result<(Client, JoinHandle<()>), Error>
where
    T: MakeTlsConnect<tokio_postgres::Socket>,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<tokio_postgres::Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    let driver = tokio::spawn(async move {
        // The client gets the same error, and its caller logs it.
        if let Err(error) = connection.await {
            debug!(%error, "connection to PostgreSQL failed");
        }
    });
    Ok((client, driver))
}

impl Connect for PostgresConnector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.connect())
    }
}
