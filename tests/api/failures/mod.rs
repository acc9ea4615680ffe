//! What is answered while a store fails, failure by failure, on real servers of the test's own behind a proxy. The README has
//! the same table.

mod answers;
mod failure;
mod place;

use std::time::Duration;

use postern::http::RequestLimits;

use self::{
    answers::{Answers, Tried},
    failure::Failure::{self, Postgres, Redis},
    failure::How::{
        AnswersLate, AnswersTornApart, Frozen, Full, NetworkLoses, NoConnectionsLeft, PasswordRotated, ReadOnly,
        Refuses, Restarted, Starting,
    },
    place::Place,
};
use crate::service::Settings;

type Service = crate::service::Service<Place>;

/// `POSTERN_STORE_TIMEOUT` here: far longer than what is answered at once takes on a busy machine.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// What may come to that: 250 ms of it promised, the rest for a busy machine and the hash of a login.
const ALLOWANCE: Duration = Duration::from_millis(250 + 3_000);

/// A failure, and what is to be seen of it.
struct Row {
    failure: Failure,
    answers: Answers,
    time: Time,
    /// What `/readyz` says of the store.
    ready: &'static str,
    /// What the log says of the reason, among other words.
    log: &'static str,
}

/// How long an answer takes at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    AtOnce,
    StoreTimeout,
}

/// PostgreSQL tells nothing.
const WITHOUT_POSTGRES: Answers = Answers {
    signed_in: 503,
    password_change: 503,
    logins: [503, 503],
    sign_ups: [503, 503],
    refresh: 503,
    logout: 200,
};

/// Redis tells nothing.
const WITHOUT_REDIS: Answers = Answers {
    signed_in: 503,
    password_change: 503,
    logins: [503, 401],
    sign_ups: [503, 409],
    refresh: 503,
    logout: 503,
};

/// As if nothing had happened.
const AS_ALWAYS: Answers = Answers {
    signed_in: 200,
    password_change: 200,
    logins: [200, 401],
    sign_ups: [201, 409],
    refresh: 200,
    logout: 200,
};

/// A row for each test, and a test for each row.
macro_rules! rows {
    ($($test:ident: $failure:expr, $answers:expr, $time:ident, $ready:literal, $log:literal;)*) => {
        const ROWS: &[Row] =
            &[$(Row { failure: $failure, answers: $answers, time: Time::$time, ready: $ready, log: $log }),*];

        $(
            #[tokio::test]
            async fn $test() {
                let row = Row { failure: $failure, answers: $answers, time: Time::$time, ready: $ready, log: $log };
                row.holds().await;
            }
        )*
    };
}

rows! {
    postgres_refuses: Postgres(Refuses), WITHOUT_POSTGRES, AtOnce, "down", "Connection refused";
    the_network_loses_what_postgres_is_sent: Postgres(NetworkLoses), WITHOUT_POSTGRES, StoreTimeout, "down", "no answer in time";
    postgres_is_frozen: Postgres(Frozen), WITHOUT_POSTGRES, StoreTimeout, "down", "no answer in time";
    postgres_answers_too_late: Postgres(AnswersLate), WITHOUT_POSTGRES, StoreTimeout, "down", "no answer in time";
    answers_of_postgres_break_off: Postgres(AnswersTornApart), WITHOUT_POSTGRES, AtOnce, "down", "communicating with the server";
    postgres_has_restarted: Postgres(Restarted), AS_ALWAYS, AtOnce, "up", "";
    postgres_starts: Postgres(Starting), WITHOUT_POSTGRES, AtOnce, "down", "not accepting connections (57P03)";
    postgres_is_read_only: Postgres(ReadOnly), WITHOUT_POSTGRES, AtOnce, "down", "does not allow writes";
    postgres_is_full: Postgres(Full),
        Answers { password_change: 503, sign_ups: [503, 409], ..AS_ALWAYS }, AtOnce, "up", "(53100)";
    postgres_has_no_connections_left: Postgres(NoConnectionsLeft), WITHOUT_POSTGRES, AtOnce, "down", "(53300)";
    the_password_of_postgres_is_rotated: Postgres(PasswordRotated), AS_ALWAYS, AtOnce, "up", "";
    redis_refuses: Redis(Refuses), WITHOUT_REDIS, AtOnce, "down", "Connection refused";
    the_network_loses_what_redis_is_sent: Redis(NetworkLoses), WITHOUT_REDIS, StoreTimeout, "down", "no answer in time";
    redis_is_frozen: Redis(Frozen), WITHOUT_REDIS, StoreTimeout, "down", "no answer in time";
    redis_answers_too_late: Redis(AnswersLate), WITHOUT_REDIS, StoreTimeout, "down", "no answer in time";
    answers_of_redis_break_off: Redis(AnswersTornApart), WITHOUT_REDIS, AtOnce, "down", "";
    redis_has_restarted_empty: Redis(Restarted),
        Answers { signed_in: 401, password_change: 401, refresh: 401, ..AS_ALWAYS }, AtOnce, "up", "";
    redis_loads: Redis(Starting), WITHOUT_REDIS, AtOnce, "down", "BusyLoading";
    redis_is_a_replica: Redis(ReadOnly), WITHOUT_REDIS, AtOnce, "down", "ReadOnly";
    redis_is_full: Redis(Full),
        Answers { logins: [503, 401], sign_ups: [503, 409], ..AS_ALWAYS }, AtOnce, "up", "OOM";
    redis_has_no_connections_left: Redis(NoConnectionsLeft), WITHOUT_REDIS, AtOnce, "down", "creating a new object";
    the_password_of_redis_is_rotated: Redis(PasswordRotated), AS_ALWAYS, AtOnce, "up", "";
}

impl Row {
    /// The failure is answered as the row says, in its time, and shown to operators; and once it is over, so is all of that,
    /// from the next request on.
    async fn holds(self) {
        let limits = RequestLimits { request: Duration::from_secs(30), store: STORE_TIMEOUT };
        let service = Service::start_with(Settings { limits, ..Settings::default() }).await;
        service.operations("/readyz").send().await.expect(200);
        let people = answers::People::sign_up(&service).await;

        self.failure.strike(service.backend()).await;
        let tried = Box::pin(people.try_everything(&service)).await;

        self.judge(&tried);
        let ready = service.operations("/readyz").send().await.expect(200);
        assert_eq!(ready[self.failure.ready_member()], self.ready, "{ready}");
        let reason = self.failure.reason(&service).await;
        assert!(reason.contains(self.log), "{reason}");
        service.get("/healthz").send().await.expect(200);

        self.failure.end(service.backend()).await;
        service.sign_up("next@example.org").await.expect(201);
        if self.answers.signed_in != 401 {
            people.ada.expect_in_force().await;
        }
    }

    fn judge(&self, tried: &Tried) {
        assert_eq!(tried.answers, self.answers);
        let limit = match self.time {
            Time::AtOnce => STORE_TIMEOUT,
            Time::StoreTimeout => STORE_TIMEOUT + ALLOWANCE,
        };
        assert!(tried.longest < limit, "{:?}", tried.longest);
    }

    /// The row of the README.
    fn text(&self) -> String {
        let Answers { signed_in, password_change, logins, sign_ups, refresh, logout } = self.answers;
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

#[test]
fn the_readme_has_the_same_table() {
    let readme = include_str!("../../../README.md");

    let missing: Vec<_> = ROWS.iter().map(Row::text).filter(|row| !readme.contains(row.as_str())).collect();
    let rows =
        readme.lines().filter(|line| ["| PostgreSQL: ", "| Redis: "].iter().any(|start| line.starts_with(start)));

    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert_eq!(rows.count(), ROWS.len());
}
