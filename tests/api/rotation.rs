//! `POST /refresh/` with rotation: the table of docs/sessions.md, as clients see it.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use postern::http::RequestLimits;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use super::Service;
use crate::session_rollback::SessionRollback as _;
use crate::support::{Fault, LONG, PASSWORD, Settings, TestUser, eventually};

async fn rotating() -> Service {
    Service::start_with(Settings { rotation_enabled: true, ..Settings::default() }).await
}

/// Returns the refresh token of a new refresh.
async fn successor(person: &TestUser) -> String {
    refresh_of(&person.refresh().await.expect(200))
}

fn refresh_of(body: &Value) -> String {
    body["refresh"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// More than the reuse interval.
const LATER: Duration = Duration::from_secs(14);

#[tokio::test]
async fn each_refresh_returns_both_tokens() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;

    let body = ada.refresh().await.expect(200);
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(2));
    assert_ne!(body["refresh"], ada.tokens.refresh);

    for _ in 0..10 {
        ada.rotate().await;
        ada.profile().await.expect(200);
    }
}

#[tokio::test]
async fn hundred_parallel_refreshes_get_the_same_next_token() {
    let service = rotating().await;
    let second = service.second_with(Settings { rotation_enabled: true, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    let there = ada.at(&second);

    let refreshes = (0..100).map(|number| if number % 2 == 0 { ada.refresh() } else { there.refresh() });
    let responses = futures_util::future::join_all(refreshes).await;

    let mut tokens: Vec<_> = responses.into_iter().map(|response| refresh_of(&response.expect(200))).collect();
    tokens.dedup();
    let [token] = tokens.as_slice() else { panic!("{} successors", tokens.len()) };
    ada.with_refresh_token(token).refresh().await.expect(200);
    assert_eq!(counted(&service, "next").await + counted(&second, "next").await, 2);
    assert_eq!(counted(&service, "shared").await + counted(&second, "shared").await, 99);
}

#[tokio::test]
async fn lost_response_ends_no_session() {
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;
    let lost = successor(&ada).await;

    service.advance(LATER);
    let second = successor(&ada).await;

    assert_ne!(second, lost);
    ada.with_refresh_token(&second).refresh().await.expect(200);
    assert_eq!(counted(&service, "lost_response").await, 1);
}

#[tokio::test]
async fn superseded_token_ends_the_session() {
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;
    let of_the_thief = successor(&ada).await;
    service.advance(LATER);
    let of_the_owner = successor(&ada).await;

    let thief = ada.with_refresh_token(&of_the_thief);
    thief.refresh().await.expect_problem(401, "invalid_refresh_token");

    ada.with_refresh_token(&of_the_owner).expect_ended().await;
    assert_eq!(counted(&service, "superseded").await, 1);
    assert_eq!(service.metric(r#"postern_sessions_ended_total{reason="reuse"}"#).await, 1);
}

#[tokio::test]
async fn reused_token_ends_its_session_and_no_other() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let thief = ada.with_refresh_token(&ada.tokens.refresh);
    ada.rotate().await;
    ada.rotate().await;

    thief.refresh().await.expect_problem(401, "invalid_refresh_token");

    ada.expect_ended().await;
    other.expect_valid().await;
    assert_eq!(counted(&service, "reused").await, 1);
}

#[tokio::test]
async fn session_store_that_lost_writes_ends_no_session() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let user = service.user(&ada.email).await.id;
    let saved = service.backend().save_sessions(user).await;
    for _ in 0..3 {
        ada.rotate().await;
    }

    service.backend().restore_sessions(&saved).await;

    ada.rotate().await;
    ada.rotate().await;
    assert_eq!(counted(&service, "rollback").await, 1);
}

#[tokio::test]
async fn restored_session_store_revives_no_ended_session() {
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;
    let mut other = ada.second_session().await;
    let user = service.user(&ada.email).await.id;
    let saved = service.backend().save_sessions(user).await;
    other.rotate().await;
    ada.change_password(PASSWORD, "new_password").await.expect(200);

    service.backend().restore_sessions(&saved).await;

    other.expect_ended().await;
    ada.expect_valid().await;
    assert_eq!(counted(&service, "rollback").await, 0);
}

#[tokio::test]
async fn switching_rotation_on_or_off_ends_no_session() {
    let service = rotating().await;
    let still = service.second().await;
    let mut ada = service.signed_up("ada@example.org").await;

    for _ in 0..3 {
        ada.rotate().await;
        let body = ada.at(&still).refresh().await.expect(200);
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        service.advance(LATER);
    }

    let lost = successor(&ada).await;
    ada.at(&still).refresh().await.expect(200);
    ada.with_refresh_token(&lost).at(&still).refresh().await.expect(200);
    ada.with_refresh_token(&lost).refresh().await.expect(200);
}

#[tokio::test]
async fn without_rotation_a_superseded_token_ends_no_session() {
    let service = rotating().await;
    let still = service.second().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let first = ada.with_refresh_token(&ada.tokens.refresh);
    ada.rotate().await;
    ada.rotate().await;

    first.at(&still).refresh().await.expect_problem(401, "invalid_refresh_token");

    ada.at(&still).expect_valid().await;
    assert_eq!(counted(&still, "outdated").await, 1);
}

#[tokio::test]
async fn logout_with_an_old_token_is_no_reuse() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let first = ada.with_refresh_token(&ada.tokens.refresh);
    ada.rotate().await;
    ada.rotate().await;

    first.log_out().await.expect(200);

    ada.expect_ended().await;
    assert_eq!(counted(&service, "reused").await, 0);
}

#[tokio::test]
async fn rotated_refresh_token_never_outlives_its_session() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    for _ in 0..23 {
        service.advance(Duration::from_hours(1));
        ada.rotate().await;
    }

    service.advance(Duration::from_hours(1));

    ada.refresh().await.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn each_unusual_refresh_is_logged_by_its_name() {
    let log = Log::default();
    let _logging =
        tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish());
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;
    let user = service.user(&ada.email).await.id;
    let saved = service.backend().save_sessions(user).await;
    let second = ada.with_refresh_token(&successor(&ada).await);
    ada.refresh().await.expect(200);
    service.advance(LATER);
    ada.refresh().await.expect(200);
    second.refresh().await.expect_problem(401, "invalid_refresh_token");
    service.backend().restore_sessions(&saved).await;
    second.refresh().await.expect(200);
    ada.with_refresh_token(&successor(&second).await).refresh().await.expect(200);
    ada.refresh().await.expect_problem(401, "invalid_refresh_token");

    let lines = log.lines_with(&user.to_string());

    let expected = [
        ("INFO", r#""sign_up""#),
        ("INFO", r#"detail="shared""#),
        ("INFO", r#"detail="lost_response""#),
        ("WARN", r#"detail="superseded""#),
        ("WARN", r#""session_store_rollback""#),
        ("INFO", r#"detail="shared""#),
        ("WARN", r#"detail="reused""#),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (level, word)) in lines.iter().zip(expected) {
        assert!(line.contains(level) && line.contains(word), "{word}: {line}");
        assert!(!line.contains(&ada.tokens.refresh) && !line.contains("ada@"), "{line}");
    }
}

async fn counted(service: &crate::support::Server, outcome: &str) -> u64 {
    service.metric(&format!(r#"postern_refresh_tokens_total{{outcome="{outcome}"}}"#)).await
}

/// The log of the service on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines_with(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl<'log> MakeWriter<'log> for Log {
    type Writer = Self;

    fn make_writer(&'log self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn refresh_of_a_caller_who_hung_up_is_dropped() {
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;

    service.counting.set_fault(Fault::HangOn("users.by_id"));
    tokio::select! {
        response = ada.refresh() => panic!("{response:?}"),
        () = service.counting.called("users.by_id") => {}
    }
    let hung_up = r#"postern_http_requests_total{method="POST",route="/refresh/",status="none"} 1"#;
    eventually(LONG, "the request is counted", async || service.metrics().await.contains(hung_up)).await;
    service.counting.set_fault(Fault::None);
    ada.profile().await.expect(200);

    assert!(!service.counting.calls().contains(&"sessions.refresh"));
}

#[tokio::test]
async fn refresh_beyond_its_deadline_is_dropped() {
    let service = rotating().await;
    let limits = RequestLimits { request: Duration::from_millis(200), store: Duration::from_secs(30) };
    let hasty = service.second_with(Settings { rotation_enabled: true, limits, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;

    hasty.counting.set_fault(Fault::HangOn("users.by_id"));
    ada.at(&hasty).refresh().await.expect_problem(503, "unavailable");
    hasty.counting.set_fault(Fault::None);
    ada.profile().await.expect(200);

    assert!(!hasty.counting.calls().contains(&"sessions.refresh"));
}
