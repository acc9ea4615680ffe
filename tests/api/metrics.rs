//! `/metrics` on the operations listener.

use std::time::Duration;

use postern::{
    metrics::{FAMILIES, LabelValues, MetricKind},
    passwords::HasherSettings,
};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::Service;
use crate::support::{CHEAP, Fault, LONG, PASSWORD, Settings, eventually};

#[tokio::test]
async fn metrics_are_on_the_operations_listener_and_ask_no_store() {
    let service = Service::start().await;

    let response = service.operations("/metrics").send().await;

    assert_eq!(response.status, 200);
    assert_eq!(response.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(service.store_calls(), 0);
    service.get("/metrics").send().await.expect(404);
}

#[tokio::test]
async fn metrics_with_listed_labels_exist_from_the_start() {
    let service = Service::start().await;

    let text = service.metrics().await;

    for family in FAMILIES {
        let is_listed = family.labels.iter().all(|label| matches!(label.values, LabelValues::Listed(_)));
        let kind = match family.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram(_) => "histogram",
        };
        let head = format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", family.name, family.help);
        assert!(!is_listed || text.contains(&head), "{}", family.name);
        let combinations = family.labels.iter().map(|label| match label.values {
            LabelValues::Listed(values) => values.len(),
            LabelValues::Described(_) => 0,
        });
        let name = if kind == "histogram" { format!("{}_count", family.name) } else { family.name.to_owned() };
        // There is one build.
        let expected = if family.name == "postern_build_info" { 1 } else { combinations.product() };
        assert_eq!(samples(&text, &name).len(), expected, "{}", family.name);
    }
    assert!(text.contains("\npostern_logins_total{outcome=\"invalid_credentials\"} 0\n"), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.contains(&format!("version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.profile().await.expect(200);
    ada.profile().await.expect(200);
    service.get("/profile").send().await.expect(401);
    service.get("/no/such/path").send().await.expect(404);
    service.request("BREW", "/profile/").send().await.expect(405);
    service.request("HEAD", "/healthz").send().await;

    for (labels, count) in [
        (r#"method="GET",route="/profile/",status="200""#, 2),
        (r#"method="GET",route="/profile/",status="401""#, 1),
        (r#"method="GET",route="-",status="404""#, 1),
        (r#"method="other",route="/profile/",status="405""#, 1),
        (r#"method="HEAD",route="/healthz",status="200""#, 1),
        (r#"method="POST",route="/create-user/",status="201""#, 1),
    ] {
        assert_eq!(service.metric(&format!("postern_http_requests_total{{{labels}}}")).await, count, "{labels}");
    }
    let durations = r#"postern_http_request_duration_seconds_count{method="GET",route="/profile/"}"#;
    assert_eq!(service.metric(durations).await, 3);
    // The request for the metrics.
    assert_eq!(service.metric("postern_http_requests_in_flight").await, 1);
}

#[tokio::test]
async fn abandoned_request_is_counted_and_not_in_flight() {
    let service = Service::start().await;
    service.counting.set_fault(Fault::Hang);
    let mut stream = service.connection().await;
    let body = json!({"email": "ada@example.org", "password": PASSWORD}).to_string();
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ";
    stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await.expect("it takes the request");
    service.counting.called("users.by_email").await;
    assert_eq!(service.metric("postern_http_requests_in_flight").await, 2);

    drop(stream);

    let is_over = async || service.metric("postern_http_requests_in_flight").await == 1;
    eventually(LONG, "the request is not in flight any more", is_over).await;
    let unanswered = r#"postern_http_requests_total{method="POST",route="/token/",status="none"}"#;
    assert_eq!(service.metric(unanswered).await, 1);
    assert_eq!(service.metric(r#"postern_logins_total{outcome="abandoned"}"#).await, 1);
    let call = r#"postern_store_calls_total{operation="users.by_email",outcome="abandoned"}"#;
    assert_eq!(service.metric(call).await, 1);
}

#[tokio::test]
async fn connections_are_counted_by_listener() {
    let service = Service::start().await;
    let open = r#"postern_http_connections{listener="public"}"#;

    let connection = service.connection().await;
    eventually(LONG, "the connection is counted", async || service.metric(open).await == 1).await;
    drop(connection);
    eventually(LONG, "the connection is not counted any more", async || service.metric(open).await == 0).await;

    assert_eq!(service.metric(r#"postern_http_connections_accepted_total{listener="public"}"#).await, 1);
    assert!(service.metric(r#"postern_http_connections{listener="operations"}"#).await >= 1);
}

#[tokio::test]
async fn use_cases_are_counted_by_outcome_and_sessions_by_reason() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.sign_up("ada@example.org").await.expect_problem(409, "email_taken");
    service.log_in("ada@example.org", "wrong_password").await.expect_problem(401, "invalid_credentials");
    let (second, third) = (ada.second_session().await, ada.second_session().await);
    ada.refresh().await.expect(200);
    service.post("/refresh/", json!({"refresh": "forged"})).send().await.expect_problem(401, "invalid_refresh_token");
    second.log_out().await.expect(200);
    second.log_out().await.expect(200);
    ada.change_password("wrong_password", "new_password").await.expect_problem(400, "wrong_password");
    ada.change_password(PASSWORD, "new_password").await.expect(200);
    third.expect_ended().await;

    for (sample, count) in [
        (r#"postern_sign_ups_total{outcome="succeeded"}"#, 1),
        (r#"postern_sign_ups_total{outcome="email_taken"}"#, 1),
        (r#"postern_logins_total{outcome="succeeded"}"#, 2),
        (r#"postern_logins_total{outcome="invalid_credentials"}"#, 1),
        (r#"postern_refreshes_total{outcome="succeeded"}"#, 1),
        (r#"postern_refreshes_total{outcome="invalid_refresh_token"}"#, 2),
        (r#"postern_password_changes_total{outcome="succeeded"}"#, 1),
        (r#"postern_password_changes_total{outcome="wrong_password"}"#, 1),
        (r#"postern_sessions_opened_total{reason="sign_up"}"#, 1),
        (r#"postern_sessions_opened_total{reason="login"}"#, 2),
        (r#"postern_sessions_ended_total{reason="logout"}"#, 1),
        (r#"postern_sessions_ended_total{reason="password_change"}"#, 1),
    ] {
        assert_eq!(service.metric(sample).await, count, "{sample}");
    }
}

#[tokio::test]
async fn ended_sessions_are_counted_by_reason() {
    let service = Service::start().await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let other = ada.second_session().await;
    assert_eq!(ada.end_session(&other.session_id().await).await.status, 204);
    for _ in 0..2 {
        ada.second_session().await;
        grace.second_session().await;
    }
    ada.log_out_everywhere().await.expect(200);
    assert_eq!(grace.delete_account(json!({"password": PASSWORD})).await.status, 204);

    for (reason, count) in [("ended_by_user", 1), ("logout_everywhere", 3), ("account_deletion", 3), ("logout", 0)] {
        let sample = format!(r#"postern_sessions_ended_total{{reason="{reason}"}}"#);
        assert_eq!(service.metric(&sample).await, count, "{reason}");
    }
}

#[tokio::test]
async fn store_calls_are_counted_and_timed_by_operation() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.profile().await.expect(200);

    for operation in ["users.by_id", "sessions.touch"] {
        let calls = format!(r#"postern_store_calls_total{{operation="{operation}",outcome="succeeded"}}"#);
        assert_eq!(service.metric(&calls).await, 1);
        let durations = format!(r#"postern_store_call_duration_seconds_count{{operation="{operation}"}}"#);
        assert_eq!(service.metric(&durations).await, 1);
    }
    let counted = service.counting.calls().len();
    let calls: u64 =
        samples(&service.metrics().await, "postern_store_calls_total").iter().map(|(_, value)| value).sum();
    assert_eq!(calls, u64::try_from(counted).expect("few"), "each call is counted once");
}

#[tokio::test]
async fn hashes_waits_and_rejections_are_counted() {
    let hashing = HasherSettings { parameters: CHEAP, threads: 1, max_wait: Duration::ZERO };
    let service = Service::start().await;
    let busy = service.second_with(Settings { hashing, ..Settings::default() }).await;
    service.signed_up("ada@example.org").await;
    service.log_in("ada@example.org", PASSWORD).await.expect(200);

    // A hash that may not wait is refused by the estimate of the queue, or when its turn comes.
    busy.log_in("ada@example.org", PASSWORD).await.expect_problem(503, "overloaded");

    assert_eq!(service.metric(r#"postern_hashing_duration_seconds_count{work="hash"}"#).await, 2);
    assert_eq!(service.metric(r#"postern_hashing_duration_seconds_count{work="policy_check"}"#).await, 1);
    assert_eq!(service.metric("postern_hashing_queue_wait_seconds_count").await, 3);
    assert_eq!(service.metric("postern_hashing_queue_depth").await, 0);
    assert_eq!(service.metric("postern_hashing_threads").await, 1);
    assert_eq!(service.metric("postern_hashing_refusals_total").await, 0);
    assert_eq!(busy.metric("postern_hashing_refusals_total").await, 1);
    assert_eq!(busy.metric(r#"postern_logins_total{outcome="overloaded"}"#).await, 1);
}

/// Returns the labels and the value of each sample of a metric, rounded down.
fn samples(text: &str, name: &str) -> Vec<(String, u64)> {
    let is_of = |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
    let sample = |line: &str| {
        let (labels, value) = line.rsplit_once(' ').expect("a value");
        let whole = value.split('.').next().unwrap_or_default();
        (labels.to_owned(), whole.parse().expect("a number"))
    };
    text.lines().filter(is_of).map(sample).collect()
}

#[tokio::test]
async fn labels_have_only_listed_values() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    ada.profile().await.expect(200);
    service.log_in("ada@example.org", "wrong_password").await.expect(401);
    service.get("/hostile/path?with=query").send().await.expect(404);
    service.counting.set_fault(Fault::Panic);
    ada.profile().await.expect(500);

    let text = service.metrics().await;

    for family in FAMILIES {
        let name = match family.kind {
            MetricKind::Histogram(_) => format!("{}_count", family.name),
            _ => family.name.to_owned(),
        };
        for (sample, _) in samples(&text, &name) {
            for label in family.labels {
                let value = sample.split(&format!("{}=\"", label.name)).nth(1).and_then(|rest| rest.split('"').next());
                let value = value.unwrap_or_else(|| panic!("{sample} has {}", label.name));
                if let LabelValues::Listed(values) = label.values {
                    assert!(values.contains(&value), "{sample}");
                }
                assert!(!value.contains("hostile") && !value.contains('@'), "{sample}");
            }
            let labels = sample.matches("=\"").count();
            assert_eq!(labels, family.labels.len(), "{sample}");
        }
    }
}
