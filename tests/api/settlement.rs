//! Attempts whose client disconnects: what has been hashed counts, and what has not been hashed does not.

use std::{pin::pin, sync::Arc};

use futures_util::FutureExt as _;
use postern::{
    accounts::{Accounts, Credentials, SignUp},
    model::EventKind,
    passwords::{HashParameters, Password},
};

use super::{Service, rate_limit::WRONG};
use crate::support::{LONG, PASSWORD, Settings, call, eventually, hashing};

const EMAIL: &str = "ada@example.org";

const SLOW: HashParameters = HashParameters { memory_kib: 19 * 1024, passes: 8, lanes: 1 };

/// Starts a service whose hashes last long enough to disconnect in their midst.
async fn slow_service() -> Service {
    let service = Service::start_with(Settings { hashing: hashing(SLOW), ..Settings::default() }).await;
    service.signed_up(EMAIL).await;
    service
}

fn credentials(password: &str) -> Credentials {
    Credentials {
        email: Some(EMAIL.parse().expect("an address")),
        password: Password::new(password),
        refresh_token: None,
    }
}

/// Returns how many jobs the hashing threads have taken from the queue.
fn dequeued(accounts: &Accounts) -> u64 {
    accounts.metrics.hashing.queue.wait.get_sample_count()
}

/// Runs a request until the next job of the hashing threads has begun, then drops it. Returns whether it was dropped.
async fn disconnect_during_the_work<T>(accounts: &Accounts, request: impl Future<Output = T>) -> bool {
    let before = dequeued(accounts);
    let begun = eventually(LONG, "a hash begins", async || dequeued(accounts) > before);
    tokio::select! {
        biased;
        () = begun => true,
        _ = request => false,
    }
}

async fn log_in_and_disconnect(service: &Service, password: &str) {
    let accounts = Arc::clone(&service.accounts);
    let (credentials, call) = (credentials(password), call());
    let is_dropped = disconnect_during_the_work(&accounts, accounts.login(credentials, &call)).await;
    assert!(is_dropped, "the login ends before its hash begins");
}

#[tokio::test]
async fn wrong_password_counts_if_its_client_disconnects() {
    let service = slow_service().await;

    for _ in 0..10 {
        log_in_and_disconnect(&service, WRONG).await;
    }

    service.log_in(EMAIL, PASSWORD).await.expect_problem(429, "too_many_attempts");
    eventually(LONG, "each failure is recorded", async || service.audited_of(EventKind::LoginFailed).await.len() == 10)
        .await;
}

#[tokio::test]
async fn right_password_is_refunded_if_its_client_disconnects() {
    let service = slow_service().await;

    for _ in 0..20 {
        log_in_and_disconnect(&service, PASSWORD).await;
    }

    eventually(LONG, "the attempts are refunded", async || service.log_in(EMAIL, PASSWORD).await.status == 200).await;
}

#[tokio::test]
async fn nothing_is_counted_if_the_client_disconnects_before_the_hash() {
    let service = Service::start().await;
    service.signed_up(EMAIL).await;
    let hashes = service.accounts.hasher.hashes();

    for _ in 0..100 {
        let call = call();
        let mut login = pin!(service.accounts.login(credentials(WRONG), &call));
        assert!(login.as_mut().now_or_never().is_none());
    }

    eventually(LONG, "the attempts are refunded", async || service.log_in(EMAIL, PASSWORD).await.status == 200).await;
    assert_eq!(service.accounts.hasher.hashes(), hashes + 1);
}

#[tokio::test]
async fn sign_up_counts_even_if_its_client_disconnects() {
    let service = Service::start().await;
    let (accounts, call) = (Arc::clone(&service.accounts), call());
    let sign_up = |number: usize| {
        let (name, email) = ("Ada".parse().expect("a name"), format!("ada{number}@example.org"));
        let email = email.parse().expect("an address");
        let password = accounts.policy.check(Password::new(PASSWORD), Some(&name), Some(&email));
        SignUp { name, email, password }
    };

    for number in 0..200 {
        // A fast estimate may end first; such a sign-up counts all the more.
        disconnect_during_the_work(&accounts, accounts.sign_up(sign_up(number), &call)).await;
    }

    let body = serde_json::json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
    service.post("/create-user/", body).send().await.expect_problem(429, "too_many_attempts");
}
