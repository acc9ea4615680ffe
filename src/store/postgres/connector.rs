//! Where connections are made to, and how.

use deadpool_postgres::Connect;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Error, NoTls,
    config::SslMode,
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use super::{
    error::{STORE, SchemaError},
    url::PostgresUrl,
};
use crate::store::url::{Endpoint, ReloadingEndpoint, reloading_endpoint};

/// Where PostgreSQL is. Where no connection can be made, the file of the URL is read again.
pub struct Connector(ReloadingEndpoint<PostgresEndpoint>);

/// A URL, and what it takes to go there.
struct PostgresEndpoint {
    url: PostgresUrl,
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// The server of a URL.
    ///
    /// # Errors
    /// Where TLS is asked for and cannot be set up.
    pub fn new(url: &PostgresUrl) -> Result<Self, SchemaError> {
        Ok(Self(reloading_endpoint(url.clone())?))
    }

    /// A connection of its own, and the task that carries it.
    ///
    /// # Errors
    /// What PostgreSQL says, or the network.
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
        // Encrypted where the URL says `sslmode=require`, and then the certificate is verified. The default of libpq, which
        // encrypts where the server offers it and verifies nothing, would keep out nobody who can tamper with the connection.
        let is_encrypted = url.config.get_ssl_mode() == SslMode::Require;
        let tls = is_encrypted.then(MakeRustlsConnect::with_native_certs).transpose();
        Ok(Self { url, tls: tls.map_err(|_| SchemaError::NoRootCertificates)?.map(|(tls, _)| tls) })
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
    let carrying = tokio::spawn(async move {
        // Whoever uses the connection learns of it, and says so.
        if let Err(error) = connection.await {
            debug!(%error, "a connection to PostgreSQL has ended");
        }
    });
    Ok((client, carrying))
}

impl Connect for Connector {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(self.connect())
    }
}
