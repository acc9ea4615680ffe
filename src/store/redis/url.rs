//! The URL of Redis.

use std::{fmt, path::PathBuf, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use crate::store::{
    StoreTls, StoreUrl, UrlFile,
    tls::is_server_name,
    url_parts::{Parameters, UrlParts, decode, host_and_port, unsupported_parameter},
};

const DEFAULT_PORT: u16 = 6379;

const SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];

/// The URL of Redis, with user and password. `Display` and `Debug` omit both.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) info: ConnectionInfo,
    file: Option<UrlFile>,
    tls: StoreTls,
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = UrlParts::parse(text, SCHEMES, "redis://user:password@host:6379/0, or rediss://… for TLS")?;
        let mut parameters = parts.parameters()?;
        let (address, settings) =
            if parts.scheme.ends_with("unix") { socket(&parts, &mut parameters)? } else { host(&parts)? };
        // RESP2 is what Postern speaks.
        match parameters.take("protocol").as_deref().map(String::as_str) {
            None | Some("2" | "resp2") => {}
            Some(_) => return Err("protocol=resp2, or no such parameter".to_owned()),
        }
        if let Some((name, _)) = parameters.iter().next() {
            return Err(unknown_parameter(name));
        }
        let info = address.into_connection_info().map_err(|_| "an address of Redis")?;
        Ok(Self { info: info.set_redis_settings(settings), file: None, tls: StoreTls::default() })
    }
}

/// Returns the address and the settings of a URL with a host.
fn host(parts: &UrlParts<'_>) -> Result<(ConnectionAddr, RedisConnectionInfo), String> {
    if parts.hosts.contains(',') {
        return Err("one host: clusters and sentinels are not supported".to_owned());
    }
    let (host, port) = host_and_port(parts.hosts, DEFAULT_PORT)?;
    if host.starts_with('/') {
        return Err("unix:///path for a Unix socket".to_owned());
    }
    if host.parse().is_ok_and(|address: std::net::IpAddr| address.is_unspecified()) {
        return Err("the address of a host, not one of a listener".to_owned());
    }
    let is_encrypted = ["rediss", "valkeys"].contains(&parts.scheme.as_str());
    if is_encrypted && !is_server_name(&host) {
        return Err("a host that a certificate can name, because the scheme requires TLS".to_owned());
    }
    let address = if is_encrypted {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut settings = RedisConnectionInfo::default().set_db(database(parts.path.trim_end_matches('/'))?);
    if let Some(password) = &parts.password {
        let password = str::from_utf8(password).map_err(|_| "the password in UTF-8, percent-encoded")?;
        settings = settings.set_password(password);
    }
    match &parts.user {
        // The client sends no user without a password, and Redis then takes the user `default`.
        Some(user) if parts.password.is_none() && user != "default" => {
            Err("a password after the user, as in user:password@host, or :password@host without a user".to_owned())
        }
        Some(user) => Ok((address, settings.set_username(user))),
        None => Ok((address, settings)),
    }
}

/// Returns the address and the settings of a URL with the path of a Unix socket.
fn socket(parts: &UrlParts<'_>, parameters: &mut Parameters) -> Result<(ConnectionAddr, RedisConnectionInfo), String> {
    let example = "unix:///path?db=0&user=name&pass=password for a Unix socket";
    let is_local = parts.hosts.is_empty() || parts.hosts.eq_ignore_ascii_case("localhost");
    if !is_local || parts.user.is_some() || parts.password.is_some() || parts.path.is_empty() {
        return Err(example.to_owned());
    }
    let address = ConnectionAddr::Unix(PathBuf::from(format!("/{}", decode(parts.path, "path")?)));
    let number = parameters.take("db");
    let mut settings = RedisConnectionInfo::default().set_db(database(number.as_deref().map_or("", String::as_str))?);
    let (user, password) = (parameters.take("user"), parameters.take("pass"));
    if user.as_deref().is_some_and(|user| user != "default") && password.is_none() {
        return Err(example.to_owned());
    }
    if let Some(user) = user {
        settings = settings.set_username(user.as_str());
    }
    if let Some(password) = password {
        settings = settings.set_password(password.as_str());
    }
    Ok((address, settings))
}

/// Returns the number of a database, by default 0.
fn database(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    // Redis keeps the number of databases in an `int`.
    let number = number.filter(|number| *number <= i64::from(i32::MAX));
    number.ok_or_else(|| "the number of a database, as in redis://host/0".to_owned())
}

/// Returns what is expected instead of a parameter.
fn unknown_parameter(name: &str) -> String {
    let advice = match name {
        "db" | "database" => "write the database as the path, as in redis://host/1",
        "user" | "username" | "pass" | "password" => {
            "write user and password before the host, as in user:password@host"
        }
        "ssl" | "tls" => "write rediss:// for TLS",
        "ssl_cert_reqs" | "insecure" | "verify" | "skip_verify" | "tls_insecure" | "ssl_check_hostname" => {
            "remove it: TLS always verifies the certificate (trust a private CA with POSTERN_REDIS_CA_FILE)"
        }
        "ssl_ca_certs" | "cacert" | "ca" => "set POSTERN_REDIS_CA_FILE",
        "ssl_certfile" | "cert" => "set POSTERN_REDIS_CERT_FILE",
        "ssl_keyfile" | "key" => "set POSTERN_REDIS_KEY_FILE",
        "timeout" | "socket_timeout" | "read_timeout" | "write_timeout" => {
            "remove it: POSTERN_STORE_TIMEOUT limits commands"
        }
        _ => "remove it: Postern does not know it",
    };
    unsupported_parameter(name, advice)
}

impl StoreUrl for RedisUrl {
    const SWITCHES_TLS_ON: &'static str = "a URL that starts with rediss://";

    fn is_encrypted(&self) -> bool {
        matches!(self.info.addr(), ConnectionAddr::TcpTls { .. })
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

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted() { "rediss" } else { "redis" };
        write!(formatter, "{scheme}://{}/{}", self.info.addr(), self.info.redis_settings().db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
