//! The contract of imports of users.

use async_trait::async_trait;

use super::error::StoreError;
use crate::model::{User, UserId};

/// Imports users: collects them in a staging table, decides about all of them at once, and inserts them in batches.
///
/// The staging table belongs to this value and disappears with it, also when the process is killed. A batch is inserted as a
/// whole or not at all, so an import that was interrupted can be run again. Existing users are never changed.
#[async_trait]
pub trait UserImport: Send {
    /// Adds users to the staging table. Their rows increase from call to call.
    async fn stage(&mut self, users: Vec<StagedUser>) -> Result<(), StoreError>;

    /// Decides about every staged user, and returns the number of those to insert. Called once, after all users are staged.
    async fn decide(&mut self) -> Result<u64, StoreError>;

    /// Inserts the next batch of users, and counts them in `imported_hashes` by their recipes in the same transaction. A user
    /// whose email or id was taken since [`decide`](Self::decide) is not inserted. Returns `None` after the last batch.
    async fn merge(&mut self) -> Result<Option<MergedBatch>, StoreError>;

    /// Returns at most `limit` staged users after this row, in the order of their rows.
    async fn decided(&mut self, after_row: u64, limit: u32) -> Result<Vec<DecidedUser>, StoreError>;

    /// Updates the statistics of the query planner after the last batch.
    async fn finish(&mut self) -> Result<(), StoreError>;
}

/// A user for the staging table.
#[derive(Debug, Clone)]
pub struct StagedUser {
    /// The position in the source, from 1.
    pub row: u64,
    /// The id in the source.
    pub old_id: String,
    /// The user, with a password that [`User::password`] describes.
    pub user: User,
    /// The algorithm and cost of an imported hash.
    pub recipe: Option<String>,
    /// What the caller has decided: [`Insert`](ImportDecision::Insert), [`Refused`](ImportDecision::Refused) or
    /// [`Unreadable`](ImportDecision::Unreadable). The email counts as used in the source in any case.
    pub decision: ImportDecision,
    /// What to report about the user: the reason of the refusal, or what was changed.
    pub remark: Option<String>,
}

/// A batch of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedBatch {
    /// The number of users that were decided to be inserted.
    pub planned: u64,
    /// The number of users that were inserted.
    pub inserted: u64,
}

/// A staged user after the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedUser {
    /// The position in the source.
    pub row: u64,
    /// The id in the source.
    pub old_id: String,
    /// The id of the account.
    pub id: UserId,
    /// The normalised email in the source.
    pub email: String,
    /// Whether the source has a password that is kept.
    pub has_password: bool,
    /// The decision.
    pub decision: ImportDecision,
    /// The remark of [`StagedUser`].
    pub remark: Option<String>,
}

/// The decision about a staged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportDecision {
    /// The user is inserted.
    Insert,
    /// An account with this id exists: an earlier run has inserted it. An account counts as that of an earlier run, too, if its
    /// email and the random bits of its id are those of the user, because the time in the id may come from another column.
    AlreadyImported,
    /// The caller has refused the user.
    Refused,
    /// Only the email of the user is valid, and the caller has reported it: [`UserImport::decided`] does not return it.
    Unreadable,
    /// The source has the id more than once, perhaps in two written forms: then the random bits of their ids are the same.
    RepeatedId,
    /// The source has the normalised email more than once.
    RepeatedEmail,
    /// An account with this id has another email: either the email in the source has changed since an earlier run, or the account
    /// was imported from another source with the same ids.
    IdTaken,
    /// Another account has the email.
    EmailTaken,
}

impl ImportDecision {
    /// Returns the text in the staging tables.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::AlreadyImported => "imported",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::RepeatedId => "repeated_id",
            Self::RepeatedEmail => "repeated_email",
            Self::IdTaken => "id_taken",
            Self::EmailTaken => "email_taken",
        }
    }

    pub(super) fn of_text(store: &'static str, text: &str) -> Result<Self, StoreError> {
        let all = [
            Self::Insert,
            Self::AlreadyImported,
            Self::Refused,
            Self::Unreadable,
            Self::RepeatedId,
            Self::RepeatedEmail,
            Self::IdTaken,
            Self::EmailTaken,
        ];
        let found = all.into_iter().find(|decision| decision.text() == text);
        found.ok_or_else(|| StoreError::corrupt(store, "unknown decision of an import"))
    }
}

/// Returns a key for `imported_hashes_key`.
pub(super) fn random_key() -> Result<[u8; 32], getrandom::Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map(|()| key)
}
