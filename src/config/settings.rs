//! All settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use time::OffsetDateTime;
use tracing_subscriber::filter::LevelFilter;

use super::setting::{Setting, TypedSetting, secret, setting};
use crate::{
    accounts::SessionOutagePolicy,
    http::{AdminListener, AllowedHeaders, InvalidNetworks, Networks, Origins, TrustedProxies},
    logging::{LogFormat, RequestLines},
    store::{postgres::PostgresUrl, redis::RedisUrl},
    tokens::AccessFormat,
};

/// Declares a constant for each setting, and the list of all.
macro_rules! settings {
    ($($constant:ident: $type:ty = $setting:expr;)*) => {
        $(pub const $constant: TypedSetting<$type> = $setting;)*

        /// Every setting, in the order of the help and the documentation.
        pub const SETTINGS: &[Setting] = &[$($constant.setting),*];
    };
}

settings! {
    LISTEN: SocketAddr =
        setting("POSTERN_LISTEN", "127.0.0.1:8000", "Address and port of the public API").address();
    OPS_LISTEN: SocketAddr =
        setting("POSTERN_OPS_LISTEN", "127.0.0.1:8001", "Address and port of probes, metrics and, by default, the admin API; must not be public")
            .address();
    TLS_CERT: PathBuf =
        setting("POSTERN_TLS_CERT", "none: plain HTTP", "PEM file with the certificate chain of the public API").path();
    TLS_KEY: PathBuf = setting("POSTERN_TLS_KEY", "none", "PEM file with the private key of the certificate").path();
    DATABASE_URL: PostgresUrl =
        secret("DATABASE_URL", "unset: embedded store", "PostgreSQL for users: postgres://user:password@host/database")
            .parsed();
    DATABASE_URL_FILE: PathBuf = setting(
        "DATABASE_URL_FILE",
        "none",
        "File that contains DATABASE_URL; read again if PostgreSQL rejects the password",
    )
    .path();
    DATABASE_CA_FILE: PathBuf = setting(
        "POSTERN_DATABASE_CA_FILE",
        "none: root certificates of the system",
        "PEM file with the CAs that PostgreSQL's certificate is verified with; requires TLS in DATABASE_URL",
    )
    .path();
    DATABASE_CERT_FILE: PathBuf =
        setting("POSTERN_DATABASE_CERT_FILE", "none", "PEM file with the client certificate chain for PostgreSQL").path();
    DATABASE_KEY_FILE: PathBuf =
        setting("POSTERN_DATABASE_KEY_FILE", "none", "PEM file with the private key of that certificate").path();
    REDIS_URL: RedisUrl =
        secret("REDIS_URL", "unset: embedded store", "Redis for sessions: redis://… or rediss://… (TLS)").parsed();
    REDIS_URL_FILE: PathBuf = setting(
        "REDIS_URL_FILE",
        "none",
        "File that contains REDIS_URL; read again if Redis rejects the password",
    )
    .path();
    REDIS_CA_FILE: PathBuf = setting(
        "POSTERN_REDIS_CA_FILE",
        "none: root certificates of the system",
        "PEM file with the CAs that Redis's certificate is verified with; requires TLS in REDIS_URL",
    )
    .path();
    REDIS_CERT_FILE: PathBuf =
        setting("POSTERN_REDIS_CERT_FILE", "none", "PEM file with the client certificate chain for Redis").path();
    REDIS_KEY_FILE: PathBuf =
        setting("POSTERN_REDIS_KEY_FILE", "none", "PEM file with the private key of that certificate").path();
    DATA_DIR: PathBuf =
        setting("POSTERN_DATA_DIR", "./postern-data", "Directory of the embedded store and its keys").path();
    KEYS_DIR: PathBuf = setting(
        "POSTERN_KEYS_DIR",
        "keys in the data directory; required with PostgreSQL and Redis",
        "Directory of the keys",
    )
    .path();
    ISSUER: String = setting("POSTERN_ISSUER", "postern", "Claim `iss` of access tokens").text();
    AUDIENCE: String = setting("POSTERN_AUDIENCE", "postern", "Claim `aud` of access tokens").text();
    ACCESS_FORMAT: AccessFormat = setting(
        "POSTERN_ACCESS_FORMAT",
        "paseto",
        "Format of access tokens: paseto; with the cargo feature `jwt` also paseto-jwt-claims and jwt",
    )
    .parsed();
    ACCESS_TTL: Duration = setting("POSTERN_ACCESS_TTL", "5m", "Lifetime of an access token").duration("1s", "1h");
    REFRESH_TTL: Duration =
        setting("POSTERN_REFRESH_TTL", "24h", "Lifetime of a session, counted from the login").duration("1s", "365d");
    SESSION_IDLE_TTL: Option<Duration> = setting(
        "POSTERN_SESSION_IDLE_TTL",
        "none",
        "Time without use after which a session ends, or none; the recorded use may be up to a minute older than the last",
    )
    .optional_duration("2m", "365d");
    MAX_SESSIONS: u32 =
        setting("POSTERN_MAX_SESSIONS", "100", "Maximum number of sessions of a user; one more ends the oldest")
            .count("1", "1000");
    REFRESH_ROTATION: bool =
        setting("POSTERN_REFRESH_ROTATION", "off", "Whether a refresh replaces the refresh token: on or off").switch();
    API_KEYS_FILE: PathBuf =
        setting("POSTERN_API_KEYS_FILE", "none: no API clients", "File with the API keys for `/introspect/` and the admin API")
            .path();
    ADMIN_API: AdminListener = setting(
        "POSTERN_ADMIN_API",
        "operations",
        "Listener that serves `/admin/api/`: operations, public (requires POSTERN_ADMIN_NETWORKS and POSTERN_TRUSTED_PROXIES) or off",
    )
    .parsed();
    ADMIN_NETWORKS: Networks = setting(
        "POSTERN_ADMIN_NETWORKS",
        "all; required if POSTERN_ADMIN_API is public",
        "Addresses and networks of the clients of `/admin/api/`, such as 10.8.0.0/24,2001:db8::/64; for others, it is not there",
    )
    .list()
    .parsed_by(|_, text| text.parse().map_err(|invalid: InvalidNetworks| invalid.to_string()));
    ADMIN_REAUTH_AGE: Duration = setting(
        "POSTERN_ADMIN_REAUTH_AGE",
        "1h",
        "How long after the password was last verified in a session an administrator may use `/admin/api/`",
    )
    .duration("1m", "24h");
    KEYS_MAX_AGE: Duration =
        setting("POSTERN_KEYS_MAX_AGE", "5m", "How long caches may keep the published keys").duration("1s", "24h");
    PASSWORD_MIN_LENGTH: usize =
        setting("POSTERN_PASSWORD_MIN_LENGTH", "8", "Minimum length of a new password, in code points")
            .count("8", "64");
    HASH_MEMORY: ByteSize =
        setting("POSTERN_HASH_MEMORY", "19MiB", "Memory of a password hash (Argon2id)").size("8KiB", "4GiB");
    HASH_PASSES: u32 = setting("POSTERN_HASH_PASSES", "2", "Passes of a password hash").count("1", "100");
    HASH_LANES: u32 = setting("POSTERN_HASH_LANES", "1", "Lanes of a password hash").count("1", "16");
    HASH_THREADS: usize =
        setting("POSTERN_HASH_THREADS", "CPU quota", "Number of threads that hash passwords").count("1", "256");
    HASH_MAX_WAIT: Duration =
        setting("POSTERN_HASH_MAX_WAIT", "2s", "Maximum wait for a hashing thread").duration("1ms", "60s");
    IMPORTED_HASHES_UNTIL: Option<OffsetDateTime> = setting(
        "POSTERN_IMPORTED_HASHES_UNTIL",
        "none",
        "Time from which imported password hashes are no longer accepted: a date (00:00 UTC), a time such as 2027-06-30T12:00:00Z, or none",
    )
    .optional_time();
    REQUEST_TIMEOUT: Duration = setting(
        "POSTERN_REQUEST_TIMEOUT",
        "10s",
        "Maximum time for a request head (at most 10s), and then for the response",
    )
    .duration("100ms", "5m");
    STORE_TIMEOUT: Duration =
        setting("POSTERN_STORE_TIMEOUT", "1s", "Maximum time for all store calls of a request").duration("10ms", "60s");
    MAX_CONNECTIONS: usize = setting(
        "POSTERN_MAX_CONNECTIONS",
        "10000",
        "Maximum number of connections of the public API; one more evicts an idle one",
    )
    .count("1", "1000000");
    REQUEST_MEMORY: ByteSize = setting(
        "POSTERN_REQUEST_MEMORY",
        "half of what hashing leaves of the memory limit, 4MiB to 1GiB",
        "Memory of all connections and requests; when it is scarce, the slowest bodies end",
    )
    .size("4MiB", "64GiB");
    IDLE_TIMEOUT: Duration = setting(
        "POSTERN_IDLE_TIMEOUT",
        "75s",
        "Maximum time between requests on a connection; must exceed the idle timeout of a proxy in front",
    )
    .duration("100ms", "1h");
    MAX_CONNECTION_AGE: Duration =
        setting("POSTERN_MAX_CONNECTION_AGE", "5m", "Age (±10 %) at which a connection is closed gracefully")
            .duration("1s", "24h");
    CORS_ORIGINS: Origins = setting(
        "POSTERN_CORS_ORIGINS",
        "none",
        "Origins whose scripts may read responses, separated by commas, such as https://app.example.org,capacitor://localhost",
    )
    .list()
    .parsed();
    CORS_HEADERS: AllowedHeaders = setting(
        "POSTERN_CORS_HEADERS",
        "none",
        "Request headers that these scripts may send besides those that Postern reads and those of tracing libraries, separated by commas",
    )
    .list()
    .parsed();
    VERIFY_DEGRADED: SessionOutagePolicy = setting(
        "POSTERN_VERIFY_DEGRADED",
        "refuse",
        "How `/verify/` responds if Redis is unreachable: refuse, or accept tokens without checking their sessions",
    )
    .parsed();
    THROTTLE: bool =
        setting("POSTERN_THROTTLE", "on", "Rate limits on failed logins and on sign-ups: on or off").switch();
    TRUSTED_PROXIES: TrustedProxies = setting(
        "POSTERN_TRUSTED_PROXIES",
        "none; required if POSTERN_LISTEN is not a loopback address or POSTERN_ADMIN_API is public",
        "Addresses and networks of proxies whose `X-Forwarded-For` is trusted, such as 10.8.0.0/24,2001:db8::/64, or none",
    )
    .list()
    .parsed();
    AUDIT_RETENTION: Option<Duration> =
        setting("POSTERN_AUDIT_RETENTION", "365d", "How long audit events are stored, or none for unlimited")
            .optional_duration("1d", "3650d");
    DRAIN_DELAY: Duration =
        setting("POSTERN_DRAIN_DELAY", "0s", "Time after SIGTERM in which connections are still accepted")
            .duration("0s", "5m");
    SHUTDOWN_GRACE: Duration =
        setting("POSTERN_SHUTDOWN_GRACE", "20s", "After that, maximum time for requests in progress")
            .duration("100ms", "10m");
    LOG: LevelFilter =
        setting("POSTERN_LOG", "info", "Lowest level that is logged: off, error, warn, info, debug or trace")
            .parsed_by(|_, text| text.parse().map_err(|_| "off, error, warn, info, debug or trace".to_owned()));
    LOG_FORMAT: LogFormat =
        setting("POSTERN_LOG_FORMAT", "text on a terminal, else json", "Format of the log: text or json").parsed();
    LOG_REQUESTS: RequestLines = setting(
        "POSTERN_LOG_REQUESTS",
        "all",
        "Requests that are logged: all, errors (status 500 or above, or no response) or none",
    )
    .parsed();
}

/// The URL of a store or the file that contains it, and the files of its certificates.
pub struct UrlSettings<T> {
    pub url: TypedSetting<T>,
    pub file: TypedSetting<PathBuf>,
    pub ca: TypedSetting<PathBuf>,
    pub client_certificate: TypedSetting<PathBuf>,
    pub client_key: TypedSetting<PathBuf>,
}

pub const DATABASE: UrlSettings<PostgresUrl> = UrlSettings {
    url: DATABASE_URL,
    file: DATABASE_URL_FILE,
    ca: DATABASE_CA_FILE,
    client_certificate: DATABASE_CERT_FILE,
    client_key: DATABASE_KEY_FILE,
};

pub const REDIS: UrlSettings<RedisUrl> = UrlSettings {
    url: REDIS_URL,
    file: REDIS_URL_FILE,
    ca: REDIS_CA_FILE,
    client_certificate: REDIS_CERT_FILE,
    client_key: REDIS_KEY_FILE,
};
