//! The URL of PostgreSQL.

use std::{fmt, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, TargetSessionAttrs},
};

use crate::store::{StoreUrl, UrlFile};

/// How long a connection may take to be made, and then to have its schema checked. Requests wait for either no longer than
/// their own time.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where PostgreSQL is, and how to log in there. It cannot be printed whole: what is shown leaves out user and password.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    file: Option<UrlFile>,
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        // Of a password that has an `@`, the parser takes the rest for a host or a database, which would be shown.
        let is_host = |host: &Host| !matches!(host, Host::Tcp(name) if name.contains('@'));
        let is_database = |config: &Config| !config.get_dbname().is_some_and(|name| name.contains('@'));
        let has_hosts = |config: &Config| {
            !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_host) && is_database(config)
        };
        let config = text.parse::<Config>().ok().filter(|config| is_url && has_hosts(config));
        let mut config = config.ok_or("postgres://user:password@host:5432/database, with ?sslmode=require for TLS")?;
        config.application_name("postern");
        // The primary, even where one name leads to a server that was it once: an epoch read from a replica may be stale.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            // The hosts are tried one after the other: one that swallows everything must leave time for the others.
            let tries = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX).saturating_add(1);
            config.connect_timeout(CONNECT_TIMEOUT / tries);
        }
        Ok(Self { config, file: None })
    }
}

impl StoreUrl for PostgresUrl {
    fn file(&self) -> Option<&UrlFile> {
        self.file.as_ref()
    }

    fn of(self, file: UrlFile) -> Self {
        Self { file: Some(file), ..self }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        };
        let hosts: Vec<_> = self.config.get_hosts().iter().map(host).collect();
        let ports: Vec<_> = self.config.get_ports().iter().map(|port| format!(":{port}")).collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(formatter, "postgres://{}{}/{database}", hosts.join(","), ports.join(","))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
