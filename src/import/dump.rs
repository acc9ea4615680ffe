//! Users in the output of `dumpdata`: a JSON array of objects, or an object on each line.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fs,
    io::BufReader,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{
    columns::{Candidate, ColumnOptions, Columns, Eligibility, find_table},
    error::ImportError,
    json_items::{JsonItems, NoItem},
    rows::{Batch, Batches, BrokenRow, NoText, SourceRow, SourceUser, open_file},
};

/// The model of allauth.
const ADDRESSES: &str = "account.emailaddress";

/// The column that stands for the key beside the fields.
const KEY: &str = "pk";

/// How many objects of a model are read to learn its fields.
const SURVEYED: u64 = 100;

/// How many models a dump may have; more are not looked at.
const MAX_MODELS: usize = 10_000;

/// A dump whose models and addresses are known.
pub(super) struct Dump {
    path: PathBuf,
    model: String,
    columns: Columns,
    users: u64,
    verified: HashSet<AddressDigest>,
}

/// A digest of a key of a user and an address in lower case, so that a million addresses take 32 MB.
type AddressDigest = [u8; 16];

/// What the first reading learns.
#[derive(Default)]
struct Survey {
    models: BTreeMap<String, Model>,
    verified: HashSet<AddressDigest>,
}

#[derive(Default)]
struct Model {
    objects: u64,
    fields: Vec<String>,
}

#[derive(Deserialize)]
struct Head<'item> {
    #[serde(borrow)]
    model: Cow<'item, str>,
    #[serde(borrow)]
    fields: &'item RawValue,
}

#[derive(Deserialize)]
struct Address {
    user: Value,
    email: String,
    verified: bool,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    pk: Value,
    fields: Map<String, Value>,
}

impl Dump {
    /// Reads the file once, for its models and the verified addresses.
    pub(super) fn open(path: &Path, options: &ColumnOptions) -> Result<Self, ImportError> {
        let survey = Survey::of(path)?;
        let names = |model: &String| vec![model.clone(), model.replace('.', "_")];
        let candidates: Vec<_> = survey
            .models
            .iter()
            .map(|(model, found)| Candidate {
                names: names(model),
                columns: &found.fields,
                eligibility: Eligibility::First,
            })
            .collect();
        // A dump has the name of the class in lower case, and `--table auth.User` as Python has it.
        let model_named = |table: &String| {
            let is_named = |model: &&String| names(model).iter().any(|name| name.eq_ignore_ascii_case(table));
            survey.models.keys().find(is_named).unwrap_or(table).clone()
        };
        let options = &ColumnOptions { table: options.table.as_ref().map(model_named), ..options.clone() };
        let (model, found) = survey
            .models
            .iter()
            .nth(find_table(&candidates, options)?)
            .unwrap_or_else(|| unreachable!("there are as many candidates as models"));
        let fields: Vec<_> = found.fields.iter().cloned().chain([KEY.to_owned()]).collect();
        let columns = Columns::find(&fields, Some(KEY), options)?;
        columns.print_note();
        let (model, users) = (model.clone(), found.objects);
        Ok(Self { path: path.to_owned(), model, columns, users, verified: survey.verified })
    }

    /// Returns the number of users.
    pub(super) fn users(&self) -> u64 {
        self.users
    }

    /// Reads all rows.
    pub(super) fn send(&self, channel: &mpsc::Sender<Batch>) {
        let mut batches = Batches::new(channel);
        let outcome = self.read_all(&mut batches);
        batches.finish(outcome);
    }

    fn read_all(&self, batches: &mut Batches<'_>) -> Result<(), ImportError> {
        let mut items = open(&self.path)?;
        for row in 1.. {
            let Some(item) = items.next().map_err(|error| no_item(&self.path, error))? else { break };
            let user = match serde_json::from_slice::<Head<'_>>(item) {
                Ok(head) if head.model == self.model => self.user(row, item),
                Err(error) if mentions(item, &self.model) => Err(broken(row, &error)),
                _ => continue,
            };
            if !batches.add(user) {
                break;
            }
        }
        Ok(())
    }

    fn user(&self, row: u64, item: &[u8]) -> SourceRow {
        let object: Object = serde_json::from_slice(item).map_err(|error| broken(row, &error))?;
        let value = |column: &str| {
            let value = if column == KEY { Some(&object.pk) } else { object.fields.get(column) };
            value.map_or(Ok(None), text)
        };
        let user =
            SourceUser::read(
                row,
                &self.columns,
                |column| Ok(value(column)?.map(|text| Cow::Owned(text.into_bytes()))),
            )?;
        let is_address_verified = !self.verified.is_empty()
            && user.email.as_ref().is_some_and(|email| {
                let has = |digest| self.verified.contains(&digest);
                let mut natural_keys = [user.username.as_ref(), user.email.as_ref()].into_iter().flatten();
                user.id.as_ref().is_some_and(|id| has(address_digest(id, email)))
                    || natural_keys.any(|key| has(address_digest(&natural_key(key), email)))
            });
        Ok(SourceUser { is_address_verified, ..user })
    }
}

impl Survey {
    fn of(path: &Path) -> Result<Self, ImportError> {
        let mut survey = Self::default();
        let mut items = open(path)?;
        while let Some(item) = items.next().map_err(|error| no_item(path, error))? {
            // A broken object is reported when the users are read.
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(item) {
                survey.add(&head);
            }
        }
        Ok(survey)
    }

    fn add(&mut self, head: &Head<'_>) {
        if !self.models.contains_key(head.model.as_ref()) && self.models.len() < MAX_MODELS {
            self.models.insert(head.model.clone().into_owned(), Model::default());
        }
        let Some(model) = self.models.get_mut(head.model.as_ref()) else { return };
        model.objects += 1;
        if model.objects <= SURVEYED {
            let fields: Map<String, Value> = serde_json::from_str(head.fields.get()).unwrap_or_default();
            let new: Vec<_> =
                fields.into_iter().map(|(name, _)| name).filter(|name| !model.fields.contains(name)).collect();
            model.fields.extend(new);
        }
        if head.model == ADDRESSES
            && let Ok(Address { user, email, verified: true }) = serde_json::from_str(head.fields.get())
            && let Some(user) = user_of_address(&user)
        {
            self.verified.insert(address_digest(&user, &email));
        }
    }
}

fn open(path: &Path) -> Result<JsonItems<BufReader<fs::File>>, ImportError> {
    open_file(path).map(JsonItems::new)
}

fn no_item(path: &Path, error: NoItem) -> ImportError {
    match error {
        NoItem::Io(source) => ImportError::File { path: path.to_owned(), source },
        error => ImportError::Content { path: path.to_owned(), reason: error.to_string() },
    }
}

fn broken(row: u64, error: &serde_json::Error) -> BrokenRow {
    // Without the position, which is that in the object.
    let category = match error.classify() {
        serde_json::error::Category::Data => "expected an object with pk and fields",
        _ => "expected valid JSON in UTF-8",
    };
    BrokenRow { row, id: None, email: None, reason: format!("invalid object: {category}") }
}

/// Returns whether a broken object is one of this model.
fn mentions(item: &[u8], model: &str) -> bool {
    let quoted = format!("\"{model}\"");
    item.windows(quoted.len()).any(|window| window == quoted.as_bytes())
}

/// Returns the text of a JSON value; `None` for null.
fn text(value: &Value) -> Result<Option<String>, NoText> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(value) => Ok(Some(value.to_string())),
        Value::String(value) => Ok(Some(value.clone())),
        Value::Array(_) | Value::Object(_) => Err(NoText),
    }
}

/// Returns the key of the user of an address. With `--natural-foreign`, it is a list with the user name, or with the email if
/// users log in with that.
fn user_of_address(user: &Value) -> Option<String> {
    match user {
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(key)] => Some(natural_key(key)),
            _ => None,
        },
        _ => text(user).ok().flatten(),
    }
}

/// Returns a natural key in a form that no primary key has.
fn natural_key(key: &str) -> String {
    format!("\0{key}")
}

fn address_digest(user: &str, email: &str) -> AddressDigest {
    let digest =
        Sha256::new().chain_update(user).chain_update(b"\0").chain_update(email.trim().to_lowercase()).finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}
