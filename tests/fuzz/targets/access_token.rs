//! Access tokens of every format. The first character of the input is its kind: `t` a text, `e` edits of a token of each
//! format, `i` the claims of a token. With a valid signature: `p` the payload of a PASETO, `f` its footer, `j` the payload of
//! a JWT, `h` its header. In a footer or header, `{kid}` is replaced by the id of our key.
#![no_main]

use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_compact::SecretKey;
use pasetors::version4::PublicToken;
use postern::{
    clock::{from_unix_ms, whole_seconds},
    keys::LiveKeyring,
    model::{SessionId, UserId},
    tokens::{AccessFormat, AccessTokenError, AccessTokens, Claims},
};
use postern_fuzz::{edited, keys, replaced};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

static KEYS: LazyLock<Arc<LiveKeyring>> = LazyLock::new(keys);

/// The issuers of every format of the build.
static TOKENS: LazyLock<Vec<AccessTokens>> = LazyLock::new(|| {
    let name = || "postern".to_owned();
    let tokens = |format: &AccessFormat| AccessTokens::new(KEYS.clone(), *format, name(), name());
    AccessFormat::ALL.iter().map(|format| tokens(format).expect("short tokens")).collect()
});

/// A token of each format, issued at `now`.
static ISSUED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
    let expires = now() + time::Duration::minutes(5);
    TOKENS.iter().map(|tokens| tokens.issue(user, session, now(), expires)).collect()
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| match input {
    [b't', text @ ..] => check_text(text),
    [b'e', edits @ ..] => check_edits(edits),
    [b'i', bytes @ ..] => check_claims(bytes),
    [b'p', payload @ ..] => check_signed(paseto(payload, footer().as_bytes()), [footer().as_bytes(), payload]),
    [b'f', footer @ ..] => {
        let footer = with_our_key_id(footer);
        check_signed(paseto(PASETO_PAYLOAD, &footer), [&footer, PASETO_PAYLOAD]);
    }
    [b'j', payload @ ..] => check_signed(Some(jwt(header().as_bytes(), payload)), [header().as_bytes(), payload]),
    [b'h', header @ ..] => {
        let header = with_our_key_id(header);
        check_signed(Some(jwt(&header, JWT_PAYLOAD)), [&header, JWT_PAYLOAD]);
    }
    _ => {}
});

const PASETO_PAYLOAD: &[u8] = br#"{"iss":"postern","sub":"00000000-0000-0000-0000-000000000001","aud":"postern","iat":"2027-01-15T08:00:00Z","nbf":"2027-01-15T07:59:30Z","exp":"2027-01-15T08:05:00Z","jti":"x","sid":"00000000-0000-0000-0000-000000000002"}"#;
const JWT_PAYLOAD: &[u8] = br#"{"iss":"postern","sub":"00000000-0000-0000-0000-000000000001","aud":"postern","iat":1800000000,"exp":1800000300,"jti":"x","sid":"00000000-0000-0000-0000-000000000002","token_type":"access","user_id":"00000000-0000-0000-0000-000000000001"}"#;

fn now() -> OffsetDateTime {
    from_unix_ms(1_800_000_000_500).expect("a time within range")
}

/// Verifies a token. Each issuer accepts every format, so the first one suffices.
fn verify(token: &str, now: OffsetDateTime) -> Result<Arc<Claims>, AccessTokenError> {
    TOKENS[0].verify_now(token, now)
}

/// Without the keys, no text is a token.
fn check_text(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    assert_eq!(verify(text, now()), Err(AccessTokenError::Invalid));
}

/// No other text is the same token.
fn check_edits(edits: &[u8]) {
    for issued in ISSUED.iter() {
        let Some(other) = edited(issued, edits) else { return };
        assert_eq!(verify(&other, now()).is_ok(), other == *issued, "{other}");
    }
}

/// A token has the claims that it was issued with, until it expires.
fn check_claims(bytes: &[u8]) {
    let Some((user, rest)) = bytes.split_first_chunk() else { return };
    let Some((session, rest)) = rest.split_first_chunk() else { return };
    let Some((now, rest)) = time_of(rest) else { return };
    let Some((expires, _)) = time_of(rest) else { return };
    let (user, session) = (UserId(Uuid::from_bytes(*user)), SessionId(Uuid::from_bytes(*session)));
    for token in TOKENS.iter().map(|tokens| tokens.issue(user, session, now, expires)) {
        match verify(&token, now) {
            Ok(claims) => {
                assert_eq!((claims.issuer.as_str(), claims.audience.as_str()), ("postern", "postern"));
                assert_eq!((claims.subject, claims.session), (user, session));
                assert_eq!((claims.issued, claims.expires), (whole_seconds(now), whole_seconds(expires)));
                assert!(now < claims.expires);
                // The remembered token has the same claims, and the same expiry.
                assert_eq!(verify(&token, now).as_ref(), Ok(&claims));
                assert_eq!(verify(&token, claims.expires), Err(AccessTokenError::Expired));
            }
            result => assert!(result == Err(AccessTokenError::Expired) && now >= whole_seconds(expires)),
        }
    }
}

/// Returns a time from 1970 to 9999, which has a text by RFC 3339.
fn time_of(bytes: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    const END_OF_9999_MS: u64 = 253_402_300_800_000;
    let (milliseconds, rest) = bytes.split_first_chunk()?;
    let milliseconds = u64::from_be_bytes(*milliseconds) % END_OF_9999_MS;
    Some((from_unix_ms(milliseconds.cast_signed())?, rest))
}

/// A token with a valid signature is accepted only with our footer or header and with valid claims.
fn check_signed(token: Option<String>, [key_part, payload]: [&[u8]; 2]) {
    let Some(token) = token else { return };
    let is_paseto = token.starts_with("v4");
    let (our_key_part, our_payload) = if is_paseto { (footer(), PASETO_PAYLOAD) } else { (header(), JWT_PAYLOAD) };
    let Ok(claims) = verify(&token, now()) else {
        assert!(key_part != our_key_part.as_bytes() || payload != our_payload, "a valid token is rejected");
        return;
    };
    let key_part: Value = serde_json::from_slice(key_part).expect("a footer or header in JSON");
    assert_eq!(key_part, our_key_part.parse::<Value>().expect("JSON"));
    check_payload(&claims, payload);
}

/// An accepted payload has exactly the claims of one format.
fn check_payload(claims: &Claims, payload: &[u8]) {
    let object: Value = serde_json::from_slice(payload).expect("a payload in JSON");
    let mut names: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    let paseto_claims = ["aud", "exp", "iat", "iss", "jti", "nbf", "sid", "sub"];
    let jwt_claims = ["aud", "exp", "iat", "iss", "jti", "sid", "sub", "token_type", "user_id"];
    assert!(names == paseto_claims || names == jwt_claims, "{names:?}");
    assert_eq!((&object["iss"], &object["aud"]), (&"postern".into(), &"postern".into()));
    let id = |claim: &str| object[claim].as_str().and_then(|id| id.parse::<Uuid>().ok());
    assert_eq!((id("sub"), id("sid")), (Some(claims.subject.0), Some(claims.session.0)));
    assert!(object["user_id"].is_null() || id("user_id") == id("sub"));
    assert!(object["token_type"].is_null() || object["token_type"] == "access");
    assert!(object["exp"].as_i64().is_none_or(|expires| expires == claims.expires.unix_timestamp()));
    assert!(now() < claims.expires);
}

fn with_our_key_id(text: &[u8]) -> Vec<u8> {
    replaced(text, "{kid}", &KEYS.current().signing().id)
}

fn footer() -> String {
    KEYS.current().signing().footer.clone()
}

fn header() -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"JWT"}}"#, KEYS.current().signing().id)
}

/// Returns `None` if pasetors rejects the payload or the footer.
fn paseto(payload: &[u8], footer: &[u8]) -> Option<String> {
    PublicToken::sign(&KEYS.current().signing().secret, payload, Some(footer), None).ok()
}

fn jwt(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let secret = SecretKey::from_slice(KEYS.current().signing().secret.as_bytes()).expect("an Ed25519 key");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(secret.sign(&signed, None)))
}
