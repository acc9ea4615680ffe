//! Proxies that are not named, or that hide their clients, are reported.

use serde_json::{Value, json};

use crate::support::{Postern, Serving};

/// Requests in a row, far within the minute in which a warning is logged once.
const REQUESTS: usize = 3;

impl Serving {
    /// Sends a login to an unknown account.
    async fn log_in_by(&self, headers: &[(&'static str, &str)]) {
        let login = self.api().post("/token/", json!({"email": "ada@example.org", "password": "wrong_password"}));
        let login = headers.iter().fold(login, |login, (name, value)| login.header(name, value));
        login.send().await;
    }

    async fn problems(&self, problem: &str) -> usize {
        self.metric(&format!("postern_forwarding_problems_total{{problem=\"{problem}\"}}")).await
    }

    /// Stops the server, and returns the warnings in its log.
    async fn warnings(self) -> Vec<Value> {
        let log = self.stopped().await.stderr;
        let events = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        events.filter(|event| event["level"] == "WARN" && event["target"] != "audit").collect()
    }
}

#[tokio::test]
async fn proxy_that_is_not_named_is_logged_and_counted() {
    let serving = Postern::new().serve().await;
    serving.api().get("/healthz").send().await.expect(200);
    assert_eq!(serving.problems("untrusted_peer").await, 0);

    for _ in 0..REQUESTS {
        serving.api().get("/healthz").header("x-forwarded-for", "192.0.2.1").send().await.expect(200);
        serving.log_in_by(&[("forwarded", "for=192.0.2.1")]).await;
    }
    // The operations listener uses no client address.
    serving.probe("/livez").header("x-forwarded-for", "192.0.2.1").send().await;

    assert_eq!(serving.problems("untrusted_peer").await, 2 * REQUESTS);
    let warnings = serving.warnings().await;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!((&warnings[0]["peer"], &warnings[0]["header"]), (&json!("127.0.0.1"), &json!("x-forwarded-for")));
    let message = warnings[0]["message"].as_str().expect("a text");
    assert!(message.contains("POSTERN_TRUSTED_PROXIES"), "{message}");
    assert!(!format!("{warnings:?}").contains("192.0.2.1"), "{warnings:#?}");
}

#[tokio::test]
async fn trusted_proxy_that_hides_clients_is_logged_and_counted() {
    let serving = Postern::new().with("POSTERN_TRUSTED_PROXIES", "127.0.0.1").serve().await;
    serving.log_in_by(&[("x-forwarded-for", "192.0.2.1")]).await;
    // A health check names no client.
    serving.api().get("/healthz").send().await.expect(200);

    for _ in 0..REQUESTS {
        serving.log_in_by(&[]).await;
        serving.log_in_by(&[("forwarded", "for=192.0.2.1")]).await;
        serving.log_in_by(&[("x-forwarded-for", "unknown")]).await;
    }
    serving.api().sign_up("ada@example.org").send().await.expect(201);

    assert_eq!(serving.problems("missing_header").await, REQUESTS + 1);
    assert_eq!(serving.problems("only_forwarded").await, REQUESTS);
    assert_eq!(serving.problems("invalid_header").await, REQUESTS);
    let warnings = serving.warnings().await;
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    assert!(warnings.iter().all(|warning| warning["peer"] == "127.0.0.1"), "{warnings:#?}");
}

#[tokio::test]
async fn address_that_makes_most_logins_is_logged_and_counted() {
    let serving = Postern::new().serve().await;

    for _ in 0..100 {
        serving.log_in_by(&[]).await;
    }

    assert_eq!(serving.problems("one_address").await, 1);
    let warnings = serving.warnings().await;
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!((&warnings[0]["address"], &warnings[0]["logins"]), (&json!("127.0.0.1"), &json!(100)));
}
