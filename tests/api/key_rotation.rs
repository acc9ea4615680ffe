//! Keys that change while users are signed in.

use std::time::Duration;

use postern::keys::{self, KeyTimes, Purpose};
use serde_json::json;

use super::Service;
use crate::support::TestUser;

const TIMES: KeyTimes =
    KeyTimes { max_age: Duration::from_mins(5), access: Duration::from_mins(5), refresh: Duration::from_hours(24) };

/// Returns the part of a token that depends on its key only: the footer of an access token, or the version and tag of a
/// refresh token.
fn key_of(token: &str) -> String {
    token.rsplit_once('.').map_or(&token[..6], |(_, footer)| footer).to_owned()
}

/// Returns a new access token of the same session.
async fn refreshed(person: &TestUser) -> String {
    person.refresh().await.expect(200)["access"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn rotation_of_every_key_invalidates_no_token_at_any_server() {
    let service = Service::start().await;
    let other = service.second().await;
    let mut signed_in = Vec::new();
    let mut keys_seen = std::collections::BTreeSet::new();

    // Hours in which keys are added, sign and are removed; one server learns of each change later than the other.
    for hour in 0..30 {
        let directory = service.keys_directory();
        keys::rotate(directory, &Purpose::ALL, &TIMES, service.now()).expect("a rotation");
        let (early, late) = if hour % 2 == 0 { (&service, &other) } else { (&other, &service) };
        early.keys.reload().await;
        let ada = early.signed_up(&format!("ada{hour}@example.org")).await;
        keys_seen.extend([key_of(&ada.tokens.access), key_of(&ada.tokens.refresh)]);
        for server in [late, early] {
            ada.at(server).expect_valid().await;
        }
        late.keys.reload().await;

        signed_in.push(ada);
        // The newest session, and the oldest valid one.
        for person in signed_in.iter().rev().take(24).step_by(23) {
            for server in [&service, &other] {
                let access = refreshed(&person.at(server)).await;
                for server in [&service, &other] {
                    server.get("/profile/").bearer(&access).send().await.expect(200);
                }
            }
        }
        service.advance(Duration::from_hours(1));
    }

    // Each change but the first has activated a key.
    assert_eq!(keys_seen.len(), 2 * 30);
    let kept = keys::list(service.keys_directory()).expect("a manifest");
    let kept = |purpose| kept.iter().filter(|key| key.purpose == purpose).count();
    assert_eq!((kept(Purpose::Access), kept(Purpose::Refresh)), (3, 27));
}

#[tokio::test]
async fn token_of_a_removed_key_is_refused_without_asking_a_store() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    for _ in 0..3 {
        keys::rotate(service.keys_directory(), &Purpose::ALL, &TIMES, service.now()).expect("a rotation");
        service.advance(Duration::from_hours(25));
    }
    service.keys.reload().await;
    let before = service.store_calls();

    ada.profile().await.expect_problem(401, "invalid_token");
    ada.refresh().await.expect_problem(401, "invalid_refresh_token");
    ada.log_out().await.expect_problem(401, "invalid_refresh_token");

    assert_eq!(service.store_calls(), before);
}

#[tokio::test]
async fn emergency_rotation_of_access_keys_keeps_sessions() {
    let service = Service::start().await;
    let other = service.second().await;
    let ada = service.signed_up("ada@example.org").await;

    keys::emergency_rotate(service.keys_directory(), Purpose::Access, service.now()).expect("a new key");
    service.keys.reload().await;

    ada.profile().await.expect_problem(401, "invalid_token");
    let access = refreshed(&ada).await;
    // The other server reads the keys when it gets a token of the new one.
    for server in [&service, &other] {
        server.get("/profile/").bearer(&access).send().await.expect(200);
    }
    ada.at(&other).profile().await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn emergency_rotation_of_refresh_keys_ends_all_sessions() {
    let service = Service::start().await;
    let other = service.second().await;
    let ada = service.signed_up("ada@example.org").await;

    keys::emergency_rotate(service.keys_directory(), Purpose::Refresh, service.now()).expect("a new key");
    service.keys.reload().await;

    ada.refresh().await.expect_problem(401, "invalid_refresh_token");
    ada.profile().await.expect(200);
    let again = ada.second_session().await;
    again.at(&other).expect_valid().await;
    ada.at(&other).refresh().await.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn unknown_key_ids_are_refused_without_asking_a_store() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();

    // The footer and the tag of an unknown key.
    let signed = ada.tokens.access.rsplit_once('.').expect("a footer").0;
    let access = format!("{signed}.{}", base64_of(br#"{"kid":"k4.pid.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#));
    let refresh = format!("AQAAAA{}", &ada.tokens.refresh[6..]);
    for _ in 0..10 {
        service.get("/profile/").bearer(&access).send().await.expect_problem(401, "invalid_token");
        let response = service.post("/refresh/", json!({"refresh": refresh})).send().await;
        response.expect_problem(401, "invalid_refresh_token");
    }

    assert_eq!(service.store_calls(), before);
    ada.expect_valid().await;
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
