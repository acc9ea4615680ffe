//! The parameters of the URL of PostgreSQL.

use std::{str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, LoadBalanceHosts, SslMode},
};

use crate::store::url_parts::unsupported_parameter;

/// Applies a parameter. The names are those of libpq (PostgreSQL documentation, section 34.1.2).
///
/// # Errors
/// Returns what is expected instead if Postern cannot do what the parameter asks for, or if the parameter is unknown.
pub(super) fn apply_parameter(config: &mut Config, name: &str, value: &str) -> Result<(), String> {
    if is_default(name, value) {
        return Ok(());
    }
    let _: &mut Config = match (name, value) {
        ("sslmode", _) => config.ssl_mode(ssl_mode(value)?),
        ("channel_binding", "disable") => config.channel_binding(ChannelBinding::Disable),
        ("channel_binding", "prefer") => config.channel_binding(ChannelBinding::Prefer),
        ("channel_binding", "require") => config.channel_binding(ChannelBinding::Require),
        ("load_balance_hosts", "disable") => config.load_balance_hosts(LoadBalanceHosts::Disable),
        ("load_balance_hosts", "random") => config.load_balance_hosts(LoadBalanceHosts::Random),
        ("application_name", _) => config.application_name(value),
        ("options", _) => config.options(value),
        ("connect_timeout", _) => config.connect_timeout(seconds(name, value)?),
        ("keepalives_idle", _) => config.keepalives_idle(seconds(name, value)?),
        ("keepalives_interval", _) => config.keepalives_interval(seconds(name, value)?),
        ("tcp_user_timeout", _) => config.tcp_user_timeout(Duration::from_millis(number::<u32>(name, value)?.into())),
        ("keepalives", "0" | "1") => config.keepalives(value == "1"),
        ("keepalives_count" | "keepalives_retries", _) => config.keepalives_retries(number(name, value)?),
        _ => return Err(expected_instead(name)),
    };
    Ok(())
}

/// Returns whether a parameter asks for what Postern does anyway: the primary, for example, which `any` allows.
fn is_default(name: &str, value: &str) -> bool {
    match name {
        "target_session_attrs" => ["any", "read-write", "primary"].contains(&value),
        "sslnegotiation" => value == "postgres",
        "gssencmode" => value == "disable",
        "sslrootcert" => value == "system",
        "client_encoding" => ["utf8", "utf-8", "auto"].contains(&value.to_ascii_lowercase().as_str()),
        // As in libpq.
        "connect_timeout" | "keepalives_idle" | "keepalives_interval" | "tcp_user_timeout" => value == "0",
        _ => false,
    }
}

/// Returns the mode of TLS: off, or on with a verified certificate and name.
fn ssl_mode(value: &str) -> Result<SslMode, String> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        "prefer" | "allow" => Err(format!(
            "sslmode=disable, or verify-full for TLS, not `{value}`: it falls back to a connection without TLS or without \
             a verified certificate, which an attacker can force"
        )),
        _ => Err("sslmode=disable, require, verify-ca or verify-full".to_owned()),
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    number::<u32>(name, value).map(|seconds| Duration::from_secs(seconds.into()))
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("a whole number in `{name}`"))
}

/// Returns what is expected instead of a parameter, or of its value.
fn expected_instead(name: &str) -> String {
    let advice = match name {
        "target_session_attrs" => {
            return "target_session_attrs=any, read-write or primary: Postern reads and writes the primary".to_owned();
        }
        "channel_binding" => return "channel_binding=disable, prefer or require".to_owned(),
        "load_balance_hosts" => return "load_balance_hosts=disable or random".to_owned(),
        "sslnegotiation" => return "sslnegotiation=postgres, or no such parameter".to_owned(),
        "gssencmode" => return "gssencmode=disable, or no such parameter: GSSAPI is not supported".to_owned(),
        "client_encoding" => return "client_encoding=UTF8, or no such parameter".to_owned(),
        "keepalives" => return "keepalives=0 or 1".to_owned(),
        "sslrootcert" => "set POSTERN_DATABASE_CA_FILE",
        "sslcert" => "set POSTERN_DATABASE_CERT_FILE",
        "sslkey" => "set POSTERN_DATABASE_KEY_FILE",
        "sslpassword" => "set POSTERN_DATABASE_KEY_FILE to a key without a password",
        "sslcrl" | "sslcrldir" => "revocation lists are not supported",
        "ssl" | "sslaccept" | "requiressl" | "tls" => "write sslmode=verify-full for TLS, or sslmode=disable",
        "schema" | "currentSchema" | "search_path" => {
            "write options=-c%20search_path%3Dname, or set the search_path of the role"
        }
        "pgbouncer" => "remove it, and use session mode if PgBouncer is in front",
        "connection_limit" | "max_connections" | "pool_max_conns" | "pool_size" | "pool_timeout" => {
            "remove it: the size of the pool is fixed"
        }
        "statement_timeout" | "socket_timeout" | "query_timeout" | "lock_timeout" => {
            "remove it: POSTERN_STORE_TIMEOUT limits statements"
        }
        "require_auth" | "krbsrvname" | "gsslib" | "gssdelegation" | "passfile" | "service" | "servicefile" => {
            "remove it, and write user and password in the URL"
        }
        _ => "remove it: Postern does not know it",
    };
    unsupported_parameter(name, advice)
}
