//! Refresh tokens. The first character of the input says what it is: `t` a text, `e` edits of a token, `i` what a token says.
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
    [b't', text @ ..] => judge_text(text),
    [b'e', edits @ ..] => judge_edits(edits),
    [b'i', said @ ..] => judge_claims(said),
    _ => {}
});

/// Nobody without the keys has a token.
fn judge_text(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    assert_eq!(TOKENS.verify_now(text), Err(InvalidRefreshToken));
}

/// A token has one text.
fn judge_edits(edits: &[u8]) {
    let claims = RefreshClaims { user: UserId(Uuid::from_u128(1)), session: SessionId(Uuid::from_u128(2)), counter: 3 };
    let issued = TOKENS.issue(claims, TOKENS.active_key());
    let Some(other) = edited(&issued, edits) else { return };
    assert_eq!(TOKENS.verify_now(&other).is_ok(), other == issued, "{other}");
}

/// A token says what was written into it, in an alphabet that needs no quotes, whatever key it was to be signed by.
fn judge_claims(said: &[u8]) {
    let Some((user, rest)) = said.split_first_chunk() else { return };
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
