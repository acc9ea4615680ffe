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
    /// It denies a statement or a command.
    Denies,
    /// It rejects every row.
    RejectsRows,
    /// A table has been altered, so that prepared statements are outdated.
    Altered,
    /// Connections lose their prepared statements.
    LosesStatements,
    /// The URL in the file names a database with another encoding.
    OtherEncoding,
}

use self::FailureKind::{
    Altered, Denies, Frozen, Full, LosesStatements, NetworkLoses, NoConnectionsLeft, OtherEncoding, PasswordRotated,
    ReadOnly, Refuses, RejectsRows, RespondsLate, ResponsesTruncated, Restarted, Starting,
};

/// Fails every write with the code of a full disk.
const FILL: &str = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION no_room()";

/// Removes the prepared statements of each connection that inserts a user.
const LOSE_STATEMENTS: &str = "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN NULL; END $$;
    CREATE TRIGGER lose AFTER INSERT OR UPDATE ON users FOR EACH STATEMENT EXECUTE FUNCTION lose()";

impl Failure {
    pub async fn inject(self, place: &PrivateStores) {
        match self {
            Self::Postgres(how) if how.is_of_the_network() => inject_into_network(how, &place.to_postgres).await,
            Self::Redis(how) if how.is_of_the_network() => inject_into_network(how, &place.to_redis).await,
            Self::Postgres(how) => inject_into_postgres(how, place).await,
            Self::Redis(how) => inject_into_redis(how, place).await,
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
            Self::Postgres(Denies) => {
                sql(&postgres.administration_of_service(), "GRANT ALL ON users TO service").await;
            }
            Self::Postgres(RejectsRows) => {
                sql(&postgres.administration_of_service(), "ALTER TABLE users DROP CONSTRAINT no_rows").await;
            }
            Self::Postgres(OtherEncoding) => {
                drop((postgres, redis));
                place.set_passwords("second", "").await;
            }
            Self::Redis(Denies) => redis.send(&["ACL", "SETUSER", "default", "+@all"]).await,
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

impl FailureKind {
    fn is_of_the_network(self) -> bool {
        matches!(self, Refuses | NetworkLoses | Frozen | RespondsLate | ResponsesTruncated)
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
        Denies => sql(&postgres.administration_of_service(), "REVOKE ALL ON users FROM service").await,
        RejectsRows => {
            let constraint = "ALTER TABLE users ADD CONSTRAINT no_rows CHECK (false) NOT VALID";
            sql(&postgres.administration_of_service(), constraint).await;
        }
        Altered => {
            let alter = "ALTER TABLE users ALTER COLUMN created TYPE timestamptz(6)";
            sql(&postgres.administration_of_service(), alter).await;
        }
        LosesStatements => sql(&postgres.administration_of_service(), LOSE_STATEMENTS).await,
        OtherEncoding => {
            postgres.create_database("latin1", "LATIN1").await;
            // The former URL is rejected, so the new one is used.
            sql(&postgres.user_admin(), "ALTER ROLE service PASSWORD 'second'").await;
            postgres.end_connections().await;
            drop(postgres);
            place.set_database("latin1", "second").await;
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
        Denies => redis.send(&["ACL", "SETUSER", "default", "-evalsha", "-eval"]).await,
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
            (Self::Redis(_), Denies) => "denies scripts",
            (_, Denies) => "lacks a privilege on `users`",
            (_, RejectsRows) => "a constraint rejects every row",
            (_, Altered) => "a table was altered",
            (_, LosesStatements) => "prepared statements are lost",
            (_, OtherEncoding) => "URL changed to a database that is not UTF-8",
        };
        write!(formatter, "{store}: {words}")
    }
}
