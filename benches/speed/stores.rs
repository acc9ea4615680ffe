//! Compares sessions in Redis with `PING`, users in PostgreSQL with `SELECT 1`, and a request that uses both stores with both
//! commands. Several callers run at once, as in a server.
//!
//! Needs the servers of `scripts/with-stores`, and panics without them when the first measurement runs.

use std::{sync::Arc, time::Duration};

use criterion::Criterion;
use http_body_util::Empty;
use hyper::{StatusCode, body::Bytes, client::conn::http1::SendRequest};
use postern::{
    accounts::Tokens,
    clock::{Clock as _, ManualClock, SystemClock},
    model::{
        AccountStatus, Epoch, KeyTag, NewSession, PasswordHash, RefreshOutcome, Role, Rotation, Session, SessionId,
        User, UserId,
    },
    store::{Refresh, RefreshAttempt, SessionStore, UserStore},
};
use redis::aio::MultiplexedConnection;
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};
use tokio_postgres::Statement;

use crate::{
    comparison::{CALLERS, Group, timed_at_once},
    http::{self, Get, send},
    service::{Served, client, served},
    support::{Backend as _, PostgresRedis, Stores, postgres_client, redis_connection, time},
};

/// Stores with one user who has one session, and bare connections to the same servers.
struct Fixture {
    backend: PostgresRedis,
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    user: User,
    session: Session,
    /// A user and a session for each caller.
    others: Vec<(UserId, SessionId)>,
    redis: MultiplexedConnection,
    postgres: Vec<Postgres>,
    signed_in: OnceCell<SignedIn>,
}

/// The connection of a caller, with prepared statements.
struct Postgres {
    client: tokio_postgres::Client,
    select_1: Statement,
    select_user: Statement,
}

type SignedIn = (Vec<Mutex<SendRequest<Empty<Bytes>>>>, Tokens);

/// A fixture that is created at its first use, so that the other groups need no servers.
#[derive(Default)]
struct LazyFixture(OnceCell<Fixture>);

pub fn measure(criterion: &mut Criterion) {
    let runtime = http::runtime();
    let fixture = LazyFixture::default();
    let mut group = Group::new(criterion, "stores");
    sessions(&mut group, &runtime, &fixture);
    users(&mut group, &runtime, &fixture);
    batches(&mut group, &runtime, &fixture);
    profile(&mut group, &runtime, &fixture);
    group.print();
}

fn sessions(group: &mut Group<'_>, runtime: &Runtime, fixture: &LazyFixture) {
    let ping = || timed_at_once(runtime, async |_| fixture.get().await.ping().await);
    // Each session is of another user: a user has a few sessions, not thousands.
    let open = async |_| {
        let fixture = fixture.get().await;
        let session = new_session(UserId::new(SystemClock.now()), fixture.user.epoch);
        fixture.sessions.open(&session, &time()).await.expect("a session")
    };
    group.measure(["session opened, Redis", "PING"], timed_at_once(runtime, open), ping());
    let find = async |_| {
        let fixture = fixture.get().await;
        let found = fixture.sessions.touch(fixture.user.id, fixture.session.id, &time()).await;
        assert!(found.expect("a response").is_some_and(|found| fixture.user.is_session_valid(found.id, found.epoch)));
    };
    group.measure(["session checked, Redis", "PING"], timed_at_once(runtime, find), ping());
    let refresh = async |_| {
        let fixture = fixture.get().await;
        let attempt = RefreshAttempt {
            user: fixture.user.clone(),
            session: fixture.session.id,
            counter: fixture.session.next,
            rotation: Rotation::Off,
        };
        let refresh = fixture.sessions.refresh(&attempt, &time()).await.expect("a response");
        assert!(matches!(refresh, Refresh::Decided(RefreshOutcome::Kept, _)));
    };
    group.measure(["session refreshed, Redis", "PING"], timed_at_once(runtime, refresh), ping());
}

fn users(group: &mut Group<'_>, runtime: &Runtime, fixture: &LazyFixture) {
    let select_1 = || timed_at_once(runtime, async |caller| fixture.get().await.select_1(caller).await);
    let by_id = async |_| {
        let fixture = fixture.get().await;
        fixture.users.by_id(fixture.user.id, &time()).await.expect("a response").expect("a user")
    };
    group.measure(["user found by id, PostgreSQL", "SELECT 1"], timed_at_once(runtime, by_id), select_1());
    let by_email = async |_| {
        let fixture = fixture.get().await;
        fixture.users.by_email(&fixture.user.email, &time()).await.expect("a response").expect("a user")
    };
    group.measure(["user found by email, PostgreSQL", "SELECT 1"], timed_at_once(runtime, by_email), select_1());
}

/// Compares look-ups that share round trips with look-ups of the same columns and fields that do not.
fn batches(group: &mut Group<'_>, runtime: &Runtime, fixture: &LazyFixture) {
    let by_id = async |caller: usize| {
        let fixture = fixture.get().await;
        let user = fixture.users.by_id(fixture.others[caller].0, &time()).await;
        user.expect("a response").expect("a user")
    };
    let each = async |caller| fixture.get().await.select_user(caller).await;
    group.measure(
        ["users found by id, in shared statements", "a SELECT each"],
        timed_at_once(runtime, by_id),
        timed_at_once(runtime, each),
    );
    let find = async |caller: usize| {
        let fixture = fixture.get().await;
        let (user, session) = fixture.others[caller];
        fixture.sessions.touch(user, session, &time()).await.expect("a response").expect("a session")
    };
    let each = async |caller| fixture.get().await.hmget(caller).await;
    group.measure(
        ["sessions checked, in shared pipelines", "an HMGET each"],
        timed_at_once(runtime, find),
        timed_at_once(runtime, each),
    );
}

fn profile(group: &mut Group<'_>, runtime: &Runtime, fixture: &LazyFixture) {
    let profile = async |caller: usize| {
        let (connections, tokens) = fixture.get().await.signed_in().await;
        let get = Get { path: "/profile/", token: &tokens.access, status: StatusCode::OK };
        send(&mut *connections[caller].lock().await, get).await;
    };
    let both = async |caller| {
        let fixture = fixture.get().await;
        tokio::join!(fixture.select_1(caller), fixture.ping())
    };
    group.measure(
        ["GET /profile/, PostgreSQL and Redis", "SELECT 1 and PING side by side"],
        timed_at_once(runtime, profile),
        timed_at_once(runtime, both),
    );
}

impl LazyFixture {
    async fn get(&self) -> &Fixture {
        self.0.get_or_init(Fixture::new).await
    }
}

impl Fixture {
    async fn new() -> Self {
        let backend = PostgresRedis::migrated().await;
        let Stores { users, sessions, .. } = backend.open(Arc::new(ManualClock::default())).await;
        let user = new_user("bob@example.org");
        users.insert(&user, &time()).await.expect("a response");
        let session = sessions.open(&new_session(user.id, user.epoch), &time()).await.expect("a session").session;
        let mut others = Vec::new();
        for caller in 0..CALLERS {
            let other = new_user(&format!("caller{caller}@example.org"));
            users.insert(&other, &time()).await.expect("a response");
            let session = sessions.open(&new_session(other.id, other.epoch), &time()).await.expect("a session").session;
            others.push((other.id, session.id));
        }
        let redis = redis_connection(&backend.redis).await;
        let mut postgres = Vec::new();
        for _ in 0..CALLERS {
            let client = postgres_client(&backend.database).await;
            let select_1 = client.prepare("SELECT 1").await.expect("valid SQL");
            let columns = "id, email, name, password, standing, role, epoch, kept_session, created";
            let select_user = client.prepare(&format!("SELECT {columns} FROM users WHERE id = $1")).await;
            postgres.push(Postgres { client, select_1, select_user: select_user.expect("valid SQL") });
        }
        Self { backend, users, sessions, user, session, others, redis, postgres, signed_in: OnceCell::new() }
    }

    /// Returns a connection to Postern for each caller, and the tokens of a signed-in user.
    async fn signed_in(&self) -> &SignedIn {
        let sign_in = async || {
            let Served { service, tokens, audit_writer: _audit_writer } = served(&self.backend).await;
            let mut connections = Vec::new();
            for _ in 0..CALLERS {
                connections.push(Mutex::new(http::connect_to_postern(&service).await));
            }
            (connections, tokens)
        };
        self.signed_in.get_or_init(sign_in).await
    }

    async fn ping(&self) {
        let () = redis::cmd("PING").exec_async(&mut self.redis.clone()).await.expect("a response");
    }

    async fn select_1(&self, caller: usize) {
        let Postgres { client, select_1, .. } = &self.postgres[caller];
        client.query_one(select_1, &[]).await.expect("a row");
    }

    async fn select_user(&self, caller: usize) -> tokio_postgres::Row {
        let Postgres { client, select_user, .. } = &self.postgres[caller];
        client.query_one(select_user, &[&self.others[caller].0.0]).await.expect("a row")
    }

    async fn hmget(&self, caller: usize) -> Vec<Option<String>> {
        let (user, session) = self.others[caller];
        let mut read = redis::cmd("HMGET");
        read.arg(format!("session:{{{user}}}:{session}")).arg(&["epoch", "expires", "last_used", "idle"]);
        read.query_async(&mut self.redis.clone()).await.expect("a response")
    }
}

fn new_user(email: &str) -> User {
    let now = SystemClock.now();
    User {
        id: UserId::new(now),
        email: email.parse().expect("an address"),
        email_verified: false,
        name: "Bob".parse().expect("a name"),
        // The length of a hash with the default parameters.
        password: Some(PasswordHash::new("$".repeat(97))),
        status: AccountStatus::Active,
        role: Role::Member,
        epoch: Epoch::random(),
        surviving_session: None,
        created: now,
    }
}

fn new_session(user: UserId, epoch: Epoch) -> NewSession {
    NewSession {
        id: SessionId::random(),
        user,
        epoch,
        next_key: KeyTag([0xff, 0, 1, 0x80]),
        lifetime: Duration::from_hours(24),
        idle: None,
        max_sessions: 100,
        valid_epoch: epoch,
        surviving_session: None,
        client: client(),
    }
}
