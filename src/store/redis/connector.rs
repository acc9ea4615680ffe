//! Makes connections.

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Connection, Manager, Pool, PoolError, Runtime, TimeoutType};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{error::STORE, url::RedisUrl};
use crate::store::{
    StoreError,
    url::{Endpoint, ReloadingEndpoint, reloading_endpoint},
};

/// How long a connection may take to be made. Requests wait for it no longer than their own time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The most connections that are being made at once: more than [`SharedConnection`] begins while one hangs.
const MAX_ATTEMPTS: usize = 16;

/// Where connections are made to.
pub struct Connector(ReloadingEndpoint<RedisEndpoint>);

/// A URL, and what makes connections by it.
struct RedisEndpoint {
    url: RedisUrl,
    pool: Pool,
}

impl Connector {
    pub(super) fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        Ok(Self(reloading_endpoint(url.clone())?))
    }

    /// A connection of its own. Where none can be made, the file of the URL may say something else by now: a password that
    /// is refused is not always told from other errors.
    pub(super) async fn connect(self: Arc<Self>) -> Result<MultiplexedConnection, StoreError> {
        let endpoint = self.0.current();
        let outcome = match endpoint.connect().await {
            Err(error) => match self.0.newer_than(&endpoint).await {
                Some(newer) => newer.connect().await,
                None => Err(error),
            },
            outcome => outcome,
        };
        outcome.map_err(|error| StoreError::unavailable(STORE, &error))
    }
}

impl Endpoint for RedisEndpoint {
    const STORE: &'static str = STORE;
    type Url = RedisUrl;
    type Error = StoreError;

    fn new(url: RedisUrl) -> Result<Self, StoreError> {
        // The time of the request limits each response.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let manager = Manager::new_with_config(url.info.clone(), config).map_err(StoreError::from)?;
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

impl RedisEndpoint {
    /// A connection that has carried an answer: without a password, one is made whether Redis asks for one or not.
    async fn connect(&self) -> Result<MultiplexedConnection, PoolError> {
        let mut connection = Connection::take(self.pool.get().await?);
        let pong = timeout(CONNECT_TIMEOUT, redis::cmd("PING").exec_async(&mut connection)).await;
        pong.map_err(|_| PoolError::Timeout(TimeoutType::Create))??;
        Ok(connection)
    }
}
