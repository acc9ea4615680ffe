//! The URL of PostgreSQL.

use std::{fmt, iter, net::IpAddr, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, Host, SslMode, TargetSessionAttrs},
};

use super::url_parameters::apply_parameter;
use crate::store::{
    StoreTls, StoreUrl, UrlFile,
    tls::is_server_name,
    url_parts::{Parameters, UrlParts, decode, host_and_port, parse_port},
};

/// Time limit of opening a connection, and of checking its schema afterwards. Requests wait for each at most until their own
/// deadline.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const DEFAULT_PORT: u16 = 5432;

/// The URL of PostgreSQL, with user and password. `Display` and `Debug` omit both.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    file: Option<UrlFile>,
    tls: StoreTls,
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "postgres://user:password@host:5432/database, with ?sslmode=verify-full for TLS";
        let parts = UrlParts::parse(text, &["postgres", "postgresql"], example)?;
        let mut parameters = parts.parameters()?;
        let mut config = Config::new();
        config.application_name("postern");
        // Only the primary, even if a host name still resolves to a former one: an epoch read from a replica may be stale.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.ssl_mode(SslMode::Disable);
        set_hosts(&mut config, &parts, &mut parameters)?;
        set_credentials(&mut config, &parts, &mut parameters)?;
        for (name, value) in parameters.iter() {
            apply_parameter(&mut config, name, value)?;
        }
        check_tls(&config)?;
        if config.get_connect_timeout().is_none() {
            // The driver tries the hosts in order: one that never responds must leave time for the others.
            let attempts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX).saturating_add(1);
            config.connect_timeout(CONNECT_TIMEOUT / attempts);
        }
        Ok(Self { config, file: None, tls: StoreTls::default() })
    }
}

/// Sets the hosts and their ports, which are before the path or in the parameters `host` and `port`.
fn set_hosts(config: &mut Config, parts: &UrlParts<'_>, parameters: &mut Parameters) -> Result<(), String> {
    let (hosts, port) = (parameters.take("host"), parameters.take("port"));
    let endpoints: Vec<(String, u16)> = match (parts.hosts, hosts) {
        ("", None) => return Err("a host, as in postgres://user:password@host/database".to_owned()),
        // They replace the hosts before the path, as in libpq: URLs with a Unix socket often have a host there that means nothing.
        (_, Some(hosts)) => hosts_of_parameters(&hosts, port.as_deref().map_or("", String::as_str))?,
        (_, None) if port.is_some() => return Err("the port after the host, as in host:5432".to_owned()),
        (hosts, None) => hosts.split(',').map(|host| host_and_port(host, DEFAULT_PORT)).collect::<Result<_, _>>()?,
    };
    for (host, port) in &endpoints {
        // The driver takes a host that starts with `/` as the directory of a Unix socket in `host_path` only.
        if host.starts_with('/') {
            config.host_path(host)
        } else {
            config.host(host)
        };
        config.port(*port);
    }
    let Some(addresses) = parameters.take("hostaddr") else { return Ok(()) };
    let addresses: Result<Vec<IpAddr>, _> = addresses.split(',').map(str::parse).collect();
    let addresses = addresses.ok().filter(|addresses| addresses.len() == endpoints.len());
    for address in addresses.ok_or("an address in `hostaddr` for each host, separated by commas")? {
        config.hostaddr(address);
    }
    Ok(())
}

/// Returns the hosts of the parameter `host`, each with its port, or all with the same.
fn hosts_of_parameters(hosts: &str, ports: &str) -> Result<Vec<(String, u16)>, String> {
    let host = |host: &str| {
        // An IPv6 address has no brackets here.
        if host.parse::<IpAddr>().is_ok() || host.starts_with('/') {
            return Ok(host.to_owned());
        }
        if host.contains(':') {
            return Err("the ports in the parameter `port`, beside `host`".to_owned());
        }
        host_and_port(host, DEFAULT_PORT).map(|(host, _)| host)
    };
    let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
    let ports = ports.split(',').map(|port| parse_port(port, DEFAULT_PORT)).collect::<Result<Vec<_>, _>>()?;
    match *ports.as_slice() {
        [port] => Ok(iter::zip(hosts, iter::repeat(port)).collect()),
        _ if ports.len() == hosts.len() => Ok(iter::zip(hosts, ports).collect()),
        _ => Err("one port in `port`, or one for each host, separated by commas".to_owned()),
    }
}

/// Sets user, password and database, which are before the parameters or among them.
fn set_credentials(config: &mut Config, parts: &UrlParts<'_>, parameters: &mut Parameters) -> Result<(), String> {
    let once = |name: &str| format!("the {name} only once, not in a parameter as well");
    match (&parts.user, parameters.take("user").filter(|user| !user.is_empty())) {
        (Some(_), Some(_)) => return Err(once("user")),
        (Some(user), None) => drop(config.user(user)),
        (None, Some(user)) => drop(config.user(user.as_str())),
        (None, None) if parts.password.is_some() => return Err("a user before the password".to_owned()),
        (None, None) => {}
    }
    match (&parts.password, parameters.take("password")) {
        (Some(_), Some(_)) => return Err(once("password")),
        (Some(password), None) => drop(config.password(password)),
        (None, Some(password)) => drop(config.password(password.as_bytes())),
        (None, None) => {}
    }
    let database = decode(parts.path, "database")?;
    match (database.is_empty(), parameters.take("dbname")) {
        (false, Some(_)) => return Err(once("database")),
        (false, None) => drop(config.dbname(database)),
        (true, Some(database)) => drop(config.dbname(database.as_str())),
        (true, None) => {}
    }
    Ok(())
}

/// Checks that each host can be reached by TLS if it is on, and that nothing requires TLS if it is off.
fn check_tls(config: &Config) -> Result<(), String> {
    if config.get_ssl_mode() != SslMode::Require {
        return match config.get_channel_binding() {
            ChannelBinding::Require => {
                Err("sslmode=verify-full beside channel_binding=require, which needs TLS".to_owned())
            }
            _ => Ok(()),
        };
    }
    for host in config.get_hosts() {
        match host {
            Host::Tcp(name) if is_server_name(name) => {}
            Host::Tcp(_) => return Err("a host that a certificate can name, because sslmode requires TLS".to_owned()),
            Host::Unix(_) => return Err("sslmode=disable for a Unix socket, on which PostgreSQL has no TLS".to_owned()),
        }
    }
    Ok(())
}

impl PostgresUrl {
    /// Returns the same URL for a connection that writes nothing, which may lead to a standby.
    pub(super) fn for_reading(mut self) -> Self {
        self.config.target_session_attrs(TargetSessionAttrs::Any);
        self
    }
}

impl StoreUrl for PostgresUrl {
    const SWITCHES_TLS_ON: &'static str = "?sslmode=verify-full in the URL";

    fn is_encrypted(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Require
    }

    fn file(&self) -> Option<&UrlFile> {
        self.file.as_ref()
    }

    fn of(self, file: UrlFile) -> Self {
        Self { file: Some(file), ..self }
    }

    fn tls(&self) -> &StoreTls {
        &self.tls
    }

    fn by(self, tls: StoreTls) -> Self {
        Self { tls, ..self }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = |(host, port): (&Host, &u16)| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        };
        let endpoints: Vec<_> = iter::zip(self.config.get_hosts(), self.config.get_ports()).map(endpoint).collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(formatter, "postgres://{}/{database}", endpoints.join(","))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
