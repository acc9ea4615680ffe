//! Opens connections to Redis.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionInfo, RedisError, TlsCertificates,
    aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{denial::explain_denial, error::STORE, url::RedisUrl};
use crate::{
    reloading::FileWatch,
    store::{
        StoreError, StoreUrl as _,
        tls::with_tls_advice,
        url::{CHECK_INTERVAL, Endpoint, ReloadingEndpoint, reloading_endpoint},
    },
};

/// Time limit of opening a connection. Requests wait for it at most until their own deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of concurrent attempts to connect: more than
/// [`SharedConnection`](crate::store::reconnect::SharedConnection) starts while one hangs.
const MAX_ATTEMPTS: usize = 16;

/// Opens connections. If that fails, reloads the URL from its file and tries once more.
pub struct RedisConnector(ReloadingEndpoint<RedisEndpoint>);

/// A URL, and the pool that opens connections to it.
struct RedisEndpoint {
    url: RedisUrl,
    pool: Pool,
}

impl RedisConnector {
    pub(super) fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        Ok(Self(reloading_endpoint(url.clone())?))
    }

    /// Returns a watch that checks the file of the URL.
    pub(super) fn watch_url_file(&self) -> FileWatch {
        self.0.watch_without_adopting(CHECK_INTERVAL)
    }

    /// Opens a connection. Reloads the URL after any error, because a rejected password cannot always be distinguished from
    /// other errors.
    pub(super) async fn connect(self: Arc<Self>) -> Result<MultiplexedConnection, StoreError> {
        let endpoint = self.0.current();
        let outcome = match endpoint.connect().await {
            Err(error) => match self.0.newer_than(&endpoint).await {
                Some(newer) => newer.connect().await,
                None => Err(error),
            },
            outcome => outcome,
        };
        outcome.map_err(|error| {
            let denial = if let PoolError::Backend(cause) = &error { explain_denial(cause) } else { None };
            denial.map_or_else(
                || StoreError::unavailable(STORE, &with_tls_advice(error.to_string(), "POSTERN_REDIS")),
                |explanation| StoreError::misconfigured(STORE, &explanation),
            )
        })
    }
}

impl Endpoint for RedisEndpoint {
    const STORE: &'static str = STORE;
    type Url = RedisUrl;
    type Error = StoreError;

    fn new(url: RedisUrl) -> Result<Self, StoreError> {
        // No timeouts here: the deadline of the request limits each response.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let info = with_certificates(&url)?;
        // Without the name of the client library, for which the user of Redis would need one more permission.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_redis_settings(settings);
        let manager = Manager::new_with_config(info, config).map_err(StoreError::from)?;
        let pool = Pool::builder(manager)
            .max_size(MAX_ATTEMPTS)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build();
        Ok(Self { url, pool: pool.map_err(|error| StoreError::unavailable(STORE, &error))? })
    }

    fn url(&self) -> &RedisUrl {
        &self.url
    }
}

/// Returns the address with the certificates of TLS if files of them are set.
fn with_certificates(url: &RedisUrl) -> Result<ConnectionInfo, RedisError> {
    let tls = url.tls();
    if !url.is_encrypted() || !tls.has_files() {
        return Ok(url.info.clone());
    }
    let certificates = TlsCertificates {
        client_tls: tls
            .client_pem()
            .map(|pem| ClientTlsConfig { client_cert: pem.certificates.to_vec(), client_key: pem.key.to_vec() }),
        root_cert: tls.ca_pem().map(<[u8]>::to_vec),
    };
    Ok(Client::build_with_tls(url.info.clone(), certificates)?.get_connection_info().clone())
}

impl RedisEndpoint {
    /// Opens a connection and sends a PING: without a password, Redis accepts a connection even if it requires one.
    async fn connect(&self) -> Result<MultiplexedConnection, PoolError> {
        let mut connection = Connection::take(self.pool.get().await?);
        let pong = timeout(CONNECT_TIMEOUT, redis::cmd("PING").exec_async(&mut connection)).await;
        match pong.map_err(|_| PoolError::Timeout(TimeoutType::Create))? {
            // The response of a server that cannot save, but serves reads.
            Err(error) if error.code() == Some("MISCONF") => Ok(connection),
            outcome => Ok(outcome.map(|()| connection)?),
        }
    }
}
