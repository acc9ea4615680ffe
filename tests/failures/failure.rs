//! Failures of stores, and how they are made and ended.

use std::{fmt, time::Duration};

use postern::{
    accounts::CallContext,
    model::{KeyTag, NewSession, PasswordHash, SessionId, User},
    store::TimeBudget,
};

use super::{
    STORE_TIMEOUT, Service,
    private_stores::{FIRST, PrivateStores},
};
use crate::support::{Proxy, call, sql};

/// A failure of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Postgres(FailureKind),
    Redis(FailureKind),
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Connections are closed, and new ones refused.
    Refuses,
    /// Connections are accepted, and bytes are dropped.
    NetworkLoses,
    /// Bytes are held.
    Frozen,
    /// Responses come after every deadline.
    RespondsLate,
    /// Responses are truncated.
    ResponsesTruncated,
    /// It was killed and has started again; Redis is empty.
    Restarted,
    /// It accepts connections and is not ready.
    Starting,
    /// It has become a replica.
    ReadOnly,
    /// It has no space for writes.
    Full,
    /// It has no free connections.
    NoConnectionsLeft,
    /// Its password has changed, also in the file.
    PasswordRotated,
}

use self::FailureKind::{
    Frozen, Full, NetworkLoses, NoConnectionsLeft, PasswordRotated, ReadOnly, Refuses, RespondsLate,
    ResponsesTruncated, Restarted, Starting,
};

/// Fails every write with the code of a full disk.
const FILL: &str = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION no_room()";

impl Failure {
    pub async fn inject(self, place: &PrivateStores) {
        match self {
            Self::Postgres(how @ (Restarted | Starting | ReadOnly | Full | NoConnectionsLeft | PasswordRotated)) => {
                inject_into_postgres(how, place).await;
            }
            Self::Redis(how @ (Restarted | Starting | ReadOnly | Full | NoConnectionsLeft | PasswordRotated)) => {
                inject_into_redis(how, place).await;
            }
            Self::Postgres(how) => inject_into_network(how, &place.to_postgres).await,
            Self::Redis(how) => inject_into_network(how, &place.to_redis).await,
        }
    }

    pub async fn end(self, place: &PrivateStores) {
        let (mut postgres, mut redis) = (place.postgres.lock().await, place.redis.lock().await);
        match self {
            Self::Postgres(Starting | ReadOnly) => postgres.restart(None).await,
            Self::Postgres(Full) => sql(&postgres.administration_of_service(), "DROP TRIGGER no_room ON users").await,
            Self::Postgres(NoConnectionsLeft) => {
                sql(&postgres.user_admin(), "ALTER ROLE service CONNECTION LIMIT -1").await;
            }
            Self::Redis(Starting) => redis.restart(&[]).await,
            Self::Redis(ReadOnly) => redis.send(&["REPLICAOF", "NO", "ONE"]).await,
            Self::Redis(Full) => redis.send(&["CONFIG", "SET", "maxmemory", "0"]).await,
            Self::Redis(NoConnectionsLeft) => redis.send(&["CONFIG", "SET", "maxclients", "100"]).await,
            Self::Postgres(_) => place.to_postgres.restore().await,
            Self::Redis(_) => place.to_redis.restore().await,
        }
    }

    /// Returns the name of the store in `/readyz`.
    pub fn ready_field(self) -> &'static str {
        match self {
            Self::Postgres(_) => "users",
            Self::Redis(_) => "sessions",
        }
    }

    /// Returns the reason why a write fails now, as logged; empty if it succeeds.
    pub async fn reason(self, service: &Service) -> String {
        let (email, name) = ("reason@example.org".parse().expect("an address"), "Ada".parse().expect("a name"));
        let user = User::new(email, name, PasswordHash::new("!".to_owned()), service.now());
        let outcome = match self {
            Self::Postgres(_) => service.accounts.users.insert(&user, &soon().time).await.map(drop),
            Self::Redis(_) => service.accounts.sessions.open(&session_of(&user), &soon().time).await.map(drop),
        };
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    }
}

/// A call with the store timeout of the service.
fn soon() -> CallContext {
    CallContext { time: TimeBudget::new(STORE_TIMEOUT), ..call() }
}

fn session_of(user: &User) -> NewSession {
    NewSession {
        id: SessionId::random(),
        user: user.id,
        epoch: user.epoch,
        next_key: KeyTag([0; 4]),
        lifetime: Duration::from_hours(1),
        idle: None,
        max_sessions: 100,
        valid_epoch: user.epoch,
        surviving_session: None,
        client: call().client,
    }
}

async fn inject_into_network(how: FailureKind, way: &Proxy) {
    match how {
        Refuses => way.cut().await,
        NetworkLoses => way.swallow(),
        Frozen => way.freeze(),
        RespondsLate => way.delay(2 * STORE_TIMEOUT),
        ResponsesTruncated => way.break_off(),
        _ => unreachable!("not a failure of the network"),
    }
}

async fn inject_into_postgres(how: FailureKind, place: &PrivateStores) {
    let mut postgres = place.postgres.lock().await;
    match how {
        Starting => postgres.restart(Some("hot_standby = off")).await,
        ReadOnly => postgres.restart(Some("hot_standby = on")).await,
        Full => sql(&postgres.administration_of_service(), FILL).await,
        NoConnectionsLeft => {
            sql(&postgres.user_admin(), "ALTER ROLE service CONNECTION LIMIT 0").await;
            postgres.end_connections().await;
        }
        PasswordRotated => {
            sql(&postgres.user_admin(), "ALTER ROLE service PASSWORD 'second'").await;
            postgres.end_connections().await;
            drop(postgres);
            place.set_passwords("second", "").await;
        }
        _ => postgres.restart(None).await,
    }
}

async fn inject_into_redis(how: FailureKind, place: &PrivateStores) {
    let mut redis = place.redis.lock().await;
    match how {
        Starting => {
            redis.send(&["DEBUG", "POPULATE", "2000", "key", "100"]).await;
            redis.send(&["SAVE"]).await;
            // 10 ms a key; Redis serves clients every ten keys.
            redis.restart(&["--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024"]).await;
        }
        ReadOnly => redis.send(&["REPLICAOF", "127.0.0.1", "1"]).await,
        Full => redis.send(&["CONFIG", "SET", "maxmemory", "1"]).await,
        NoConnectionsLeft => {
            redis.send(&["CONFIG", "SET", "maxclients", "1"]).await;
            redis.send(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        }
        PasswordRotated => {
            redis.send(&["CONFIG", "SET", "requirepass", "second"]).await;
            drop(redis);
            place.set_passwords(FIRST, "second").await;
            place.to_redis.cut().await;
            place.to_redis.restore().await;
        }
        _ => redis.restart(&[]).await,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (store, how) = match self {
            Self::Postgres(how) => ("PostgreSQL", how),
            Self::Redis(how) => ("Redis", how),
        };
        let words = match (self, how) {
            (_, Refuses) => "refuses connections",
            (_, NetworkLoses) => "the network swallows everything",
            (_, Frozen) => "frozen",
            (_, RespondsLate) => "answers later than `POSTERN_STORE_TIMEOUT`",
            (_, ResponsesTruncated) => "answers break off",
            (Self::Redis(_), Restarted) => "restarted, and empty",
            (_, Restarted) => "restarted",
            (Self::Redis(_), Starting) => "loading",
            (_, Starting) => "starting",
            (_, ReadOnly) => "has become a replica, or is read-only",
            (_, Full) => "full",
            (_, NoConnectionsLeft) => "out of connections",
            (_, PasswordRotated) => "password rotated, in the file too",
        };
        write!(formatter, "{store}: {words}")
    }
}
