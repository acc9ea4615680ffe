//! The commands about keys.

use serde::Serialize;
use time::OffsetDateTime;

use super::output::{Format, Report, json};
use crate::{
    clock::rfc3339,
    config::KeysConfig,
    keys::{self, KeyEntry, KeySelector, KeyState, KeyTimes, Keyring, KeyringError, Purpose, Step},
};

/// A command about keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysCommand {
    /// Generate the active keys that are missing.
    Generate,
    /// Generate the next key of a purpose.
    AddNext(Purpose),
    /// List the keys.
    List(Format),
    /// Activate a next key.
    Activate(KeySelector),
    /// Delete a retiring key.
    Retire(String),
    /// Take every due step for these purposes.
    Rotate(Vec<Purpose>),
    /// Replace all keys of a purpose at once.
    EmergencyRotate(Purpose),
}

impl KeysCommand {
    /// Runs the command. Reports a fault if a server cannot load the keys afterwards, because a running server keeps the
    /// previous ones.
    ///
    /// # Errors
    /// Returns [`KeyringError`] if the keys cannot be read or written, or the step is not allowed.
    pub fn run(&self, config: &KeysConfig, now: OffsetDateTime) -> Result<Report, KeyringError> {
        let text = self.text(config, now)?;
        let fault = Keyring::load(&config.directory).err();
        Ok(Report { text, fault: fault.map(|fault| format!("no server can use these keys: {fault}")) })
    }

    fn text(&self, config: &KeysConfig, now: OffsetDateTime) -> Result<String, KeyringError> {
        let KeysConfig { directory, times } = config;
        let steps = match self {
            Self::Generate => {
                let made = keys::generate(directory, now)?;
                if made.is_empty() {
                    return Ok(format!("{}: no key is missing", directory.display()));
                }
                made.into_iter().map(Step::Created).collect()
            }
            Self::List(format) => return Ok(list(&keys::list(directory)?, times, *format)),
            Self::AddNext(purpose) => vec![keys::add_next(directory, *purpose, now)?],
            Self::Activate(which) => keys::activate(directory, which, times, now)?,
            Self::Retire(id) => vec![keys::retire(directory, id, times, now)?],
            Self::EmergencyRotate(purpose) => keys::emergency_rotate(directory, *purpose, now)?,
            Self::Rotate(purposes) => {
                let steps = keys::rotate(directory, purposes, times, now)?;
                return Ok(describe_rotation(&steps, purposes, &keys::list(directory)?, times));
            }
        };
        Ok(steps.iter().map(|step| describe(step, times)).collect::<Vec<_>>().join("\n"))
    }
}

fn describe(step: &Step, times: &KeyTimes) -> String {
    let (key, done) = match step {
        Step::Created(key) => (key, format!("created, {}", key.state)),
        Step::Activated(key) => (key, "is active".to_owned()),
        Step::Retiring(key) => (key, "is retiring".to_owned()),
        Step::Removed(key) => return format!("{}: {} removed", key.purpose, key.id),
    };
    format!("{}: {} {done}{}", key.purpose, key.id, next_step(key, times))
}

/// Describes the steps, and the keys that wait for their next step.
fn describe_rotation(steps: &[Step], purposes: &[Purpose], keys: &[KeyEntry], times: &KeyTimes) -> String {
    let is_described = |key: &KeyEntry| {
        let is_of_key = |step: &Step| match step {
            Step::Created(other) | Step::Activated(other) | Step::Retiring(other) | Step::Removed(other) => {
                other == key
            }
        };
        steps.iter().any(is_of_key)
    };
    let waiting = keys.iter().filter(|key| purposes.contains(&key.purpose) && key.state != KeyState::Active);
    let waiting = waiting.filter(|key| !is_described(key));
    let waiting =
        waiting.map(|key| format!("{}: {} stays {}{}", key.purpose, key.id, key.state, next_step(key, times)));
    steps.iter().map(|step| describe(step, times)).chain(waiting).collect::<Vec<_>>().join("\n")
}

/// Returns the next step and its earliest time.
fn next_step(key: &KeyEntry, times: &KeyTimes) -> String {
    let Some(due) = times.due(key) else { return String::new() };
    let step = if key.state == KeyState::Next { "activated" } else { "removed" };
    format!("; can be {step} from {}", rfc3339(due))
}

/// The keys as JSON.
#[derive(Serialize)]
struct KeyListView<'keys> {
    keys: Vec<KeyView<'keys>>,
}

#[derive(Serialize)]
struct KeyView<'keys> {
    id: &'keys str,
    purpose: Purpose,
    state: KeyState,
    since: String,
    created: String,
    /// The earliest time of activation, if the key is next.
    activate_from: Option<String>,
    /// The earliest time of deletion, if the key is retiring.
    retire_from: Option<String>,
}

fn list(keys: &[KeyEntry], times: &KeyTimes, format: Format) -> String {
    if format == Format::Text {
        let header =
            format!("{:<8}  {:<8}  {:<20}  {:<20}  {:<20}  ID", "PURPOSE", "STATE", "SINCE", "CREATED", "NOT BEFORE");
        let row = |key: &KeyEntry| {
            let (since, created) = (rfc3339(key.since), rfc3339(key.created));
            let due = times.due(key).map_or_else(|| "-".to_owned(), rfc3339);
            format!("{:<8}  {:<8}  {since}  {created}  {due:<20}  {}", key.purpose, key.state, key.id)
        };
        return std::iter::once(header).chain(keys.iter().map(row)).collect::<Vec<_>>().join("\n");
    }
    let view = |key| {
        let KeyEntry { id, purpose, state, since, created, .. }: &KeyEntry = key;
        let due_as = |needed| times.due(key).filter(|_| *state == needed).map(rfc3339);
        KeyView {
            id,
            purpose: *purpose,
            state: *state,
            since: rfc3339(*since),
            created: rfc3339(*created),
            activate_from: due_as(KeyState::Next),
            retire_from: due_as(KeyState::Retiring),
        }
    };
    json(&KeyListView { keys: keys.iter().map(view).collect() })
}
