//! Requests that are dropped, fail, or take too long.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use postern::{
    accounts::SignUp,
    http::RequestLimits,
    passwords::{HashParameters, HasherSettings, Password},
};
use serde_json::json;

use super::Service;
use crate::support::{Fault, LONG, PASSWORD, Settings, call, eventually};

#[tokio::test]
async fn panic_is_one_500_and_the_next_request_is_answered() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.counting.set_fault(Fault::Panic);
    assert_eq!(ada.profile().await.expect(500), json!({"error": "Internal server error"}));

    service.counting.set_fault(Fault::None);
    ada.expect_valid().await;
}

#[tokio::test]
async fn request_beyond_its_deadline_is_unavailable() {
    let limits = RequestLimits { request: Duration::from_millis(200), store: Duration::from_secs(30) };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;

    service.counting.set_fault(Fault::Hang);

    service.log_in("ada@example.org", PASSWORD).await.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn dropped_sign_up_leaves_a_whole_account_or_none() {
    let service = Service::start().await;
    let (accounts, call) = (&service.accounts, call());
    for polls in 1_usize.. {
        let email = format!("ada{polls}@example.org");
        let (name, address) = ("Ada".parse().expect("a name"), email.parse().expect("an address"));
        let password = accounts.policy.check(Password::new(PASSWORD), Some(&name), Some(&address));
        let sign_up = SignUp { name, email: address, password };

        let is_done = {
            let mut future = pin!(accounts.sign_up(sign_up, &call));
            let mut left = polls;
            poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                future.as_mut().poll(context).map(|outcome| outcome.is_ok())
            })
            .await
        };

        match service.sign_up(&email).await.status {
            // A dropped future has made none or all of the deciding write.
            201 => assert!(!is_done),
            409 => drop(service.log_in(&email, PASSWORD).await.expect(200)),
            status => panic!("{status}"),
        }
        if is_done {
            return;
        }
    }
}

#[tokio::test]
async fn no_store_connection_is_held_while_a_password_is_hashed() {
    // So slow that two dozen hashes outlast a request for a profile by far.
    let parameters = HashParameters { memory_kib: 32 * 1024, passes: 4, lanes: 1 };
    let hashing = HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(5) };
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let slow = service.second_with(Settings { hashing, rate_limits: false, ..Settings::default() }).await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let server = (*slow).clone();
        logins.spawn(async move { server.log_in("nobody@example.org", PASSWORD).await.status });
    }
    eventually(LONG, "each login has asked a store", async || slow.store_calls() >= 24).await;

    ada.at(&slow).profile().await.expect(200);

    let finished = std::iter::from_fn(|| logins.try_join_next()).count();
    assert!(finished < 24, "the logins still wait for their hashes");
}

#[tokio::test]
async fn login_beyond_the_longest_hash_wait_is_refused_at_once() {
    let parameters = HashParameters { memory_kib: 32 * 1024, passes: 4, lanes: 1 };
    let hashing = HasherSettings { parameters, threads: 1, max_wait: Duration::from_millis(500) };
    let service = Service::start_with(Settings { hashing, rate_limits: false, ..Settings::default() }).await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let server = (*service).clone();
        logins.spawn(async move { server.log_in("nobody@example.org", PASSWORD).await });
    }

    let (served, refused): (Vec<_>, Vec<_>) =
        logins.join_all().await.into_iter().partition(|response| response.status == 401);

    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
    for response in refused {
        response.expect_problem(503, "overloaded");
    }
}
