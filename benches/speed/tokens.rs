//! Compares tokens with the bare signature or MAC.

use std::time::Duration;

use criterion::Criterion;
use ed25519_compact::{KeyPair, Seed};
use ed25519_dalek::{Signer as _, Verifier as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use postern::{
    clock::{Clock as _, SystemClock},
    model::{SessionId, UserId},
    tokens::{AccessFormat, RefreshClaims, RefreshTokens},
};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
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
    libraries(&mut group);
    group.print();
}

fn access(group: &mut Group<'_>, format: AccessFormat) {
    let keys = keys();
    let tokens = access_tokens(&keys, format);
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
        [&format!("access token verified for the first time, {format}"), "Ed25519 verification"],
        |runs| {
            let issued: Vec<_> = (0..runs).map(|_| tokens.issue(user, session, now, expires)).collect();
            let mut issued = issued.iter();
            timed(|| tokens.verify_now(issued.next().expect("a token for each run"), now).expect("a valid token"))(runs)
        },
        timed(|| pair.pk.verify(signed, &signature).expect("a valid signature")),
    );
    group.measure(
        [&format!("access token verified again, {format}"), "Ed25519 verification"],
        timed(|| tokens.verify_now(&token, now).expect("a valid token")),
        timed(|| pair.pk.verify(signed, &signature).expect("a valid signature")),
    );
}

/// Compares the libraries that could sign and verify with the one that pasetors uses.
fn libraries(group: &mut Group<'_>) {
    let pair = KeyPair::from_seed(Seed::generate());
    let signed = [b'x'; SIGNED_BYTES];
    let signature = pair.sk.sign(signed, None);
    let dalek = ed25519_dalek::SigningKey::from_bytes(&pair.sk.seed());
    let ring = Ed25519KeyPair::from_seed_and_public_key(&*pair.sk.seed(), &*pair.pk).expect("a key pair");
    let dalek_signature = dalek.sign(&signed);
    let ring_public = UnparsedPublicKey::new(&ED25519, *pair.pk);

    group.measure(
        ["signed, ed25519-dalek", "signed, ed25519-compact"],
        timed(|| dalek.sign(&signed)),
        timed(|| pair.sk.sign(signed, None)),
    );
    group.measure(
        ["signed, ring", "signed, ed25519-compact"],
        timed(|| ring.sign(&signed)),
        timed(|| pair.sk.sign(signed, None)),
    );
    for (library, verify) in [
        ("ed25519-dalek", &(|| dalek.verifying_key().verify(&signed, &dalek_signature).is_ok()) as &dyn Fn() -> bool),
        ("ed25519-dalek, strict", &(|| dalek.verifying_key().verify_strict(&signed, &dalek_signature).is_ok())),
        ("ring", &(|| ring_public.verify(&signed, &*signature).is_ok())),
    ] {
        group.measure(
            [&format!("verified, {library}"), "verified, ed25519-compact"],
            timed(verify),
            timed(|| pair.pk.verify(signed, &signature).expect("a valid signature")),
        );
    }
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
