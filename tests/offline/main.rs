//! Runs the example for offline verification in docs/integrations.md.

mod checker;

use std::{sync::Arc, time::Duration};

use checker::PublishedKeys;
use postern::{
    clock::{Clock as _, SystemClock},
    keys::{self, LiveKeyring},
    model::{SessionId, UserId},
    tokens::{AccessFormat, AccessTokens, KeySetFormat},
};
use time::OffsetDateTime;
use uuid::Uuid;

fn new_keys() -> Arc<LiveKeyring> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    keys::generate(directory.path(), SystemClock.now()).expect("keys can be made");
    Arc::new(LiveKeyring::open(directory.path()).expect("keys can be read"))
}

fn tokens(keys: &Arc<LiveKeyring>, issuer: &str, audience: &str) -> AccessTokens {
    let format = AccessFormat::Paseto;
    AccessTokens::new(Arc::clone(keys), format, issuer.to_owned(), audience.to_owned()).expect("short tokens")
}

fn published(tokens: &AccessTokens) -> PublishedKeys {
    serde_json::from_str(&tokens.published_keys(KeySetFormat::Paserk)).expect("JSON")
}

fn issued(tokens: &AccessTokens, now: OffsetDateTime) -> String {
    let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
    tokens.issue(user, session, now, now + Duration::from_mins(5))
}

#[test]
fn documented_example_is_this_code() {
    let shown = format!("```rust\n{}```", include_str!("checker.rs"));

    assert!(include_str!("../../docs/integrations.md").contains(&shown));
}

#[test]
fn valid_token_names_its_user_even_if_the_clock_is_late() {
    let tokens = tokens(&new_keys(), "postern", "postern");

    for ahead in [Duration::ZERO, Duration::from_secs(20)] {
        let claims = published(&tokens).check(&issued(&tokens, SystemClock.now() + ahead)).expect("a good token");
        assert_eq!(claims.get_claim("sub").and_then(|user| user.as_str()), Some(&*Uuid::from_u128(1).to_string()));
    }
}

#[test]
fn token_of_another_key_issuer_audience_or_time_is_refused() {
    let (ours, now) = (new_keys(), SystemClock.now());
    let keys = published(&tokens(&ours, "postern", "postern"));

    for (tokens, time) in [
        (tokens(&new_keys(), "postern", "postern"), now),
        (tokens(&ours, "x", "postern"), now),
        (tokens(&ours, "postern", "x"), now),
        (tokens(&ours, "postern", "postern"), now - Duration::from_mins(6)),
    ] {
        assert!(keys.check(&issued(&tokens, time)).is_none());
    }
}

#[test]
fn tampered_token_is_refused() {
    let tokens = tokens(&new_keys(), "postern", "postern");
    let (keys, token) = (published(&tokens), issued(&tokens, SystemClock.now()));
    assert!(keys.check(&token).is_some());

    for place in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[place] ^= 1;
        let other = String::from_utf8(other).expect("ASCII");
        assert!(keys.check(&other).is_none(), "{other}");
    }
}
