//! Limits of client addresses, and the addresses that count.

use std::net::IpAddr;

use futures_util::future::join_all;
use serde_json::json;

use super::{
    Service,
    rate_limit::{ELSEWHERE, HOME, WRONG, behind_proxy, retry_after},
};
use crate::support::PASSWORD;

#[tokio::test]
async fn address_that_fails_at_many_accounts_is_limited() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    let failures = service.failures_until_refused(|_| ELSEWHERE.to_owned()).await;

    assert!((100..115).contains(&failures), "{failures}");
    service.log_in_from("198.51.100.2", "not an address", WRONG).await.expect_problem(401, "invalid_credentials");
    service.log_in_from("198.51.100.2", "somebody@example.org", WRONG).await.expect_problem(401, "invalid_credentials");
    service.log_in_from(HOME, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn simultaneous_correct_logins_of_an_address_succeed() {
    const ACCOUNTS: usize = 130;
    let service = behind_proxy().await;
    for number in 0..ACCOUNTS {
        // From elsewhere, so that no login is of a known device.
        service.sign_up_from(&format!("192.0.{number}.1"), &format!("ada{number}@example.org")).await.expect(201);
    }
    let emails: Vec<_> = (0..ACCOUNTS).map(|number| format!("ada{number}@example.org")).collect();

    let logins = emails.iter().map(|email| service.log_in_from(ELSEWHERE, email, PASSWORD));
    for login in join_all(logins).await {
        login.expect(200);
    }

    // None of them has counted.
    let failures = service.failures_until_refused(|_| ELSEWHERE.to_owned()).await;
    assert!((100..115).contains(&failures), "{failures}");
}

#[tokio::test]
async fn known_network_logs_in_from_an_address_over_its_limit() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    service.failures_until_refused(|_| HOME.to_owned()).await;

    for _ in 0..3 {
        service.log_in_from(HOME, "ada@example.org", PASSWORD).await.expect(200);
    }

    retry_after(service.log_in_from(HOME, "grace@example.org", PASSWORD).await);
}

#[tokio::test]
async fn logins_of_known_networks_are_not_charged_to_the_address() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);

    let wrong = (0..10).map(|_| service.log_in_from(HOME, "ada@example.org", WRONG));
    for login in join_all(wrong).await {
        login.expect_problem(401, "invalid_credentials");
    }

    let failures = service.failures_until_refused(|_| HOME.to_owned()).await;
    assert!((100..115).contains(&failures), "{failures}");
}

#[tokio::test]
async fn ipv6_site_counts_as_one_address() {
    let service = behind_proxy().await;

    let failures = service.failures_until_refused(|number| format!("2001:db8::{number:x}")).await;

    assert!((100..115).contains(&failures), "{failures}");
    let other_site = service.log_in_from("2001:db8:0:1::1", "somebody@example.org", WRONG).await;
    other_site.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn exhausted_ipv6_64_leaves_its_56_and_48_free() {
    let service = behind_proxy().await;
    service.failures_until_refused(|number| format!("2001:db8::{number:x}")).await;
    // What the narrow limit rejects is not charged to the wider ones.
    for _ in 0..400 {
        retry_after(service.log_in_from("2001:db8::1", "nobody@example.org", WRONG).await);
    }

    for network in 1..=50 {
        let address = format!("2001:db8:0:{network:x}::1");
        let other = service.log_in_from(&address, &format!("nobody{network}@example.com"), WRONG).await;
        other.expect_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn ipv6_56_is_limited_after_200_failures() {
    let service = behind_proxy().await;

    let failures = service.failures_until_refused(|number| format!("2001:db8:0:{:x}::1", number % 256)).await;

    assert!((200..240).contains(&failures), "{failures}");
    assert_eq!(service.metric(r#"postern_rate_limited_total{limit="address_56"}"#).await, 1);
    let other_56 = service.log_in_from("2001:db8:0:100::1", "somebody@example.org", WRONG).await;
    other_56.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn ipv6_48_is_limited_after_390_failures() {
    let service = behind_proxy().await;
    // As few of each /56 as possible.
    let address = |number: usize| format!("2001:db8:0:{:x}::1", ((number % 256) << 8) | (number / 256));

    let failures = service.failures_until_refused(address).await;

    assert!((390..470).contains(&failures), "{failures}");
    assert_eq!(service.metric(r#"postern_rate_limited_total{limit="address_48"}"#).await, 1);
    let other_48 = service.log_in_from("2001:db8:1::1", "somebody@example.org", WRONG).await;
    other_48.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn ipv6_successes_are_not_charged() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);

    for network in 0..220 {
        let address = format!("2001:db8:0:{network:x}::1");
        service.log_in_from(&address, "ada@example.org", PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn sign_ups_of_an_ipv6_56_are_limited_after_400() {
    let service = behind_proxy().await;
    service.sign_up_from(HOME, "ada@example.org").await.expect(201);
    let sign_up = async |number: usize| {
        service.sign_up_from(&format!("2001:db8:0:{:x}::1", number % 256), "ada@example.org").await
    };

    let mut sign_ups = 0;
    let mut response = sign_up(0).await;
    while response.status == 409 && sign_ups < 1000 {
        sign_ups += 1;
        response = sign_up(sign_ups).await;
    }

    retry_after(response);
    assert!((400..440).contains(&sign_ups), "{sign_ups}");
    assert_eq!(service.metric(r#"postern_rate_limited_total{limit="sign_up_56"}"#).await, 1);
}

#[tokio::test]
async fn sign_ups_of_an_address_are_limited_after_200() {
    let service = behind_proxy().await;
    service.sign_up_from(ELSEWHERE, "ada0@example.org").await.expect(201);
    // Sign-ups with a taken email count as well, since each reveals something.
    let (mut sign_ups, mut response) = (0, service.sign_up_from(ELSEWHERE, "ada0@example.org").await);
    while response.status == 409 && sign_ups < 1000 {
        sign_ups += 1;
        response = service.sign_up_from(ELSEWHERE, "ada0@example.org").await;
    }
    let wait = retry_after(response);

    assert!((199..215).contains(&sign_ups), "{sign_ups}");

    service.sign_up_from(HOME, "ada1@example.org").await.expect(201);
    service.advance(wait);
    service.sign_up_from(ELSEWHERE, "ada2@example.org").await.expect(201);
}

#[tokio::test]
async fn sign_ups_with_rejected_passwords_are_limited() {
    let service = behind_proxy().await;
    let sign_up = async |password: &str| {
        let body = json!({"name": "Ada Lovelace", "email": "ada@example.org", "password": password});
        service.post("/create-user/", body).header("x-forwarded-for", HOME).send().await
    };

    for _ in 0..200 {
        sign_up("letmein1").await.expect_problem(400, "validation_failed");
    }

    sign_up("letmein1").await.expect_problem(429, "too_many_attempts");
}

#[tokio::test]
async fn forwarded_address_counts_from_trusted_proxies_only() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    for host in 1..=16 {
        service.fail_from(&format!("198.51.100.{host}"), "ada@example.org", 1).await;
    }

    // All of them count for the one address, which is also that of the sign-up.
    retry_after(service.log_in_from(ELSEWHERE, "ada@example.org", PASSWORD).await);
    let sessions = ada.sessions().await.expect(200);
    assert!(sessions["sessions"][0]["ip"].as_str().expect("a text").parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()));
}

#[tokio::test]
async fn session_shows_the_address_seen_by_the_trusted_proxy() {
    let service = behind_proxy().await;
    service.sign_up_from("203.0.113.9, 192.0.2.1", "ada@example.org").await.expect(201);

    let ada = service.logged_in("ada@example.org", PASSWORD).await;

    let sessions = ada.sessions().await.expect(200);
    assert_eq!(sessions["sessions"][1]["ip"], HOME);
}
