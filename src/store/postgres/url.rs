//! The URL of PostgreSQL.

use std::{fmt, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, TargetSessionAttrs},
};

use crate::store::{StoreUrl, UrlFile};

/// Time limit of opening a connection, and of checking its schema afterwards. Requests wait for each at most until their own
/// deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The URL of PostgreSQL, with user and password. `Display` and `Debug` omit both.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    file: Option<UrlFile>,
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        // If the password contains an `@`, the parser treats the rest of it as a host or database, which would be printed.
        let is_host = |host: &Host| !matches!(host, Host::Tcp(name) if name.contains('@'));
        let is_database = |config: &Config| !config.get_dbname().is_some_and(|name| name.contains('@'));
        let has_hosts = |config: &Config| {
            !config.get_hosts().is_empty() && config.get_hosts().iter().all(is_host) && is_database(config)
        };
        let config = text.parse::<Config>().ok().filter(|config| is_url && has_hosts(config));
        let mut config = config.ok_or("postgres://user:password@host:5432/database, with ?sslmode=require for TLS")?;
        config.application_name("postern");
        // Only the primary, even if a host name still resolves to a former one: an epoch read from a replica may be stale.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            // The driver tries the hosts in order: one that never responds must leave time for the others.
            let attempts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX).saturating_add(1);
            config.connect_timeout(CONNECT_TIMEOUT / attempts);
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
