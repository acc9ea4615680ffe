//! Sessions on Redis beside `PING`, users on PostgreSQL beside `SELECT 1`, and a request that asks both.
//!
//! All of it by several callers at once, as a server does it.
//!
//! Needs the servers of `scripts/with-stores`; where they are missing, says so as soon as one of these is to run.

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
    beside::{CALLERS, Group, timed_at_once},
    http::{self, Question, ask},
    service::{Served, client, served},
    support::{Backend as _, PostgresRedis, Stores, postgres_client, redis_connection, time},
};

/// Stores with one user who has one session, and the bare connections beside them.
struct Kept {
    backend: PostgresRedis,
    users: Arc<dyn UserStore>,
    sessions: Arc<dyn SessionStore>,
    user: User,
    session: Session,
    redis: MultiplexedConnection,
    /// For each caller, with `SELECT 1`.
    postgres: Vec<(tokio_postgres::Client, Statement)>,
    signed_in: OnceCell<SignedIn>,
}

type SignedIn = (Vec<Mutex<SendRequest<Empty<Bytes>>>>, Tokens);

/// Made when it is first used: who leaves out this group needs no servers.
#[derive(Default)]
struct Lazy(OnceCell<Kept>);

pub fn measure(criterion: &mut Criterion) {
    let runtime = http::runtime();
    let kept = Lazy::default();
    let mut group = Group::new(criterion, "stores");
    sessions(&mut group, &runtime, &kept);
    users(&mut group, &runtime, &kept);
    profile(&mut group, &runtime, &kept);
    group.print();
}

fn sessions(group: &mut Group<'_>, runtime: &Runtime, kept: &Lazy) {
    let ping = || timed_at_once(runtime, async |_| kept.get().await.ping().await);
    // Each for another user: people have a few sessions, not thousands.
    let open = async |_| {
        let kept = kept.get().await;
        let session = new_session(UserId::new(SystemClock.now()), kept.user.epoch);
        kept.sessions.open(&session, &time()).await.expect("a session")
    };
    group.measure(["session opened, Redis", "PING"], timed_at_once(runtime, open), ping());
    let find = async |_| {
        let kept = kept.get().await;
        let found = kept.sessions.touch(kept.user.id, kept.session.id, &time()).await;
        assert!(found.expect("an answer").is_some_and(|found| kept.user.is_session_valid(found.id, found.epoch)));
    };
    group.measure(["session checked, Redis", "PING"], timed_at_once(runtime, find), ping());
    let refresh = async |_| {
        let kept = kept.get().await;
        let attempt = RefreshAttempt {
            user: kept.user.clone(),
            session: kept.session.id,
            counter: kept.session.next,
            rotation: Rotation::Off,
        };
        let refresh = kept.sessions.refresh(&attempt, &time()).await.expect("an answer");
        assert!(matches!(refresh, Refresh::Decided(RefreshOutcome::Kept, _)));
    };
    group.measure(["session refreshed, Redis", "PING"], timed_at_once(runtime, refresh), ping());
}

fn users(group: &mut Group<'_>, runtime: &Runtime, kept: &Lazy) {
    let select_1 = || timed_at_once(runtime, async |caller| kept.get().await.select_1(caller).await);
    let by_id = async |_| {
        let kept = kept.get().await;
        kept.users.by_id(kept.user.id, &time()).await.expect("an answer").expect("a user")
    };
    group.measure(["user found by id, PostgreSQL", "SELECT 1"], timed_at_once(runtime, by_id), select_1());
    let by_email = async |_| {
        let kept = kept.get().await;
        kept.users.by_email(&kept.user.email, &time()).await.expect("an answer").expect("a user")
    };
    group.measure(["user found by email, PostgreSQL", "SELECT 1"], timed_at_once(runtime, by_email), select_1());
}

fn profile(group: &mut Group<'_>, runtime: &Runtime, kept: &Lazy) {
    let profile = async |caller: usize| {
        let (connections, tokens) = kept.get().await.signed_in().await;
        let question = Question { path: "/profile/", token: &tokens.access, status: StatusCode::OK };
        ask(&mut *connections[caller].lock().await, question).await;
    };
    let both = async |caller| {
        let kept = kept.get().await;
        tokio::join!(kept.select_1(caller), kept.ping())
    };
    group.measure(
        ["GET /profile/, PostgreSQL and Redis", "SELECT 1 and PING side by side"],
        timed_at_once(runtime, profile),
        timed_at_once(runtime, both),
    );
}

impl Lazy {
    async fn get(&self) -> &Kept {
        self.0.get_or_init(Kept::new).await
    }
}

impl Kept {
    async fn new() -> Self {
        let backend = PostgresRedis::migrated().await;
        let Stores { users, sessions, .. } = backend.open(Arc::new(ManualClock::default())).await;
        let now = SystemClock.now();
        let user = User {
            id: UserId::new(now),
            email: "bob@example.org".parse().expect("an address"),
            name: "Bob".parse().expect("a name"),
            // As long as one with the default parameters.
            password: Some(PasswordHash::new("$".repeat(97))),
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created: now,
        };
        users.insert(&user, &time()).await.expect("an answer");
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

    /// A connection for each caller, and the tokens of who is signed in.
    async fn signed_in(&self) -> &SignedIn {
        let sign_in = async || {
            let Served { service, tokens, writing: _writing } = served(&self.backend).await;
            let mut connections = Vec::new();
            for _ in 0..CALLERS {
                connections.push(Mutex::new(http::ours(&service).await));
            }
            (connections, tokens)
        };
        self.signed_in.get_or_init(sign_in).await
    }

    async fn ping(&self) {
        let () = redis::cmd("PING").exec_async(&mut self.redis.clone()).await.expect("an answer");
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
        surviving_session: None,
        client: client(),
    }
}
