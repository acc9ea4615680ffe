//! Limits of failed attempts and of sign-ups.

use std::time::Duration;

use postern::{
    model::EventKind,
    passwords::{HashParameters, HasherSettings},
};
use serde_json::json;
use time::OffsetDateTime;

use super::Service;
use crate::support::{LONG, PASSWORD, Response, Settings, eventually_some};

pub const WRONG: &str = "wrong_password";

/// Networks for examples (RFC 5737, RFC 3849).
pub const HOME: &str = "192.0.2.1";
const NEIGHBOUR: &str = "192.0.2.77";
pub const ELSEWHERE: &str = "198.51.100.1";

/// Starts a service behind a trusted proxy, so that a test chooses the addresses of clients.
pub async fn behind_proxy() -> Service {
    Service::start_with(settings()).await
}

fn settings() -> Settings {
    Settings { trusted_proxies: "127.0.0.1", ..Settings::default() }
}

impl Service {
    pub async fn log_in_from(&self, address: &str, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.post("/token/", body).header("x-forwarded-for", address).send().await
    }

    pub async fn sign_up_from(&self, address: &str, email: &str) -> Response {
        let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
        self.post("/create-user/", body).header("x-forwarded-for", address).send().await
    }

    /// Fails this often from an address, each time as soon as an attempt is allowed.
    pub async fn fail_from(&self, address: &str, email: &str, times: usize) {
        for _ in 0..times {
            let failure = eventually_some(LONG, "an attempt is allowed", async || {
                let response = self.log_in_from(address, email, WRONG).await;
                if response.status != 429 {
                    return Some(response);
                }
                self.advance(retry_after(response));
                None
            });
            failure.await.expect_problem(401, "invalid_credentials");
        }
    }

    /// Returns how many logins, each at another account, fail before one is refused.
    pub async fn failures_until_refused(&self, address: impl Fn(usize) -> String) -> usize {
        for number in 0_usize..1000 {
            let response = self.log_in_from(&address(number), &format!("nobody{number}@example.org"), WRONG).await;
            if response.status == 429 {
                return number;
            }
            response.expect_problem(401, "invalid_credentials");
        }
        panic!("no login is refused")
    }
}

#[track_caller]
pub fn retry_after(response: Response) -> Duration {
    let seconds = response.text("retry-after").parse().expect("whole seconds");
    response.expect_problem(429, "too_many_attempts");
    Duration::from_secs(seconds)
}

/// Checks a wait, a part of which a slow machine may have spent already.
#[track_caller]
fn assert_about(wait: Duration, expected: Duration) {
    assert!(wait <= expected && wait + Duration::from_secs(30) > expected, "{wait:?} for {expected:?}");
}

#[tokio::test]
async fn after_ten_failures_waits_grow_up_to_16_minutes() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    for _ in 0..10 {
        service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
    }
    // Waits of seconds may have passed on a slow machine; the unit tests of the limits check them.
    service.fail_from(ELSEWHERE, "ada@example.org", 4).await;

    for minutes in [1, 2, 5, 10, 16, 16] {
        service.fail_from(ELSEWHERE, "ada@example.org", 1).await;
        let wait = retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await);
        assert_about(wait, Duration::from_mins(minutes));
    }
}

#[tokio::test]
async fn during_a_wait_no_password_is_tried() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    service.fail_from(ELSEWHERE, "ada@example.org", 15).await;
    let hashes = service.accounts.hasher.hashes();

    let wait = retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await);

    assert_eq!(service.accounts.hasher.hashes(), hashes);
    service.advance(wait);
    service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn guesses_from_many_addresses_count_together() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;

    for host in 1..=16 {
        service.fail_from(&format!("198.51.100.{host}"), "ada@example.org", 1).await;
    }

    retry_after(service.log_in_from("203.0.113.1", "ada@example.org", WRONG).await);
}

#[tokio::test]
async fn failures_elsewhere_do_not_lock_out_a_known_device() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);

    service.fail_from(ELSEWHERE, "ada@example.org", 30).await;

    retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await);
    service.log_in_from(HOME, "ada@example.org", PASSWORD).await.expect(200);
    service.log_in_from(NEIGHBOUR, "ada@example.org", PASSWORD).await.expect(200);
    retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await);
}

#[tokio::test]
async fn known_device_that_guesses_has_to_wait() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);

    service.fail_from(HOME, "ada@example.org", 16).await;

    assert_about(retry_after(service.log_in_from(HOME, "ada@example.org", WRONG).await), Duration::from_mins(2));
    service.log_in_from(NEIGHBOUR, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn device_is_known_for_90_days_after_its_last_login() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);

    service.advance(Duration::from_hours(89 * 24));
    service.fail_from(ELSEWHERE, "ada@example.org", 15).await;
    service.log_in_from(HOME, "ada@example.org", PASSWORD).await.expect(200);

    service.advance(Duration::from_hours(91 * 24));
    service.fail_from(ELSEWHERE, "ada@example.org", 15).await;
    retry_after(service.log_in_from(HOME, "ada@example.org", PASSWORD).await);
}

#[tokio::test]
async fn after_100_failures_unknown_devices_wait_16_minutes() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    service.fail_from(ELSEWHERE, "ada@example.org", 100).await;

    service.advance(Duration::from_hours(48));
    service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");

    assert_about(retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await), Duration::from_mins(16));
    service.log_in_from(HOME, "ada@example.org", PASSWORD).await.expect(200);
    service.advance(Duration::from_mins(16));
    service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn rejections_and_100_failures_in_a_row_are_recorded() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    let ada = service.user("ada@example.org").await.id;

    service.fail_from(ELSEWHERE, "ada@example.org", 99).await;
    let refused = retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await);
    service.advance(refused);
    service.fail_from(ELSEWHERE, "ada@example.org", 1).await;

    let many = service.audited_of(EventKind::PasswordFailures).await;
    assert_eq!((many.len(), many[0].subject.user), (1, Some(ada)));
    let limited = service.audited_of(EventKind::Throttled).await;
    let limits: Vec<_> = limited.iter().filter_map(|event| event.subject.detail.as_deref()).collect();
    assert_eq!(limits.len(), limited.len());
    assert!(limits.iter().all(|limit| ["account", "pair"].contains(limit)), "{limits:?}");
    assert_eq!(limited[0].origin.address.map(|address| address.to_string()).as_deref(), Some(ELSEWHERE));
}

#[tokio::test]
async fn failures_are_forgotten_after_16_minutes_each() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    service.fail_from(ELSEWHERE, "ada@example.org", 20).await;

    service.advance(Duration::from_mins(19 * 16));
    service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
    retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await);

    service.advance(Duration::from_mins(21 * 16));
    for _ in 0..10 {
        service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
    }
}

impl Service {
    /// Guesses for 30 hours: so many times in a row, each as soon as it is allowed, and then not until the count of the
    /// account is forgotten. Returns the most guesses in any 24 hours.
    async fn most_guesses_a_day(&self, email: &str, in_a_row: u32) -> usize {
        let (end, mut times) = (self.now() + Duration::from_hours(30), Vec::new());
        while self.now() < end {
            for _ in 0..in_a_row {
                self.fail_from(ELSEWHERE, email, 1).await;
                times.push(self.now());
            }
            self.advance(Duration::from_mins(16) * in_a_row);
        }
        let day = |start: OffsetDateTime| start..start + Duration::from_hours(24);
        let in_day = |start: OffsetDateTime| times.iter().filter(|time| day(start).contains(*time)).count();
        times.iter().map(|start| in_day(*start)).max().expect("guesses")
    }
}

#[tokio::test]
async fn no_schedule_gives_more_than_110_guesses_a_day() {
    let service = behind_proxy().await;
    service.signed_up("ada10@example.org").await;

    for in_a_row in [1, 10, 19, 40, 99] {
        let guesses = service.most_guesses_a_day(&format!("ada{in_a_row}@example.org"), in_a_row).await;

        assert!((75..=110).contains(&guesses), "{guesses} in bursts of {in_a_row}");
    }
}

#[tokio::test]
async fn successful_login_clears_earlier_failures() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    for _ in 0..3 {
        for _ in 0..9 {
            service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
        }

        service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn unknown_emails_are_limited_like_known_ones() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    let mut errors = Vec::new();

    for email in ["ada@example.org", "nobody@example.org"] {
        for _ in 0..10 {
            service.log_in_from(ELSEWHERE, email, WRONG).await.expect_problem(401, "invalid_credentials");
        }
        service.fail_from(ELSEWHERE, email, 6).await;
        let error = service.log_in_from(ELSEWHERE, email, WRONG).await;
        errors.push(error.json());
        assert_about(retry_after(error), Duration::from_mins(2));
    }

    assert_eq!(errors[0], errors[1]);
}

#[tokio::test]
async fn parallel_guesses_are_limited() {
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    let mut guesses = tokio::task::JoinSet::new();
    for host in 1..=4 {
        for _ in 0..10 {
            let request = service.post("/token/", json!({"email": "ada@example.org", "password": WRONG}));
            guesses.spawn(request.header("x-forwarded-for", &format!("198.51.100.{host}")).send());
        }
    }

    let statuses: Vec<_> = guesses.join_all().await.iter().map(|response| response.status).collect();

    let count = |status| statuses.iter().filter(|other| **other == status).count();
    // Ten are free, and some more as seconds pass; a refused attempt may delay another one for a moment.
    assert!((7..=13).contains(&count(401)), "{statuses:?}");
    assert_eq!(count(401) + count(429), 40, "{statuses:?}");
}

#[tokio::test]
async fn parallel_logins_with_the_right_password_are_not_refused() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    let mut logins = tokio::task::JoinSet::new();
    for address in [HOME, ELSEWHERE] {
        for _ in 0..50 {
            let request = service.post("/token/", json!({"email": "ada@example.org", "password": PASSWORD}));
            logins.spawn(request.header("x-forwarded-for", address).send());
        }
    }

    for response in logins.join_all().await {
        response.expect(200);
    }
}

#[tokio::test]
async fn failures_of_reauthentication_count_with_those_of_logins() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    for _ in 0..5 {
        ada.change_password(WRONG, "new_password").await.expect_problem(400, "wrong_password");
        ada.delete_account(json!({"password": WRONG})).await.expect_problem(400, "wrong_password");
    }
    service.fail_from("", "ada@example.org", 6).await;

    retry_after(ada.change_password(PASSWORD, "new_password").await);
    retry_after(ada.delete_account(json!({"password": PASSWORD})).await);
    let wait = retry_after(service.log_in("ada@example.org", PASSWORD).await);
    ada.profile().await.expect(200);

    service.advance(wait);
    ada.change_password(PASSWORD, "new_password").await.expect(200);
    service.log_in("ada@example.org", "new_password").await.expect(200);
}

#[tokio::test]
async fn error_for_another_reason_is_no_failure() {
    // No login may wait for a hash, so parallel ones are refused.
    let parameters = HashParameters { memory_kib: 32 * 1024, passes: 4, lanes: 1 };
    let hashing = HasherSettings { parameters, threads: 1, max_wait: Duration::from_millis(1) };
    let service = behind_proxy().await;
    service.signed_up("ada@example.org").await;
    let busy = service.second_with(Settings { hashing, ..settings() }).await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let request = busy.post("/token/", json!({"email": "ada@example.org", "password": PASSWORD}));
        logins.spawn(request.header("x-forwarded-for", ELSEWHERE).send());
    }

    let statuses: Vec<_> = logins.join_all().await.iter().map(|response| response.status).collect();

    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn nothing_is_counted_if_limits_are_off() {
    let service = Service::start_with(Settings { rate_limits: false, ..settings() }).await;
    service.signed_up("ada@example.org").await;

    for _ in 0..30 {
        service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn rate_limited_logins_are_counted_by_limit() {
    let service = behind_proxy().await;
    service.fail_from(ELSEWHERE, "ada@example.org", 16).await;
    // The account and its address have failed as often: either limit may have the longer wait.
    let of_both = async || {
        let limits = ["pair", "account"].map(|limit| format!(r#"postern_rate_limited_total{{limit="{limit}"}}"#));
        service.metric(&limits[0]).await + service.metric(&limits[1]).await
    };
    let before = of_both().await;

    retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", WRONG).await);
    retry_after(service.log_in_from("203.0.113.1", "ada@example.org", WRONG).await);

    assert_eq!(of_both().await, before + 2);
    assert_eq!(service.metric(r#"postern_rate_limited_total{limit="address"}"#).await, 0);
    assert_eq!(service.metric(r#"postern_logins_total{outcome="too_many_attempts"}"#).await, before + 2);
}
