//! Compares tokens with the bare signature or MAC.

use std::time::Duration;

use criterion::Criterion;
use ed25519_compact::{KeyPair, Seed};
use hmac::{Hmac, KeyInit as _, Mac as _};
use postern::{
    clock::{Clock as _, SystemClock},
    model::{SessionId, UserId},
    tokens::{AccessFormat, RefreshClaims, RefreshTokens},
};
use sha2::Sha256;

use crate::{
    comparison::{Group, timed},
    service::keys,
    support::access_tokens,
};

/// The approximate length of the signed part of a token: header, claims, footer and their lengths.
const SIGNED_BYTES: usize = 420;

/// The length of the authenticated part of a refresh token: its purpose, and the bytes before the MAC.
const AUTHENTICATED_BYTES: usize = 67;

pub fn measure(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "tokens");
    for format in AccessFormat::ALL {
        access(&mut group, *format);
    }
    refresh(&mut group);
    group.print();
}

fn access(group: &mut Group<'_>, format: AccessFormat) {
    let tokens = access_tokens(&keys(), format);
    let now = SystemClock.now();
    let (user, session, expires) = (UserId::new(now), SessionId::random(), now + Duration::from_mins(5));
    let token = tokens.issue(user, session, now, expires);
    let pair = KeyPair::from_seed(Seed::generate());
    let signed = [b'x'; SIGNED_BYTES];
    let signature = pair.sk.sign(signed, None);

    group.measure(
        [&format!("access token issued, {format}"), "Ed25519 signature"],
        timed(|| tokens.issue(user, session, now, expires)),
        timed(|| pair.sk.sign(signed, None)),
    );
    group.measure(
        [&format!("access token verified, {format}"), "Ed25519 verification"],
        timed(|| tokens.verify_now(&token, now).expect("a valid token")),
        timed(|| pair.pk.verify(signed, &signature).expect("a valid signature")),
    );
}

fn refresh(group: &mut Group<'_>) {
    let tokens = RefreshTokens::new(keys());
    let claims = RefreshClaims { user: UserId::new(SystemClock.now()), session: SessionId::random(), counter: 1 };
    let token = tokens.issue(claims, tokens.active_key());
    let mac = || {
        let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key of any length");
        mac.chain_update([b'x'; AUTHENTICATED_BYTES])
    };
    let code = mac().finalize().into_bytes();

    group.measure(
        ["refresh token issued", "HMAC-SHA-256"],
        timed(|| tokens.issue(claims, tokens.active_key())),
        timed(|| mac().finalize()),
    );
    group.measure(
        ["refresh token parsed and verified", "HMAC-SHA-256, verified"],
        timed(|| tokens.verify_now(&token).expect("a valid token")),
        timed(|| mac().verify(&code).expect("a valid code")),
    );
}
