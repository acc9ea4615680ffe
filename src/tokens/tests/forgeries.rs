//! Signatures with other algorithms and other headers.

use ed25519_compact::SecretKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use pasetors::version4::PublicToken;
use sha2::Sha256;

use super::*;

/// Returns `base64url(header).base64url(payload).base64url(signature)`.
fn jws(header: &Value, payload: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(&signed));
    format!("{signed}.{signature}")
}

/// Signs like the service.
fn ed25519(keyring: &Keyring) -> impl Fn(&str) -> Vec<u8> {
    let secret = SecretKey::from_slice(keyring.signing().secret.as_bytes()).expect("a key");
    move |signed: &str| secret.sign(signed, None).to_vec()
}

#[test]
fn other_algorithm_is_rejected_even_with_our_key() {
    let keyring = keyring();
    let kid = &keyring.signing().id;
    for format in AccessFormat::ALL {
        let (tokens, payload) = (tokens(&keyring, *format), payload(*format, &keyring));

        for algorithm in ["none", "None", "NONE", "", "HS256", "RS256", "ES256", "PS256", "Ed448", "Ed25519", "eddsa"] {
            let header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"});
            for token in [jws(&header, &payload, |_| Vec::new()), jws(&header, &payload, ed25519(&keyring))] {
                assert_eq!(tokens.verify_now(&token, noon()), Err(AccessTokenError::Invalid), "{format}: {token}");
            }
        }
    }
}

#[test]
fn public_key_as_mac_secret_is_rejected() {
    let keyring = keyring();
    let public = keyring.verifying(&keyring.signing().id).expect("a key").public().as_bytes();
    let header = json!({"alg": "HS256", "kid": keyring.signing().id, "typ": "JWT"});
    let published = [KeySetFormat::Paserk, KeySetFormat::Jwk].map(|set| set.of(&keyring));
    let texts = published.iter().map(String::as_bytes);
    for format in AccessFormat::ALL {
        let (tokens, payload) = (tokens(&keyring, *format), payload(*format, &keyring));

        for secret in texts.clone().chain([public, URL_SAFE_NO_PAD.encode(public).as_bytes()]) {
            let token = jws(&header, &payload, |signed| {
                let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
                mac.chain_update(signed).finalize().into_bytes().to_vec()
            });
            assert_eq!(tokens.verify_now(&token, noon()), Err(AccessTokenError::Invalid), "{format}: {token}");
        }
    }
}

#[test]
fn other_paseto_version_or_purpose_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL {
        let tokens = tokens(&keyring, *format);
        let token = issued(&tokens);

        let rest = token.strip_prefix(super::super::format::paseto::PREFIX).unwrap_or(&token);
        for header in ["v1.public.", "v2.public.", "v3.public.", "v5.public.", "v4.local.", "v4.secret.", "V4.PUBLIC."]
        {
            let other = format!("{header}{rest}");
            assert_eq!(tokens.verify_now(&other, noon()), Err(AccessTokenError::Invalid), "{other}");
        }
    }
}

#[test]
fn footer_with_other_fields_is_rejected() {
    let keyring = keyring();
    let (key, good) = (keyring.signing(), payload(AccessFormat::Paseto, &keyring).to_string());
    let is_accepted = |footer: Option<&str>| {
        let token = PublicToken::sign(&key.secret, good.as_bytes(), footer.map(str::as_bytes), None);
        tokens(&keyring, AccessFormat::Paseto).verify_now(&token.expect("it can be signed"), noon()).is_ok()
    };
    assert!(is_accepted(Some(&key.footer)));

    let kid = &key.id;
    for other in [
        kid.clone(),
        format!(r#"{{"kid":"{kid}","wpk":"x"}}"#),
        format!(r#"{{"kid":"{kid}","kid":"{kid}"}}"#),
        format!(r#"{{"Kid":"{kid}"}}"#),
        "{}".to_owned(),
    ] {
        assert!(!is_accepted(Some(&other)), "{other}");
    }
    assert!(!is_accepted(None));
}

#[test]
fn jwt_header_with_other_fields_is_rejected() {
    let keyring = keyring();
    for format in AccessFormat::ALL.iter().filter(|format| format.key_set() == KeySetFormat::Jwk) {
        let (tokens, payload) = (tokens(&keyring, *format), payload(*format, &keyring));
        let is_accepted = |header: &Value| tokens.verify_now(&jws(header, &payload, ed25519(&keyring)), noon()).is_ok();
        let ours = json!({"alg": "EdDSA", "kid": keyring.signing().id, "typ": "JWT"});
        assert!(is_accepted(&ours));

        for (field, value) in [
            ("crit", json!(["exp"])),
            ("b64", json!(false)),
            ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})),
            ("jku", json!("https://example.org/jwks.json")),
            ("typ", json!("at+jwt")),
            ("typ", json!("jwt")),
            ("kid", json!("k4.pid.")),
            ("alg", json!({"EdDSA": null})),
        ] {
            let mut other = ours.clone();
            other[field] = value;
            assert!(!is_accepted(&other), "{other}");
        }
        for field in ["alg", "kid", "typ"] {
            let mut other = ours.clone();
            other.as_object_mut().expect("an object").remove(field);
            assert!(!is_accepted(&other), "{other}");
        }
        let of_another_format = self::payload(AccessFormat::Paseto, &keyring).to_string();
        assert!(is_rejected(*format, &keyring, &of_another_format));
    }
}
