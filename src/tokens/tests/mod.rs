//! The conformance suite of the token formats: each test runs on every format that is compiled in.

mod forgeries;
mod remembered;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    access::{AccessTokenError, AccessTokens, MAX_ACCESS_TOKEN_BYTES},
    format::AccessFormat,
    key_set::KeySetFormat,
    refresh::{RefreshClaims, RefreshTokens},
};
use crate::{
    clock::{from_unix_ms, whole_seconds},
    keys::{self, Keyring, LiveKeyring, VerifyError, testing, testing::keyring},
    model::{SessionId, UserId},
};

fn tokens_named(keyring: &Arc<Keyring>, format: AccessFormat, [issuer, audience]: [&str; 2]) -> AccessTokens {
    let keys = Arc::new(LiveKeyring::fixed(Arc::clone(keyring)));
    AccessTokens::new(keys, format, issuer.to_owned(), audience.to_owned()).expect("short tokens")
}

/// Returns tokens with the default settings.
fn tokens(keyring: &Arc<Keyring>, format: AccessFormat) -> AccessTokens {
    tokens_named(keyring, format, ["postern", "postern"])
}

fn noon() -> OffsetDateTime {
    from_unix_ms(1_800_000_000_500).expect("a time within range")
}

fn issued(tokens: &AccessTokens) -> String {
    let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
    tokens.issue(user, session, noon(), noon() + Duration::from_mins(5))
}

/// Returns the payload of a valid token.
fn payload(format: AccessFormat, keyring: &Arc<Keyring>) -> Value {
    let payload = format.envelope().verify(&issued(&tokens(keyring, format)), keyring).expect("a good token");
    serde_json::from_slice(&payload).expect("JSON")
}

/// Returns whether a token with this payload and a valid signature is rejected.
fn is_rejected(format: AccessFormat, keyring: &Arc<Keyring>, payload: &str) -> bool {
    let token = format.envelope().sign(payload.as_bytes(), keyring);
    tokens(keyring, format).verify_now(&token, noon()) == Err(AccessTokenError::Invalid)
}

#[test]
fn token_is_accepted_until_it_expires_whatever_the_set_format() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let token = issued(&tokens(&keyring, *format));

        for verifier in AccessFormat::ALL {
            let verifier = tokens(&keyring, *verifier);
            let claims = verifier.verify_now(&token, noon()).expect("a valid token");
            assert_eq!((claims.subject.0.as_u128(), claims.session.0.as_u128()), (1, 2));
            assert_eq!(claims.expires, whole_seconds(noon()) + Duration::from_mins(5));

            let last = claims.expires - Duration::from_millis(1);
            assert!(verifier.verify_now(&token, last).is_ok());
            assert_eq!(verifier.verify_now(&token, claims.expires), Err(AccessTokenError::Expired));
        }
    }
}

#[test]
fn other_key_issuer_or_audience_is_rejected_before_expiry() {
    let (keyring, other_keyring) = (keyring(), testing::keyring());
    let much_later = noon() + Duration::from_hours(1);
    for format in AccessFormat::ALL {
        let ours = tokens(&keyring, *format);

        for other in [
            tokens(&other_keyring, *format),
            tokens_named(&keyring, *format, ["x", "postern"]),
            tokens_named(&keyring, *format, ["postern", "x"]),
        ] {
            assert_eq!(ours.verify_now(&issued(&other), much_later), Err(AccessTokenError::Invalid), "{format}");
        }
    }
}

#[test]
fn removed_key_and_wrong_signature_are_different_errors() {
    let (keyring, without_it) = (keyring(), testing::keyring());
    let another_secret = pasetors::keys::AsymmetricSecretKey::from(without_it.signing().secret.as_bytes());
    let impostor = Arc::new(Keyring::single(&keyring.signing().id, another_secret.expect("a key")));
    for format in AccessFormat::ALL {
        let token = issued(&tokens(&keyring, *format));
        let of_the_impostor = issued(&tokens(&impostor, *format));

        assert_eq!(AccessFormat::verify(&token, &without_it), Err(VerifyError::UnknownKey), "{format}");
        assert_eq!(AccessFormat::verify(&of_the_impostor, &keyring), Err(VerifyError::Invalid), "{format}");
    }
}

#[test]
fn verifier_with_a_slow_clock_accepts_a_new_token() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);

        for behind in [Duration::from_secs(1), Duration::from_secs(31), Duration::from_hours(1)] {
            assert!(tokens.verify_now(&token, noon() - behind).is_ok(), "{format}");
        }
        assert!(tokens.verify_now(&token, noon() + Duration::from_secs(299)).is_ok(), "{format}");
        assert!(tokens.verify_now(&token, noon() + Duration::from_mins(5)).is_err(), "{format}");
    }
}

#[test]
fn truncated_token_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);

        for length in 0..token.len() {
            assert!(tokens.verify_now(&token[..length], noon()).is_err(), "{format}: the first {length}");
        }
        for start in 1..=token.len() {
            assert!(tokens.verify_now(&token[start..], noon()).is_err(), "{format}: without the first {start}");
        }
    }
}

#[test]
fn token_with_a_changed_bit_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens).into_bytes();

        for index in 0..token.len() {
            // With the eighth bit set, the bytes are not valid UTF-8.
            for bit in 0..7 {
                let mut other = token.clone();
                other[index] ^= 1_u8 << bit;
                let other = String::from_utf8(other).expect("ASCII");
                assert!(tokens.verify_now(&other, noon()).is_err(), "{format}: {other}");
            }
        }
    }
}

#[test]
fn token_has_only_one_text() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);
        let parts: Vec<_> = token.split('.').collect();

        let padded = (0..parts.len()).map(|index| {
            let mut parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
            parts[index].push('=');
            parts.join(".")
        });
        let around = [format!("{token}."), format!("{token}.e30"), format!(".{token}"), format!("{token}\n")];
        for other in padded.chain(around).chain([format!(" {token}"), token.replace('.', "..")]) {
            assert_eq!(tokens.verify_now(&other, noon()), Err(AccessTokenError::Invalid), "{format}: {other:?}");
        }
    }
}

#[test]
fn refresh_token_is_rejected_as_access_token() {
    let keyring = keyring();
    let refresh_tokens = RefreshTokens::new(Arc::new(LiveKeyring::fixed(Arc::clone(&keyring))));
    let claims = RefreshClaims { user: UserId(Uuid::from_u128(1)), session: SessionId(Uuid::from_u128(2)), counter: 1 };
    let token = refresh_tokens.issue(claims, refresh_tokens.active_key());
    for format in AccessFormat::ALL {
        assert_eq!(tokens(&keyring, *format).verify_now(&token, noon()), Err(AccessTokenError::Invalid));
    }
}

#[test]
fn missing_malformed_duplicate_or_extra_claims_are_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let good = payload(*format, &keyring);
        assert!(!is_rejected(*format, &keyring, &good.to_string()));

        for name in good.as_object().expect("an object").keys() {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(name);
            assert!(is_rejected(*format, &keyring, &without.to_string()), "{format} without {name}");

            let mut with_null = good.clone();
            with_null[name] = Value::Null;
            assert!(is_rejected(*format, &keyring, &with_null.to_string()), "{format} without {name}");

            // The token id may be any string.
            if name != "jti" {
                let mut with_another = good.clone();
                with_another[name] = json!("x");
                assert!(is_rejected(*format, &keyring, &with_another.to_string()), "{format} with {name} x");
            }

            let twice = format!("{{\"{name}\":{},{}", good[name], &good.to_string()[1..]);
            assert!(is_rejected(*format, &keyring, &twice), "{format} with {name} twice");
        }
        let mut more = good.clone();
        more["admin"] = json!(true);
        assert!(is_rejected(*format, &keyring, &more.to_string()), "{format}");
        for other in ["", "null", "[]", "7", "\"x\"", "{}", "{"] {
            assert!(is_rejected(*format, &keyring, &format!("{other} ")), "{format}: {other}");
        }
    }
}

#[test]
fn token_of_another_type_or_user_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let good = payload(*format, &keyring);

        for (claim, value) in [
            ("token_type", json!("refresh")),
            ("token_type", json!("Access")),
            ("token_type", json!({"access": null})),
            ("user_id", json!(Uuid::from_u128(3))),
        ] {
            let mut other = good.clone();
            other[claim] = value;
            assert!(is_rejected(*format, &keyring, &other.to_string()), "{format}: {other}");
        }
    }
}

/// Removes the random id from a payload.
fn without_id(mut payload: Value) -> Value {
    let id = payload.as_object_mut().and_then(|claims| claims.remove("jti")).expect("an id");
    assert_eq!(id.as_str().map(str::len), Some(22));
    payload
}

#[test]
fn default_claims_are_as_documented() {
    let keyring = keyring();

    insta::assert_json_snapshot!(without_id(payload(AccessFormat::Paseto, &keyring)), @r#"
    {
      "aud": "postern",
      "exp": "2027-01-15T08:05:00Z",
      "iat": "2027-01-15T08:00:00Z",
      "iss": "postern",
      "nbf": "2027-01-15T07:59:30Z",
      "sid": "00000000-0000-0000-0000-000000000002",
      "sub": "00000000-0000-0000-0000-000000000001"
    }
    "#);
}

#[test]
fn jwt_claims_are_as_documented() {
    let keyring = keyring();
    for format in AccessFormat::ALL.iter().filter(|format| **format != AccessFormat::Paseto) {
        insta::allow_duplicates! {
            insta::assert_json_snapshot!(without_id(payload(*format, &keyring)), @r#"
            {
              "aud": "postern",
              "exp": 1800000300,
              "iat": 1800000000,
              "iss": "postern",
              "sid": "00000000-0000-0000-0000-000000000002",
              "sub": "00000000-0000-0000-0000-000000000001",
              "token_type": "access",
              "user_id": "00000000-0000-0000-0000-000000000001"
            }
            "#);
        }
    }
}

#[test]
fn token_names_its_key_in_paseto_footer_or_jwt_header() {
    let keyring = keyring();
    let kid = &keyring.signing().id;
    for format in AccessFormat::ALL {
        let token = issued(&tokens(&keyring, *format));

        let parts: Vec<_> = token.split('.').collect();
        let (index, named) = match format.key_set() {
            KeySetFormat::Paserk => (3, format!(r#"{{"kid":"{kid}"}}"#)),
            KeySetFormat::Jwk => (0, format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#)),
        };
        assert_eq!(URL_SAFE_NO_PAD.decode(parts[index]).as_deref(), Ok(named.as_bytes()), "{format}");
    }
}

#[test]
fn token_has_at_most_512_bytes_or_640_as_jwt() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let token = issued(&tokens(&keyring, *format));

        let limit = if *format == AccessFormat::Paseto { 512 } else { 640 };
        assert!(token.len() <= limit, "{format}: {} bytes", token.len());
    }
}

#[test]
fn settings_with_tokens_over_1024_bytes_are_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let with_issuer = |length| {
            AccessTokens::new(
                Arc::new(LiveKeyring::fixed(Arc::clone(&keyring))),
                *format,
                "x".repeat(length),
                "postern".to_owned(),
            )
        };

        let longest =
            (7..MAX_ACCESS_TOKEN_BYTES).take_while(|length| with_issuer(*length).is_ok()).last().expect("short tokens");

        let token = issued(&with_issuer(longest).expect("short tokens"));
        assert!((1018..=MAX_ACCESS_TOKEN_BYTES).contains(&token.len()), "{format}: {} bytes", token.len());
        let error = with_issuer(longest + 1).expect_err("too long");
        assert!(error.bytes > MAX_ACCESS_TOKEN_BYTES, "{format}: {error}");
    }
}

#[test]
fn error_for_a_missing_format_names_its_feature() {
    for name in AccessFormat::OF_THE_JWT_FEATURE {
        match name.parse::<AccessFormat>() {
            Ok(format) => assert_eq!(format.to_string(), name),
            Err(error) => assert!(error.contains("cargo feature `jwt`"), "{error}"),
        }
    }
    assert_eq!("paseto".parse(), Ok(AccessFormat::Paseto));
    let error = "paseto-v4".parse::<AccessFormat>().expect_err("an unknown format");
    assert!(error.starts_with("one of: paseto"), "{error}");
}

#[tokio::test]
async fn unknown_key_reloads_the_keyring() {
    for format in AccessFormat::ALL {
        let (keys, directory) = testing::keys_in_a_directory();
        let named = || "postern".to_owned();
        let ours = AccessTokens::new(keys, *format, named(), named()).expect("short tokens");
        keys::emergency_rotate(directory.path(), keys::Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a new key");
        let other_server = Arc::new(Keyring::load(directory.path()).expect("keys can be read"));

        let token = issued(&tokens(&other_server, *format));

        assert!(ours.verify_now(&token, noon()).is_err(), "{format}");
        assert!(ours.verify(&token, noon()).await.is_ok(), "{format}");
    }
}

proptest! {
    #[test]
    fn verified_token_returns_its_claims(
        user in any::<u128>(), session in any::<u128>(), now_ms in 30_000..253_402_300_799_999_i64, life_s in 1..1_000_000_i64,
    ) {
        let keyring = testing::shared_keys().current();
        let time = |unix_ms| from_unix_ms(unix_ms).expect("a time within range");
        let (user, session) = (UserId(Uuid::from_u128(user)), SessionId(Uuid::from_u128(session)));
        let (now, expires) = (time(now_ms), time((now_ms + life_s * 1000).min(253_402_300_799_999)));
        for format in AccessFormat::ALL {
            let tokens = tokens(&keyring, *format);

            let verified = tokens.verify_now(&tokens.issue(user, session, now, expires), now);

            if now < whole_seconds(expires) {
                let claims = verified.expect("a valid token");
                prop_assert_eq!((claims.subject, claims.session), (user, session));
                prop_assert_eq!((claims.issued, claims.expires), (whole_seconds(now), whole_seconds(expires)));
            } else {
                prop_assert_eq!(verified, Err(AccessTokenError::Expired));
            }
        }
    }
}

#[test]
fn key_set_of_each_format_is_published() {
    for format in AccessFormat::ALL {
        assert!(AccessFormat::publishes(format.key_set()), "{format}");
    }
}
