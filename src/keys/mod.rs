//! The keys: a directory of PASERK files, and `keyring.json`, the manifest, which gives each key its purpose and state.
//!
//! Each key has a file that contains only its PASERK text: `k4.secret…` signs access tokens, `k4.local…` authenticates data
//! that only Postern verifies. One rename of the manifest replaces one set of keys by the next, so a reader sees either the
//! old set or the new one.
//!
//! A key is *next* until every server knows it, then *active*, and then *retiring* until everything that it signed has
//! expired. [`Keyring`] is one complete set of keys; [`LiveKeyring`] is the current one.

mod change;
mod entry;
mod error;
mod keyring;
mod lifecycle;
mod load;
mod manifest;
mod reload;
mod schedule;
#[cfg(test)]
pub(crate) mod testing;
mod verifying_key;

pub use self::{
    entry::{KeyEntry, KeySelector, KeyState, Purpose},
    error::{KeyringError, VerifyError},
    keyring::{Keyring, PublishedKey, SigningKey},
    lifecycle::{Step, activate, add_next, emergency_rotate, generate, retire, rotate},
    manifest::{MANIFEST, list},
    reload::LiveKeyring,
    schedule::KeyTimes,
    verifying_key::VerifyingKey,
};
