//! The contract of stores in which administrators look for users.

use async_trait::async_trait;

use super::{error::StoreError, time_budget::TimeBudget};
use crate::model::{MAX_PAGE, UserId, UserPage, UserPageQuery, UserSummary};

/// The maximum number of index entries that a page of users by sign-up or a page of audit events examines. Such a page takes
/// about a millisecond, and as long in a store of a thousand users as in one of ten million: only a filter that rejects most users
/// makes a page shorter.
pub const MAX_EXAMINED: u32 = 1000;

/// The maximum number of index entries that a page in another order examines. Neighbours in it are anywhere in the table, which
/// PostgreSQL reads too if a user of the same page of the table has logged in since the last vacuum; then each entry takes as long as
/// some neighbours would. It is the maximum number of users on a page, because those take as long anyway.
pub const MAX_EXAMINED_SCATTERED: u32 = MAX_PAGE;

/// Finds users for administrators. No call examines more entries because there are more users.
///
/// A call counts against `time` while it runs, and fails with [`StoreError::Unavailable`] when that is used up. A call fails
/// with [`StoreError::Corrupt`] if a stored user cannot be read. An implementation may repeat any call whose connection broke.
#[async_trait]
pub trait UserDirectory: Send + Sync {
    /// Returns a page of users. It examines at most [`MAX_EXAMINED`] index entries by sign-up, and as many among those who
    /// have never logged in, but [`MAX_EXAMINED_SCATTERED`] in other orders. Therefore it may have fewer users than `query.limit`,
    /// and even none, although its `next` is a position: the caller goes on there. A caller that goes on until
    /// `next` is `None` reads each user exactly once who matches from the first call to the last and does not move in the order
    /// meanwhile. `query.after` must fit the order ([`UserCursor::fits`](crate::model::UserCursor::fits)).
    async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, StoreError>;

    /// Returns the user with this id.
    async fn summary(&self, id: UserId, time: &TimeBudget) -> Result<Option<UserSummary>, StoreError>;

    /// Returns about how many users there are, or `None` if the store has no estimate. Counts nothing.
    async fn estimated_users(&self, time: &TimeBudget) -> Result<Option<u64>, StoreError>;
}
