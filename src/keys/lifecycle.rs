//! The lifecycle of a key: next, active, retiring, removed.

use std::path::Path;

use time::OffsetDateTime;

use super::{
    change::Changeset,
    entry::{KeyEntry, KeySelector, KeyState, Purpose},
    error::KeyringError,
    keyring::Keyring,
    schedule::KeyTimes,
};
use crate::clock::rfc3339;

/// A step in the lifecycle of a key, with the key's entry after it, or its last entry if it was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The key was generated.
    Created(KeyEntry),
    /// The key signs from now on.
    Activated(KeyEntry),
    /// The key no longer signs.
    Retiring(KeyEntry),
    /// The key was removed.
    Removed(KeyEntry),
}

/// Generates an active key for each purpose without a key, and returns the new entries. Creates the directory if it is
/// missing.
///
/// # Errors
/// Returns [`KeyringError`] if the directory is not writable or its manifest is unreadable.
pub fn generate(directory: &Path, now: OffsetDateTime) -> Result<Vec<KeyEntry>, KeyringError> {
    let mut change = Changeset::begin_or_create(directory)?;
    let is_missing = |purpose: &Purpose| !change.keys().iter().any(|key| key.purpose == *purpose);
    let missing: Vec<_> = Purpose::ALL.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let generated = missing.into_iter().map(|purpose| change.generate(purpose, KeyState::Active, now));
    let generated = generated.collect::<Result<_, _>>()?;
    change.commit()?;
    Ok(generated)
}

/// Generates the next key of a purpose; it verifies at once, and signs after [`activate`]. A purpose without a key gets an
/// active one.
///
/// # Errors
/// Returns [`KeyringError::NextExists`] if the purpose has a next key, or another [`KeyringError`] if the directory is
/// unusable or not writable.
pub fn add_next(directory: &Path, purpose: Purpose, now: OffsetDateTime) -> Result<Step, KeyringError> {
    let mut change = begin_on_valid_keys(directory)?;
    if let Some(KeyEntry { id, .. }) = change.keys_in(purpose, KeyState::Next).pop() {
        return Err(KeyringError::NextExists { purpose, id });
    }
    let is_first = change.keys().iter().all(|key| key.purpose != purpose);
    let state = if is_first { KeyState::Active } else { KeyState::Next };
    let step = change.generate(purpose, state, now).map(Step::Created)?;
    change.commit()?;
    Ok(step)
}

/// Makes a next key active, and the active key retiring.
///
/// # Errors
/// Returns [`KeyringError`] if the key does not exist, is not next, or has not been next for long enough.
pub fn activate(
    directory: &Path,
    selector: &KeySelector,
    times: &KeyTimes,
    now: OffsetDateTime,
) -> Result<Vec<Step>, KeyringError> {
    let mut change = begin_on_valid_keys(directory)?;
    let key = match selector {
        KeySelector::Id(id) => find(&change, id, KeyState::Next)?,
        KeySelector::NextOf(purpose) => {
            change.keys_in(*purpose, KeyState::Next).into_iter().next().ok_or(KeyringError::NoNext(*purpose))?
        }
    };
    check_due(&key, times, now)?;
    let steps = promote(&mut change, &key, now);
    change.commit()?;
    Ok(steps)
}

/// Removes a retiring key.
///
/// # Errors
/// Returns [`KeyringError`] if the key does not exist, is not retiring, or has not been retiring for long enough.
pub fn retire(directory: &Path, id: &str, times: &KeyTimes, now: OffsetDateTime) -> Result<Step, KeyringError> {
    let mut change = begin_on_valid_keys(directory)?;
    let key = find(&change, id, KeyState::Retiring)?;
    check_due(&key, times, now)?;
    change.remove(&key);
    change.commit()?;
    Ok(Step::Removed(key))
}

/// Takes every step that is due: removes retiring keys, activates the next key and generates another next key. Idempotent.
///
/// # Errors
/// Returns [`KeyringError`] if the directory is unusable or not writable, or if the only requested purpose has no key.
pub fn rotate(
    directory: &Path,
    purposes: &[Purpose],
    times: &KeyTimes,
    now: OffsetDateTime,
) -> Result<Vec<Step>, KeyringError> {
    let mut change = begin_on_valid_keys(directory)?;
    let is_due = |key: &KeyEntry| times.due(key).is_some_and(|due| due <= now);
    let mut steps = Vec::new();
    // Only `generate` creates the first key of a purpose: replicas of the previous version may not know the purpose.
    let has_key = |purpose: &&Purpose| change.keys().iter().any(|key| key.purpose == **purpose);
    let known: Vec<_> = purposes.iter().filter(has_key).collect();
    if let ([purpose], []) = (purposes, known.as_slice()) {
        return Err(KeyringError::MissingPurpose { directory: directory.to_owned(), purpose: *purpose });
    }
    for purpose in known {
        for key in change.keys_in(*purpose, KeyState::Retiring).into_iter().filter(is_due) {
            change.remove(&key);
            steps.push(Step::Removed(key));
        }
        if let Some(key) = change.keys_in(*purpose, KeyState::Next).into_iter().find(is_due) {
            steps.extend(promote(&mut change, &key, now));
        }
        if change.keys_in(*purpose, KeyState::Next).is_empty() {
            steps.push(Step::Created(change.generate(*purpose, KeyState::Next, now)?));
        }
    }
    if !steps.is_empty() {
        change.commit()?;
    }
    Ok(steps)
}

/// Replaces all keys of a purpose by a new active key at once, which invalidates everything that they signed. The old keys
/// may be unreadable.
///
/// # Errors
/// Returns [`KeyringError`] if the manifest is missing or unreadable, or if the directory is not writable.
pub fn emergency_rotate(directory: &Path, purpose: Purpose, now: OffsetDateTime) -> Result<Vec<Step>, KeyringError> {
    let mut change = Changeset::begin(directory)?;
    let previous: Vec<_> = change.keys().iter().filter(|key| key.purpose == purpose).cloned().collect();
    let generated = change.generate(purpose, KeyState::Active, now)?;
    for key in &previous {
        change.remove(key);
    }
    change.commit()?;
    let removed = previous.into_iter().map(Step::Removed);
    Ok(std::iter::once(Step::Created(generated)).chain(removed).collect())
}

/// Begins a change if the current keys are usable: a change must not carry over an error.
fn begin_on_valid_keys(directory: &Path) -> Result<Changeset, KeyringError> {
    let change = Changeset::begin(directory)?;
    Keyring::load(directory)?;
    Ok(change)
}

fn find(change: &Changeset, id: &str, needed: KeyState) -> Result<KeyEntry, KeyringError> {
    let key = change.keys().iter().find(|key| key.id == id);
    let key = key.ok_or_else(|| KeyringError::Unknown(id.to_owned()))?;
    if key.state != needed {
        return Err(KeyringError::WrongState { id: id.to_owned(), state: key.state, needed });
    }
    Ok(key.clone())
}

fn check_due(key: &KeyEntry, times: &KeyTimes, now: OffsetDateTime) -> Result<(), KeyringError> {
    match times.due(key) {
        Some(due) if due > now => {
            Err(KeyringError::TooEarly { id: key.id.clone(), state: key.state, until: rfc3339(due) })
        }
        _ => Ok(()),
    }
}

fn promote(change: &mut Changeset, key: &KeyEntry, now: OffsetDateTime) -> Vec<Step> {
    let previous = change.keys_in(key.purpose, KeyState::Active);
    let activated = Step::Activated(change.transition(key, KeyState::Active, now));
    let retiring = previous.iter().map(|key| Step::Retiring(change.transition(key, KeyState::Retiring, now)));
    std::iter::once(activated).chain(retiring).collect()
}

#[cfg(test)]
mod tests;
