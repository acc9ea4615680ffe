//! The URL of Redis.

use std::{fmt, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

use crate::store::{StoreUrl, UrlFile};

/// The URL of Redis, with user and password. `Display` and `Debug` omit both.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) info: ConnectionInfo,
    file: Option<UrlFile>,
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url =
            ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| text.starts_with(scheme));
        let info = text.into_connection_info().ok().filter(|_| is_url);
        let info = info.ok_or("redis://user:password@host:6379/0, or rediss://… for TLS")?;
        Ok(Self { info, file: None })
    }
}

impl StoreUrl for RedisUrl {
    fn file(&self) -> Option<&UrlFile> {
        self.file.as_ref()
    }

    fn of(self, file: UrlFile) -> Self {
        Self { file: Some(file), ..self }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_encrypted = matches!(self.info.addr(), ConnectionAddr::TcpTls { .. });
        let scheme = if is_encrypted { "rediss" } else { "redis" };
        write!(formatter, "{scheme}://{}/{}", self.info.addr(), self.info.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
