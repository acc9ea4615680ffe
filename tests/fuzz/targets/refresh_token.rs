//! Refresh tokens. The first character of the input is its kind: `t` a text, `e` edits of a token, `i` the claims of a token.
#![no_main]

use std::sync::LazyLock;

use postern::{
    model::{KeyTag, SessionId, UserId},
    tokens::{InvalidRefreshToken, RefreshClaims, RefreshTokens},
};
use postern_fuzz::{edited, keys};
use uuid::Uuid;

static TOKENS: LazyLock<RefreshTokens> = LazyLock::new(|| RefreshTokens::new(keys()));

libfuzzer_sys::fuzz_target!(|input: &[u8]| match input {
    [b't', text @ ..] => check_text(text),
    [b'e', edits @ ..] => check_edits(edits),
    [b'i', bytes @ ..] => check_claims(bytes),
    _ => {}
});

/// Without the keys, no text is a token.
fn check_text(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    assert_eq!(TOKENS.verify_now(text), Err(InvalidRefreshToken));
}

/// No other text is the same token.
fn check_edits(edits: &[u8]) {
    let claims = RefreshClaims { user: UserId(Uuid::from_u128(1)), session: SessionId(Uuid::from_u128(2)), counter: 3 };
    let issued = TOKENS.issue(claims, TOKENS.active_key());
    let Some(other) = edited(&issued, edits) else { return };
    assert_eq!(TOKENS.verify_now(&other).is_ok(), other == issued, "{other}");
}

/// A token has the claims that it was issued with, under any key tag, in an alphabet that needs no quotes.
fn check_claims(bytes: &[u8]) {
    let Some((user, rest)) = bytes.split_first_chunk() else { return };
    let Some((session, rest)) = rest.split_first_chunk() else { return };
    let Some((counter, tag)) = rest.split_first_chunk() else { return };
    let claims = RefreshClaims {
        user: UserId(Uuid::from_bytes(*user)),
        session: SessionId(Uuid::from_bytes(*session)),
        counter: u64::from_be_bytes(*counter),
    };
    let tag = tag.first_chunk().map_or_else(|| TOKENS.active_key(), |tag| KeyTag(*tag));
    let token = TOKENS.issue(claims, tag);
    assert_eq!(TOKENS.verify_now(&token), Ok(claims));
    assert_eq!(token.len(), 103);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
}
