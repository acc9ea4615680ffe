//! The commands about keys.

use serde::Serialize;
use time::OffsetDateTime;

use super::format::{Format, json};
use crate::{
    clock::rfc3339,
    config::KeysConfig,
    keys::{self, KeyEntry, KeySelector, KeyState, KeyTimes, Keyring, KeyringError, Purpose, Step},
};

/// What to do with keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysCommand {
    /// Make the active keys that are missing.
    Generate,
    /// Make the next key of a purpose.
    AddNext(Purpose),
    /// Show the keys.
    List(Format),
    /// Have a next key sign.
    Activate(KeySelector),
    /// Drop a retiring key.
    Retire(String),
    /// Take every step that is due, for each of these purposes.
    Rotate(Vec<Purpose>),
    /// Put a new key in the place of all of a purpose.
    EmergencyRotate(Purpose),
}

/// What came of it.
#[derive(Debug)]
pub struct KeysDone {
    /// What to print.
    pub text: String,
    /// Why no server can use the keys as they are now, if so.
    pub fault: Option<KeyringError>,
}

impl KeysCommand {
    /// Does it. What is wrong with the keys as they are then is told as well: a server would go on with the last good ones.
    ///
    /// # Errors
    /// Where it could not be done.
    pub fn run(&self, config: &KeysConfig, now: OffsetDateTime) -> Result<KeysDone, KeyringError> {
        let text = self.text(config, now)?;
        Ok(KeysDone { text, fault: Keyring::load(&config.directory).err() })
    }

    fn text(&self, config: &KeysConfig, now: OffsetDateTime) -> Result<String, KeyringError> {
        let KeysConfig { directory, times } = config;
        let steps = match self {
            Self::Generate => {
                let made = keys::generate(directory, now)?;
                if made.is_empty() {
                    return Ok(format!("{}: no key is missing", directory.display()));
                }
                made.into_iter().map(Step::Made).collect()
            }
            Self::List(format) => return Ok(listed(&keys::list(directory)?, times, *format)),
            Self::AddNext(purpose) => vec![keys::add_next(directory, *purpose, now)?],
            Self::Activate(which) => keys::activate(directory, which, times, now)?,
            Self::Retire(id) => vec![keys::retire(directory, id, times, now)?],
            Self::EmergencyRotate(purpose) => keys::emergency_rotate(directory, *purpose, now)?,
            Self::Rotate(purposes) => {
                let steps = keys::rotate(directory, purposes, times, now)?;
                return Ok(rotated(&steps, purposes, &keys::list(directory)?, times));
            }
        };
        Ok(steps.iter().map(|step| said(step, times)).collect::<Vec<_>>().join("\n"))
    }
}

/// What was done, a line for each step.
fn said(step: &Step, times: &KeyTimes) -> String {
    let (key, done) = match step {
        Step::Made(key) => (key, format!("has been made, {}", key.state)),
        Step::Activated(key) => (key, "is active".to_owned()),
        Step::Retiring(key) => (key, "is retiring".to_owned()),
        Step::Dropped(key) => return format!("{}: {} has been dropped", key.purpose, key.id),
    };
    format!("{}: {} {done}{}", key.purpose, key.id, coming(key, times))
}

/// What was done, and what comes next of that which was there before.
fn rotated(steps: &[Step], purposes: &[Purpose], keys: &[KeyEntry], times: &KeyTimes) -> String {
    let is_told = |key: &KeyEntry| {
        let told = |step: &Step| match step {
            Step::Made(other) | Step::Activated(other) | Step::Retiring(other) | Step::Dropped(other) => other == key,
        };
        steps.iter().any(told)
    };
    let waiting = keys.iter().filter(|key| purposes.contains(&key.purpose) && key.state != KeyState::Active);
    let waiting = waiting.filter(|key| !is_told(key));
    let waiting = waiting.map(|key| format!("{}: {} stays {}{}", key.purpose, key.id, key.state, coming(key, times)));
    steps.iter().map(|step| said(step, times)).chain(waiting).collect::<Vec<_>>().join("\n")
}

/// From when on which step may be taken.
fn coming(key: &KeyEntry, times: &KeyTimes) -> String {
    let Some(due) = times.due(key) else { return String::new() };
    let step = if key.state == KeyState::Next { "activated" } else { "dropped" };
    format!(", to be {step} from {} on", rfc3339(due))
}

/// The keys, as programs see them.
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
    /// From when on it may be activated; `None` where it is not next.
    activate_from: Option<String>,
    /// From when on it may be dropped; `None` where it is not retiring.
    retire_from: Option<String>,
}

fn listed(keys: &[KeyEntry], times: &KeyTimes, format: Format) -> String {
    if format == Format::Text {
        let head =
            format!("{:<8}  {:<8}  {:<20}  {:<20}  {:<20}  ID", "PURPOSE", "STATE", "SINCE", "CREATED", "NOT BEFORE");
        let row = |key: &KeyEntry| {
            let (since, created) = (rfc3339(key.since), rfc3339(key.created));
            let due = times.due(key).map_or_else(|| "-".to_owned(), rfc3339);
            format!("{:<8}  {:<8}  {since}  {created}  {due:<20}  {}", key.purpose, key.state, key.id)
        };
        return std::iter::once(head).chain(keys.iter().map(row)).collect::<Vec<_>>().join("\n");
    }
    let shown = |key| {
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
    json(&KeyListView { keys: keys.iter().map(shown).collect() })
}
