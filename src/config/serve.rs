//! The settings of `serve`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use time::OffsetDateTime;
use tracing_subscriber::filter::LevelFilter;

use super::{
    hash_budget::{free_memory, is_oversubscribed},
    reader::Reader,
    setting::ConfigError,
    settings::{
        ACCESS_FORMAT, ADMIN_API, API_KEYS_FILE, AUDIENCE, AUDIT_RETENTION, CORS_HEADERS, CORS_ORIGINS, DATA_DIR,
        DRAIN_DELAY, IDLE_TIMEOUT, IMPORTED_HASHES_UNTIL, ISSUER, LISTEN, LOG, LOG_FORMAT, LOG_REQUESTS,
        MAX_CONNECTION_AGE, MAX_CONNECTIONS, MAX_SESSIONS, OPS_LISTEN, PASSWORD_MIN_LENGTH, REFRESH_ROTATION,
        REQUEST_TIMEOUT, SHUTDOWN_GRACE, STORE_TIMEOUT, THROTTLE, VERIFY_DEGRADED,
    },
    stores::Stores,
    values::Values,
};
use crate::{
    accounts::{Lifetimes, SessionOutagePolicy},
    http::{AdminAccess, AdminListener, CorsPolicy, RequestLimits, TrustedProxies},
    logging::{LogFormat, RequestLines},
    passwords::HasherSettings,
    server::TlsFiles,
    tokens::AccessFormat,
};

/// The settings of a server.
#[derive(Debug)]
pub struct Config {
    /// The address of the public listener.
    pub listen: SocketAddr,
    /// The address of the operations listener.
    pub ops_listen: SocketAddr,
    /// The certificate and the key of the public listener, if it uses TLS.
    pub tls: Option<TlsFiles>,
    /// The origins whose scripts may read responses, and the headers that they may send.
    pub cors: CorsPolicy,
    /// The stores of users and sessions.
    pub stores: Stores,
    /// The directory of the embedded store.
    pub data_dir: PathBuf,
    /// The directory of the keys.
    pub keys_dir: PathBuf,
    /// The claim `iss` of access tokens.
    pub issuer: String,
    /// The claim `aud` of access tokens.
    pub audience: String,
    /// The format of new access tokens.
    pub access_format: AccessFormat,
    /// The lifetimes of tokens, sessions and published keys.
    pub lifetimes: Lifetimes,
    /// The maximum number of sessions of a user.
    pub max_sessions: u32,
    /// Whether a refresh replaces the refresh token.
    pub refresh_rotation: bool,
    /// The file of API keys.
    pub api_keys_file: Option<PathBuf>,
    /// The listener that serves the admin API.
    pub admin_listener: AdminListener,
    /// Who may call the admin API.
    pub admin_access: AdminAccess,
    /// The minimum length of a new password, in code points.
    pub password_min_length: usize,
    /// The hashing settings.
    pub hashing: HasherSettings,
    /// When imported hashes are no longer accepted. `None`: never.
    pub imported_hashes_until: Option<OffsetDateTime>,
    /// The time limits of a request.
    pub limits: RequestLimits,
    /// The maximum number of connections of the public listener.
    pub max_connections: usize,
    /// The memory of all connections and requests, in bytes.
    pub request_memory_bytes: u64,
    /// The maximum time between requests on a connection.
    pub idle_timeout: Duration,
    /// The age at which a connection is closed gracefully.
    pub max_connection_age: Duration,
    /// The policy of `/verify/` while the session store is unreachable.
    pub verify_degraded: SessionOutagePolicy,
    /// Whether failed logins and sign-ups are limited.
    pub rate_limiting: bool,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
    /// How long audit events are stored. `None`: unlimited.
    pub audit_retention: Option<Duration>,
    /// The time after SIGTERM in which connections are still accepted.
    pub drain_delay: Duration,
    /// After the drain delay, the maximum time for requests in progress.
    pub shutdown_grace: Duration,
    /// The lowest level that is logged.
    pub log: LevelFilter,
    /// The format of the log.
    pub log_format: LogFormat,
    /// The requests that are logged.
    pub log_requests: RequestLines,
}

impl Config {
    /// Returns the settings of `serve`.
    ///
    /// # Errors
    /// Returns every error if a setting is invalid.
    pub fn for_serve(values: &Values) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(values);
        let stores = reader.stores();
        let is_embedded = matches!(stores, Some(Stores::Embedded));
        let data_dir = reader.read(&DATA_DIR);
        let listen = reader.read(&LISTEN);
        let admin_listener = reader.read(&ADMIN_API);
        let mut config = Self {
            listen,
            ops_listen: reader.read(&OPS_LISTEN),
            tls: reader.tls(),
            cors: CorsPolicy { origins: reader.read(&CORS_ORIGINS), headers: reader.read(&CORS_HEADERS) },
            stores: stores.unwrap_or(Stores::Embedded),
            keys_dir: if is_embedded { reader.embedded_keys_dir(&data_dir) } else { reader.required_keys_dir() },
            data_dir,
            issuer: reader.read(&ISSUER),
            audience: reader.read(&AUDIENCE),
            access_format: reader.read(&ACCESS_FORMAT),
            lifetimes: reader.lifetimes(),
            max_sessions: reader.read(&MAX_SESSIONS),
            refresh_rotation: reader.read(&REFRESH_ROTATION),
            api_keys_file: reader.read_if_set(&API_KEYS_FILE),
            admin_listener,
            admin_access: reader.admin_access(admin_listener),
            password_min_length: reader.read(&PASSWORD_MIN_LENGTH),
            hashing: reader.server_hashing(),
            imported_hashes_until: reader.read(&IMPORTED_HASHES_UNTIL),
            request_memory_bytes: 0,
            limits: RequestLimits { request: reader.read(&REQUEST_TIMEOUT), store: reader.read(&STORE_TIMEOUT) },
            max_connections: reader.read(&MAX_CONNECTIONS),
            idle_timeout: reader.read(&IDLE_TIMEOUT),
            max_connection_age: reader.read(&MAX_CONNECTION_AGE),
            verify_degraded: reader.read(&VERIFY_DEGRADED),
            rate_limiting: reader.read(&THROTTLE),
            trusted_proxies: reader.trusted_proxies(listen, admin_listener),
            audit_retention: reader.read(&AUDIT_RETENTION),
            drain_delay: reader.read(&DRAIN_DELAY),
            shutdown_grace: reader.read(&SHUTDOWN_GRACE),
            log: reader.read(&LOG),
            log_format: reader.read_if_set(&LOG_FORMAT).unwrap_or_else(LogFormat::for_standard_error),
            log_requests: reader.read(&LOG_REQUESTS),
        };
        config.request_memory_bytes = reader.request_memory_bytes(&config.hashing);
        if overlap(config.listen, config.ops_listen) {
            reader.error(&OPS_LISTEN, "overlaps with POSTERN_LISTEN: expected a different address or port");
        }
        reader.finish(config)
    }

    /// Returns the memory in bytes that hashing threads, connections and requests leave of the memory limit, if it is known.
    #[must_use]
    pub fn free_memory_bytes(&self) -> Option<u64> {
        free_memory(&self.hashing, self.request_memory_bytes)
    }

    /// Returns whether the hashing threads leave less than half a CPU of the quota of this process.
    #[must_use]
    pub fn hashing_is_oversubscribed(&self) -> bool {
        is_oversubscribed(self.hashing.threads)
    }
}

/// Returns whether two listeners cannot have these addresses: their ports are equal, and one accepts connections to the other.
/// `[::]` accepts IPv4 too.
fn overlap(first: SocketAddr, second: SocketAddr) -> bool {
    let accepts = |listener: IpAddr, address: IpAddr| match listener {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.is_ipv4(),
        listener => listener == address,
    };
    let (one, other) = (first.ip(), second.ip());
    first.port() != 0 && first.port() == second.port() && (accepts(one, other) || accepts(other, one))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            commands::for_keys,
            setting::Setting,
            settings::{DATABASE_URL, REDIS_URL},
            values::ValueSource,
        },
        *,
    };
    use crate::passwords::HashParameters;

    fn values(environment: &[(&str, &str)]) -> Values {
        let lookup =
            |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, text)| (*text).to_owned());
        Values::new(|_| None, lookup)
    }

    fn errors(environment: &[(&str, &str)]) -> Vec<String> {
        let errors = Config::for_serve(&values(environment)).expect_err("invalid settings");
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_are_valid() {
        let config = Config::for_serve(&values(&[])).expect("valid defaults");

        assert!(matches!(config.stores, Stores::Embedded));
        assert_eq!(config.keys_dir, PathBuf::from("./postern-data/keys"));
        assert_eq!(config.hashing.parameters, HashParameters { memory_kib: 19 * 1024, passes: 2, lanes: 1 });
        assert_eq!(config.lifetimes.access, Duration::from_mins(5));
    }

    #[test]
    fn all_invalid_settings_are_reported_at_once() {
        insta::assert_debug_snapshot!(
            errors(&[
                ("POSTERN_LISTEN", "8000"),
                ("POSTERN_ACCESS_TTL", "2h"),
                ("POSTERN_PASSWORD_MIN_LENGTH", "4"),
                ("POSTERN_HASH_MEMORY", "64KiB"),
                ("POSTERN_HASH_LANES", "16"),
                ("POSTERN_HASH_THREADS", "none"),
                ("POSTERN_LOG_FORMAT", "xml"),
                ("POSTERN_LOG_REQUESTS", "some"),
            ]),
            @r#"
        [
            "POSTERN_LISTEN: invalid value `8000`: expected an address and a port, such as 127.0.0.1:8000",
            "POSTERN_ACCESS_TTL: invalid value `2h`: expected a duration between 1s and 1h",
            "POSTERN_PASSWORD_MIN_LENGTH: invalid value `4`: expected a whole number between 8 and 64",
            "POSTERN_HASH_MEMORY: 16 lanes need at least 128KiB",
            "POSTERN_HASH_THREADS: invalid value `none`: expected a whole number between 1 and 256",
            "POSTERN_LOG_FORMAT: invalid value `xml`: expected text or json",
            "POSTERN_LOG_REQUESTS: invalid value `some`: expected all, errors or none",
        ]
        "#
        );
    }

    #[test]
    fn session_settings_are_validated() {
        insta::assert_debug_snapshot!(
            errors(&[
                ("POSTERN_SESSION_IDLE_TTL", "1m"),
                ("POSTERN_MAX_SESSIONS", "0"),
                ("POSTERN_REFRESH_ROTATION", "yes"),
                ("POSTERN_VERIFY_DEGRADED", "on"),
                ("POSTERN_AUDIT_RETENTION", "12h"),
            ]),
            @r#"
        [
            "POSTERN_SESSION_IDLE_TTL: invalid value `1m`: expected none or a duration between 2m and 365d",
            "POSTERN_MAX_SESSIONS: invalid value `0`: expected a whole number between 1 and 1000",
            "POSTERN_REFRESH_ROTATION: invalid value `yes`: expected on or off",
            "POSTERN_VERIFY_DEGRADED: invalid value `on`: expected refuse or accept",
            "POSTERN_AUDIT_RETENTION: invalid value `12h`: expected none or a duration between 1d and 3650d",
        ]
        "#
        );

        let config = Config::for_serve(&values(&[
            ("POSTERN_SESSION_IDLE_TTL", "30m"),
            ("POSTERN_MAX_SESSIONS", "3"),
            ("POSTERN_REFRESH_ROTATION", "on"),
        ]));
        let config = config.expect("valid settings");
        assert_eq!(config.lifetimes.idle, Some(Duration::from_mins(30)));
        assert_eq!((config.max_sessions, config.refresh_rotation), (3, true));
        let defaults = Config::for_serve(&values(&[])).expect("valid defaults");
        assert_eq!((defaults.lifetimes.idle, defaults.max_sessions, defaults.refresh_rotation), (None, 100, false));
    }

    #[test]
    fn imported_hashes_are_accepted_until_a_date_or_a_time() {
        let until = |text| {
            let config = Config::for_serve(&values(&[("POSTERN_IMPORTED_HASHES_UNTIL", text)]));
            config.expect("a valid setting").imported_hashes_until.map(OffsetDateTime::unix_timestamp)
        };

        assert_eq!(["", "none"].map(until), [None, None]);
        assert_eq!(until("2027-06-30"), Some(1_814_313_600));
        assert_eq!(until("2027-06-30T14:00:00+02:00"), Some(1_814_313_600 + 12 * 3600));
        for invalid in ["soon", "2027-13-01", "2027", "2027-W26-3", "20270630", "2027-06-30T14:00:00"] {
            assert_eq!(
                errors(&[("POSTERN_IMPORTED_HASHES_UNTIL", invalid)]),
                [format!(
                    "POSTERN_IMPORTED_HASHES_UNTIL: invalid value `{invalid}`: expected none, a date such as 2027-06-30, or a \
                     time such as 2027-06-30T12:00:00Z"
                )]
            );
        }
    }

    #[test]
    fn key_times_follow_from_the_lifetimes() {
        let config = for_keys(&values(&[
            ("POSTERN_KEYS_MAX_AGE", "1m"),
            ("POSTERN_ACCESS_TTL", "2m"),
            ("POSTERN_REFRESH_TTL", "3h"),
        ]));

        let times = config.expect("valid settings").times;
        assert_eq!(
            (times.max_age, times.access, times.refresh),
            (Duration::from_mins(1), Duration::from_mins(2), Duration::from_hours(3))
        );
    }

    #[test]
    fn one_store_url_alone_is_rejected() {
        let url = "postgres://postern:hunter2@localhost/postern";

        let found = errors(&[("DATABASE_URL", url), ("POSTERN_KEYS_DIR", "keys")]);

        assert_eq!(found, ["REDIS_URL: not set although DATABASE_URL is: expected both or neither"]);
    }

    #[test]
    fn listeners_must_have_different_addresses() {
        let same = "127.0.0.1:8000";

        for (public, operations) in [
            (same, same),
            ("[::]:8000", "0.0.0.0:8000"),
            ("[::]:8000", same),
            ("[::1]:8000", "[::]:8000"),
            ("0.0.0.0:8000", same),
        ] {
            let proxies = ("POSTERN_TRUSTED_PROXIES", "none");
            let found = errors(&[("POSTERN_LISTEN", public), ("POSTERN_OPS_LISTEN", operations), proxies]);
            assert_eq!(found.len(), 1, "{public} {operations} {found:?}");
        }
        for (public, operations) in
            [("127.0.0.1:8000", "[::1]:8000"), ("0.0.0.0:8000", "[::1]:8000"), (same, "[::]:8001")]
        {
            assert!(!overlap(public.parse().expect("an address"), operations.parse().expect("an address")));
        }
        let free = "127.0.0.1:0";
        assert!(Config::for_serve(&values(&[("POSTERN_LISTEN", free), ("POSTERN_OPS_LISTEN", free)])).is_ok());
    }

    #[test]
    fn errors_do_not_repeat_store_urls() {
        let found = errors(&[
            ("DATABASE_URL", "mysql://postern:hunter2@localhost"),
            ("REDIS_URL", "http://:hunter2@localhost"),
            ("POSTERN_KEYS_DIR", "keys"),
        ]);

        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }

    #[test]
    fn flags_take_precedence_and_empty_values_are_unset() {
        let flag = |setting: &Setting| (setting.name == "POSTERN_ISSUER").then(|| "flag".to_owned());
        let environment = |name: &str| match name {
            "POSTERN_ISSUER" | "POSTERN_AUDIENCE" => Some("environment".to_owned()),
            "DATABASE_URL" => Some(String::new()),
            _ => None,
        };

        let values = Values::new(flag, environment);

        assert_eq!(values.display(&ISSUER.setting), ("flag", ValueSource::Flag));
        assert_eq!(values.display(&AUDIENCE.setting), ("environment", ValueSource::Environment));
        assert_eq!(values.display(&DATABASE_URL.setting).1, ValueSource::Default);
    }

    #[test]
    fn secrets_are_not_displayed() {
        let values = values(&[("REDIS_URL", "redis://:hunter2@localhost")]);

        assert_eq!(values.display(&REDIS_URL.setting), ("(set, not shown)", ValueSource::Environment));
    }
}
