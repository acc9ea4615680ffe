//! Tokens that have been verified before.

use super::*;

#[test]
fn token_is_verified_once() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);

        let first = tokens.verify_now(&token, noon()).expect("a valid token");
        let again = tokens.verify_now(&token, noon()).expect("a valid token");

        assert!(Arc::ptr_eq(&first, &again), "{format}");
    }
}

#[test]
fn remembered_token_is_rejected_once_it_has_expired() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);
        let claims = tokens.verify_now(&token, noon()).expect("a valid token");

        assert!(tokens.verify_now(&token, claims.expires - Duration::from_millis(1)).is_ok(), "{format}");
        for late in [claims.expires, claims.expires + Duration::from_hours(1)] {
            assert_eq!(tokens.verify_now(&token, late), Err(AccessTokenError::Expired), "{format}");
        }
        let after_a_clock_step = tokens.verify_now(&token, noon()).expect("a valid token");
        assert!(!Arc::ptr_eq(&claims, &after_a_clock_step), "{format}: an expired token is forgotten");
    }
}

#[test]
fn rejected_token_is_not_remembered() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let foreign = issued(&tokens_named(&keyring, *format, ["x", "postern"]));
        let token = issued(&tokens);

        for _ in 0..2 {
            assert_eq!(tokens.verify_now(&foreign, noon()), Err(AccessTokenError::Invalid), "{format}");
            let late = noon() + Duration::from_mins(5);
            assert_eq!(tokens.verify_now(&token, late), Err(AccessTokenError::Expired), "{format}");
        }
        assert!(!tokens.remembers(&token) && !tokens.remembers(&foreign), "{format}");
    }
}

#[test]
fn changed_or_truncated_text_of_a_remembered_token_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);
        assert!(tokens.verify_now(&token, noon()).is_ok() && tokens.remembers(&token), "{format}");

        let flipped = (0..token.len()).map(|index| {
            let mut bytes = token.clone().into_bytes();
            bytes[index] ^= 1;
            String::from_utf8(bytes).expect("ASCII")
        });
        let cut = (0..token.len()).map(|length| token[..length].to_owned());
        for other in flipped.chain(cut).chain([format!("{token}."), format!(" {token}"), format!("{token}\0")]) {
            assert_eq!(tokens.verify_now(&other, noon()), Err(AccessTokenError::Invalid), "{format}: {other:?}");
        }
        assert!(tokens.remembers(&token), "{format}");
    }
}

#[tokio::test]
async fn token_of_a_removed_key_is_rejected_after_the_reload() {
    for format in AccessFormat::ALL {
        let (keys, directory) = testing::keys_in_a_directory();
        let named = || "postern".to_owned();
        let tokens = AccessTokens::new(Arc::clone(&keys), *format, named(), named()).expect("short tokens");
        let token = issued(&tokens);
        assert!(tokens.verify(&token, noon()).await.is_ok() && tokens.remembers(&token), "{format}");

        keys::emergency_rotate(directory.path(), keys::Purpose::Access, OffsetDateTime::UNIX_EPOCH).expect("a new key");
        keys.reload().await;

        assert_eq!(tokens.verify_now(&token, noon()), Err(AccessTokenError::Invalid), "{format}");
        assert_eq!(tokens.verify(&token, noon()).await, Err(AccessTokenError::Invalid), "{format}");
    }
}

#[test]
fn debug_output_contains_no_remembered_token() {
    let tokens = tokens(&keyring(), AccessFormat::Paseto);
    let token = issued(&tokens);
    assert!(tokens.verify_now(&token, noon()).is_ok());

    let text = format!("{tokens:?}");

    assert!(!text.contains(&token[..20]), "{text}");
}
