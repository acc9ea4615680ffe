//! Access tokens of every format. The first character of the input says what it is: `t` a text, `e` edits of a token of
//! each format, `i` what a token says; under a good signature: `p` the payload of a PASETO, `f` its footer, `j` the payload
//! of a JWT, `h` its header. In a footer or header, `{kid}` stands for the id of our key.
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

/// Of each format that is compiled in.
static TOKENS: LazyLock<Vec<AccessTokens>> = LazyLock::new(|| {
    let named = || "postern".to_owned();
    let tokens = |format: &AccessFormat| AccessTokens::new(KEYS.clone(), *format, named(), named());
    AccessFormat::ALL.iter().map(|format| tokens(format).expect("short tokens")).collect()
});

/// One of each format, at noon.
static ISSUED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
    let expires = noon() + time::Duration::minutes(5);
    TOKENS.iter().map(|tokens| tokens.issue(user, session, noon(), expires)).collect()
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| match input {
    [b't', text @ ..] => judge_text(text),
    [b'e', edits @ ..] => judge_edits(edits),
    [b'i', said @ ..] => judge_claims(said),
    [b'p', payload @ ..] => judge_signed(paseto(payload, footer().as_bytes()), [footer().as_bytes(), payload]),
    [b'f', footer @ ..] => {
        let footer = naming_ours(footer);
        judge_signed(paseto(PASETO_PAYLOAD, &footer), [&footer, PASETO_PAYLOAD]);
    }
    [b'j', payload @ ..] => judge_signed(Some(jwt(header().as_bytes(), payload)), [header().as_bytes(), payload]),
    [b'h', header @ ..] => {
        let header = naming_ours(header);
        judge_signed(Some(jwt(&header, JWT_PAYLOAD)), [&header, JWT_PAYLOAD]);
    }
    _ => {}
});

const PASETO_PAYLOAD: &[u8] = br#"{"iss":"postern","sub":"00000000-0000-0000-0000-000000000001","aud":"postern","iat":"2027-01-15T08:00:00Z","nbf":"2027-01-15T07:59:30Z","exp":"2027-01-15T08:05:00Z","jti":"x","sid":"00000000-0000-0000-0000-000000000002"}"#;
const JWT_PAYLOAD: &[u8] = br#"{"iss":"postern","sub":"00000000-0000-0000-0000-000000000001","aud":"postern","iat":1800000000,"exp":1800000300,"jti":"x","sid":"00000000-0000-0000-0000-000000000002","token_type":"access","user_id":"00000000-0000-0000-0000-000000000001"}"#;

fn noon() -> OffsetDateTime {
    from_unix_ms(1_800_000_000_500).expect("a time within range")
}

/// What any of them says: which format is issued has no part in it.
fn verify(token: &str, now: OffsetDateTime) -> Result<Claims, AccessTokenError> {
    TOKENS[0].verify_now(token, now)
}

/// Nobody without the keys has a token.
fn judge_text(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    assert_eq!(verify(text, noon()), Err(AccessTokenError::Invalid));
}

/// A token has one text.
fn judge_edits(edits: &[u8]) {
    for issued in ISSUED.iter() {
        let Some(other) = edited(issued, edits) else { return };
        assert_eq!(verify(&other, noon()).is_ok(), other == *issued, "{other}");
    }
}

/// A token says what was written into it, until it expires.
fn judge_claims(said: &[u8]) {
    let Some((user, rest)) = said.split_first_chunk() else { return };
    let Some((session, rest)) = rest.split_first_chunk() else { return };
    let Some((now, rest)) = time_of(rest) else { return };
    let Some((expires, _)) = time_of(rest) else { return };
    let (user, session) = (UserId(Uuid::from_bytes(*user)), SessionId(Uuid::from_bytes(*session)));
    for token in TOKENS.iter().map(|tokens| tokens.issue(user, session, now, expires)) {
        match verify(&token, now) {
            Ok(Claims { issuer, subject, audience, issued, expires: end, session: of, .. }) => {
                assert_eq!((issuer.as_str(), audience.as_str()), ("postern", "postern"));
                assert_eq!((subject, of), (user, session));
                assert_eq!((issued, end), (whole_seconds(now), whole_seconds(expires)));
                assert!(now < end);
            }
            refused => assert!(refused == Err(AccessTokenError::Expired) && now >= whole_seconds(expires)),
        }
    }
}

/// A time of this era that has an RFC 3339 text, as has the half minute before it.
fn time_of(bytes: &[u8]) -> Option<(OffsetDateTime, &[u8])> {
    const END_OF_9999_MS: u64 = 253_402_300_800_000;
    let (milliseconds, rest) = bytes.split_first_chunk()?;
    let milliseconds = u64::from_be_bytes(*milliseconds) % END_OF_9999_MS;
    Some((from_unix_ms(milliseconds.cast_signed())?, rest))
}

/// Judges a token under a good signature by what it says, in its footer or header and in its payload.
fn judge_signed(token: Option<String>, [naming, payload]: [&[u8]; 2]) {
    let Some(token) = token else { return };
    let is_paseto = token.starts_with("v4");
    let (our_naming, our_payload) = if is_paseto { (footer(), PASETO_PAYLOAD) } else { (header(), JWT_PAYLOAD) };
    let Ok(claims) = verify(&token, noon()) else {
        assert!(naming != our_naming.as_bytes() || payload != our_payload, "a good token is accepted");
        return;
    };
    let naming: Value = serde_json::from_slice(naming).expect("what names the key is JSON");
    assert_eq!(naming, our_naming.parse::<Value>().expect("JSON"));
    judge_payload(&claims, payload);
}

/// A payload that counts says exactly what the claims are, and nothing else.
fn judge_payload(claims: &Claims, payload: &[u8]) {
    let said: Value = serde_json::from_slice(payload).expect("a payload is JSON");
    let mut members: Vec<_> = said.as_object().expect("an object").keys().map(String::as_str).collect();
    members.sort_unstable();
    let of_a_paseto = ["aud", "exp", "iat", "iss", "jti", "nbf", "sid", "sub"];
    let of_a_jwt = ["aud", "exp", "iat", "iss", "jti", "sid", "sub", "token_type", "user_id"];
    assert!(members == of_a_paseto || members == of_a_jwt, "{members:?}");
    assert_eq!((&said["iss"], &said["aud"]), (&"postern".into(), &"postern".into()));
    let id = |claim: &str| said[claim].as_str().and_then(|id| id.parse::<Uuid>().ok());
    assert_eq!((id("sub"), id("sid")), (Some(claims.subject.0), Some(claims.session.0)));
    assert!(said["user_id"].is_null() || id("user_id") == id("sub"));
    assert!(said["token_type"].is_null() || said["token_type"] == "access");
    assert!(said["exp"].as_i64().is_none_or(|expires| expires == claims.expires.unix_timestamp()));
    assert!(noon() < claims.expires);
}

fn naming_ours(text: &[u8]) -> Vec<u8> {
    replaced(text, "{kid}", &KEYS.current().signing().id)
}

fn footer() -> String {
    KEYS.current().signing().footer.clone()
}

fn header() -> String {
    format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"JWT"}}"#, KEYS.current().signing().id)
}

/// `None` where there is no such token.
fn paseto(payload: &[u8], footer: &[u8]) -> Option<String> {
    PublicToken::sign(&KEYS.current().signing().secret, payload, Some(footer), None).ok()
}

fn jwt(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let secret = SecretKey::from_slice(KEYS.current().signing().secret.as_bytes()).expect("a key of Ed25519");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(secret.sign(&signed, None)))
}
