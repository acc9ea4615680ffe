//! The responses while a store fails, failure by failure, on private servers behind a proxy. docs/failure-modes.md has
//! the same table.

mod failure;
mod outages;
mod private_stores;
mod rejections;
mod responses;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use std::time::Duration;

use postern::http::RequestLimits;

use self::{
    failure::Failure::{self, Postgres, Redis},
    failure::FailureKind::{
        Altered, Denies, Frozen, Full, LosesStatements, NetworkLoses, NoConnectionsLeft, OtherEncoding,
        PasswordRotated, ReadOnly, Refuses, RejectsRows, RespondsLate, ResponsesTruncated, Restarted, Starting,
    },
    private_stores::PrivateStores,
    responses::{Observed, Statuses},
};
use crate::support::{LONG, Settings, eventually, postgres_client};

type Service = crate::support::Service<PrivateStores>;

/// `POSTERN_STORE_TIMEOUT` here: far longer than an immediate response takes on a busy machine.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time that may be added to it: 250 ms by design, the rest for a busy machine and the hash of a login.
const ALLOWANCE: Duration = Duration::from_millis(250 + 3_000);

/// A failure and its effects.
struct Row {
    failure: Failure,
    statuses: Statuses,
    time: Time,
    /// The state of the store in `/readyz`.
    ready: &'static str,
    /// Part of the logged reason.
    log: &'static str,
}

/// The longest response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    AtOnce,
    StoreTimeout,
}

/// PostgreSQL is down.
const WITHOUT_POSTGRES: Statuses = Statuses {
    signed_in: 503,
    password_change: 503,
    logins: [503, 503],
    sign_ups: [503, 503],
    refresh: 503,
    logout: 200,
};

/// Redis is down.
const WITHOUT_REDIS: Statuses = Statuses {
    signed_in: 503,
    password_change: 503,
    logins: [503, 401],
    sign_ups: [503, 409],
    refresh: 503,
    logout: 503,
};

/// PostgreSQL rejects every statement about users.
const USERS_DENIED: Statuses = Statuses {
    signed_in: 500,
    password_change: 500,
    logins: [500, 500],
    sign_ups: [500, 500],
    refresh: 500,
    logout: 200,
};

/// Redis rejects every script. Signed-in requests read their sessions without one.
const SCRIPTS_DENIED: Statuses = Statuses {
    signed_in: 200,
    password_change: 200,
    logins: [500, 401],
    sign_ups: [500, 409],
    refresh: 500,
    logout: 500,
};

/// No effect.
const AS_ALWAYS: Statuses = Statuses {
    signed_in: 200,
    password_change: 200,
    logins: [200, 401],
    sign_ups: [201, 409],
    refresh: 200,
    logout: 200,
};

/// A row for each test, and a test for each row.
macro_rules! rows {
    ($($test:ident: $failure:expr, $statuses:expr, $time:ident, $ready:literal, $log:literal;)*) => {
        const ROWS: &[Row] =
            &[$(Row { failure: $failure, statuses: $statuses, time: Time::$time, ready: $ready, log: $log }),*];

        $(
            #[tokio::test]
            async fn $test() {
                let row = Row { failure: $failure, statuses: $statuses, time: Time::$time, ready: $ready, log: $log };
                row.holds().await;
            }
        )*
    };
}

rows! {
    postgres_refuses_connections: Postgres(Refuses), WITHOUT_POSTGRES, AtOnce, "down", "Connection refused";
    network_drops_everything_sent_to_postgres: Postgres(NetworkLoses), WITHOUT_POSTGRES, StoreTimeout, "down", "no response in time";
    postgres_is_frozen: Postgres(Frozen), WITHOUT_POSTGRES, StoreTimeout, "down", "no response in time";
    postgres_responds_too_late: Postgres(RespondsLate), WITHOUT_POSTGRES, StoreTimeout, "down", "no response in time";
    responses_of_postgres_are_truncated: Postgres(ResponsesTruncated), WITHOUT_POSTGRES, AtOnce, "down", "communicating with the server";
    postgres_has_restarted: Postgres(Restarted), AS_ALWAYS, AtOnce, "up", "";
    postgres_is_starting: Postgres(Starting), WITHOUT_POSTGRES, AtOnce, "down", "not accepting connections (57P03)";
    postgres_is_read_only: Postgres(ReadOnly), WITHOUT_POSTGRES, AtOnce, "down", "does not allow writes";
    postgres_is_full: Postgres(Full),
        Statuses { password_change: 503, sign_ups: [503, 409], ..AS_ALWAYS }, AtOnce, "up", "(53100)";
    postgres_is_out_of_connections: Postgres(NoConnectionsLeft), WITHOUT_POSTGRES, AtOnce, "down", "(53300)";
    password_of_postgres_is_rotated: Postgres(PasswordRotated), AS_ALWAYS, AtOnce, "up", "";
    table_is_altered_under_prepared_statements: Postgres(Altered), AS_ALWAYS, AtOnce, "up", "";
    connections_lose_their_prepared_statements: Postgres(LosesStatements), AS_ALWAYS, AtOnce, "up", "";
    postgres_rejects_every_row: Postgres(RejectsRows),
        Statuses { password_change: 500, sign_ups: [500, 409], ..AS_ALWAYS }, AtOnce, "up", "violates check constraint";
    privilege_on_users_is_missing: Postgres(Denies), USERS_DENIED, AtOnce, "up", "permission denied for table users (42501)";
    database_is_not_utf8: Postgres(OtherEncoding), USERS_DENIED, AtOnce, "down", "has the encoding LATIN1, expected UTF8";
    redis_refuses_connections: Redis(Refuses), WITHOUT_REDIS, AtOnce, "down", "Connection refused";
    network_drops_everything_sent_to_redis: Redis(NetworkLoses), WITHOUT_REDIS, StoreTimeout, "down", "no response in time";
    redis_is_frozen: Redis(Frozen), WITHOUT_REDIS, StoreTimeout, "down", "no response in time";
    redis_responds_too_late: Redis(RespondsLate), WITHOUT_REDIS, StoreTimeout, "down", "no response in time";
    responses_of_redis_are_truncated: Redis(ResponsesTruncated), WITHOUT_REDIS, AtOnce, "down", "";
    redis_has_restarted_empty: Redis(Restarted),
        Statuses { signed_in: 401, password_change: 401, refresh: 401, ..AS_ALWAYS }, AtOnce, "up", "";
    redis_is_loading: Redis(Starting), WITHOUT_REDIS, AtOnce, "down", "BusyLoading";
    redis_is_a_replica: Redis(ReadOnly), WITHOUT_REDIS, AtOnce, "down", "ReadOnly";
    redis_is_full: Redis(Full),
        Statuses { logins: [503, 401], sign_ups: [503, 409], ..AS_ALWAYS }, AtOnce, "up", "OOM";
    redis_is_out_of_connections: Redis(NoConnectionsLeft), WITHOUT_REDIS, AtOnce, "down", "creating a new object";
    password_of_redis_is_rotated: Redis(PasswordRotated), AS_ALWAYS, AtOnce, "up", "";
    redis_denies_scripts: Redis(Denies), SCRIPTS_DENIED, AtOnce, "down", "NoPerm";
}

impl Row {
    /// The failure has the effects of the row. The first request after its end has none of them.
    async fn holds(self) {
        let limits = RequestLimits { request: Duration::from_secs(30), store: STORE_TIMEOUT };
        let service = Service::start_with(Settings { limits, ..Settings::default() }).await;
        service.operations("/readyz").send().await.expect(200);
        let people = responses::People::sign_up(&service).await;

        self.failure.inject(service.backend()).await;
        let tried = Box::pin(people.try_everything(&service)).await;

        self.check(&tried);
        let ready = service.operations("/readyz").send().await.expect(200);
        assert_eq!(ready[self.failure.ready_field()], self.ready, "{ready}");
        let reason = self.failure.reason(&service).await;
        assert!(reason.contains(self.log), "{reason}");
        service.get("/healthz").send().await.expect(200);

        self.failure.end(service.backend()).await;
        service.sign_up("next@example.org").await.expect(201);
        if self.statuses.signed_in != 401 {
            people.ada.expect_valid().await;
        }
    }

    fn check(&self, tried: &Observed) {
        assert_eq!(tried.statuses, self.statuses);
        let limit = match self.time {
            Time::AtOnce => STORE_TIMEOUT,
            Time::StoreTimeout => STORE_TIMEOUT + ALLOWANCE,
        };
        assert!(tried.longest < limit, "{:?}", tried.longest);
    }

    /// Returns the row of docs/failure-modes.md.
    fn text(&self) -> String {
        let Statuses { signed_in, password_change, logins, sign_ups, refresh, logout } = self.statuses;
        let pair = |[one, other]: [u16; 2]| format!("{one}, {other}");
        let (logins, sign_ups) = (pair(logins), pair(sign_ups));
        let time = if self.time == Time::AtOnce { "at once" } else { "timeout" };
        let log = if self.log.is_empty() { String::new() } else { format!("`{}`", self.log) };
        let (failure, ready) = (&self.failure, self.ready);
        format!(
            "| {failure} | {signed_in} | {password_change} | {logins} | {sign_ups} | {refresh} | {logout} | {time} | {ready} | {log} |"
        )
    }
}

/// Starts a service with the default store timeout, which is shorter than the limit for a new connection.
async fn with_the_default_time() -> Service {
    with_time(Duration::from_secs(1)).await
}

async fn with_time(store: Duration) -> Service {
    let limits = RequestLimits { request: Duration::from_secs(30), store };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;
    service.operations("/readyz").send().await.expect(200);
    service
}

#[tokio::test]
async fn request_after_a_network_failure_is_answered() {
    for network in [Postgres(NetworkLoses), Redis(NetworkLoses)] {
        let service = with_the_default_time().await;
        let ada = service.signed_up("ada@example.org").await;
        network.inject(service.backend()).await;
        // Longer than the limit for a new connection: some attempts hang, and some have failed.
        for _ in 0..4 {
            let refused = tokio::join!(ada.profile(), ada.profile(), ada.profile());
            assert_eq!((refused.0.status, refused.1.status, refused.2.status), (503, 503, 503));
        }

        network.end(service.backend()).await;

        ada.profile().await.expect(200);
    }
}

#[tokio::test]
async fn server_without_free_slots_reuses_its_connections() {
    // Authentication by PostgreSQL is slow in a debug build.
    let service = with_time(Duration::from_secs(20)).await;
    let ada = service.signed_up("ada@example.org").await;
    let postgres = service.backend().postgres.lock().await;
    postgres.end_connections().await;
    crate::support::sql(&postgres.user_admin(), "ALTER ROLE service CONNECTION LIMIT 2").await;

    let responses = futures_util::future::join_all((0..50).map(|_| ada.profile())).await;

    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn abandoned_statement_takes_no_effect() {
    let service = with_the_default_time().await;
    let ada = service.signed_up("ada@example.org").await;
    let postgres = service.backend().postgres.lock().await;
    let locker = postgres_client(&postgres.administration_of_service()).await;
    locker.batch_execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE").await.expect("nobody has the lock");

    ada.rename(serde_json::json!({"name": "Grace"})).await.expect_problem(503, "unavailable");
    let waits = "SELECT 1 FROM pg_stat_activity WHERE usename = 'service' AND wait_event_type = 'Lock'";
    let is_over = async || locker.query(waits, &[]).await.expect("rows").is_empty();
    eventually(LONG, "the statement does not wait any more", is_over).await;
    locker.batch_execute("COMMIT").await.expect("the end of it");

    assert_eq!(ada.profile().await.expect(200)["name"], "Ada Lovelace");
}

#[tokio::test]
async fn count_of_imported_hashes_may_take_longer_than_other_statements() {
    let service = with_the_default_time().await;
    let postgres = service.backend().postgres.lock().await;
    let locker = postgres_client(&postgres.administration_of_service()).await;
    locker.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.expect("nobody has the lock");
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE usename = 'service' AND wait_event_type = 'Lock'
        AND clock_timestamp() - query_start > '2s'";
    let unlock = async {
        let waits = async || !locker.query(waiting, &[]).await.expect("rows").is_empty();
        eventually(LONG, "the count waits longer than the time of a request", waits).await;
        locker.batch_execute("COMMIT").await.expect("the end of it");
    };

    let (read, ()) = tokio::join!(service.accounts.imported_hashes.read(&*service.accounts.users), unlock);

    assert_eq!(read, Ok(false));
}

#[test]
fn documented_table_is_this_one() {
    let document = include_str!("../../docs/failure-modes.md");

    let missing: Vec<_> = ROWS.iter().map(Row::text).filter(|row| !document.contains(row.as_str())).collect();
    let rows =
        document.lines().filter(|line| ["| PostgreSQL: ", "| Redis: "].iter().any(|start| line.starts_with(start)));

    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert_eq!(rows.count(), ROWS.len());
}
