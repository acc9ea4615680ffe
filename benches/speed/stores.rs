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
    redis: MultiplexedConnection,
    /// A connection for each caller, with the prepared `SELECT 1`.
    postgres: Vec<(tokio_postgres::Client, Statement)>,
    signed_in: OnceCell<SignedIn>,
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
        let now = SystemClock.now();
        let user = User {
            id: UserId::new(now),
            email: "bob@example.org".parse().expect("an address"),
            name: "Bob".parse().expect("a name"),
            // The length of a hash with the default parameters.
            password: Some(PasswordHash::new("$".repeat(97))),
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created: now,
        };
        users.insert(&user, &time()).await.expect("a response");
        let session = sessions.open(&new_session(user.id, user.epoch), &time()).await.expect("a session").session;
        let redis = redis_connection(&backend.redis).await;
        let mut postgres = Vec::new();
        for _ in 0..CALLERS {
            let client = postgres_client(&backend.database).await;
            let select_1 = client.prepare("SELECT 1").await.expect("valid SQL");
            postgres.push((client, select_1));
        }
        Self { backend, users, sessions, user, session, redis, postgres, signed_in: OnceCell::new() }
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
        let (client, select_1) = &self.postgres[caller];
        client.query_one(select_1, &[]).await.expect("a row");
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
