//! Pages of users in SQLite.
//!
//! Each statement reads the entries of one index in its order, a limited number of them. They are filtered as they are
//! read, until the page is full.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, ToSql, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    error::STORE,
    store::{SqliteStore, text},
    users,
};
use crate::{
    clock::{from_unix_ms, round_up, unix_ms},
    model::{CursorKey, Direction, User, UserCursor, UserDetails, UserFilter, UserId, UserPage, UserPageQuery},
    store::{
        StoreError, TimeBudget, UserDirectory,
        page_scan::{CreatedIndex, ExaminedUser, TextRange, TimeRange, UserEntries, UserScan, WordRange},
    },
};

const LAST_LOGIN: &str = include_str!("../../../sql/sqlite/queries/users.last_login.sql");
const WORDS: &str = include_str!("../../../sql/sqlite/queries/users.page_words.sql");

const CREATED: Directions = (
    include_str!("../../../sql/sqlite/queries/users.page_created_ascending.sql"),
    include_str!("../../../sql/sqlite/queries/users.page_created_descending.sql"),
);
const ADMINISTRATORS: Directions = (
    include_str!("../../../sql/sqlite/queries/users.page_administrators_ascending.sql"),
    include_str!("../../../sql/sqlite/queries/users.page_administrators_descending.sql"),
);
const INACTIVE: Directions = (
    include_str!("../../../sql/sqlite/queries/users.page_inactive_ascending.sql"),
    include_str!("../../../sql/sqlite/queries/users.page_inactive_descending.sql"),
);
const LOGINS: Directions = (
    include_str!("../../../sql/sqlite/queries/users.page_logins_ascending.sql"),
    include_str!("../../../sql/sqlite/queries/users.page_logins_descending.sql"),
);
const EMAIL: Directions = (
    include_str!("../../../sql/sqlite/queries/users.page_email_ascending.sql"),
    include_str!("../../../sql/sqlite/queries/users.page_email_descending.sql"),
);

/// The ascending query and the descending one.
type Directions = (&'static str, &'static str);

/// The first column after those of the user.
const AFTER_USER: usize = 10;

#[async_trait]
impl UserDirectory for SqliteStore {
    async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, StoreError> {
        let query = query.clone();
        self.read(time, move |transaction| page(transaction, &query)).await
    }

    async fn details(&self, id: UserId, time: &TimeBudget) -> Result<Option<UserDetails>, StoreError> {
        let read = move |transaction: &Transaction<'_>| {
            let user = users::by_id(transaction, id)?;
            user.map(|user| details(transaction, user)).transpose()
        };
        self.read(time, read).await
    }

    /// SQLite keeps no number of rows.
    async fn estimated_users(&self, _time: &TimeBudget) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

fn page(transaction: &Transaction<'_>, query: &UserPageQuery) -> Result<UserPage, StoreError> {
    let mut entries = UserEntries::new(query.limit);
    for range in UserScan::of(query) {
        if let UserScan::ExactEmail(email) = &range {
            let user = users::by_email(transaction, email)?.filter(|user| query.filter.accepts(user));
            let users = user.map(|user| details(transaction, user)).transpose()?.into_iter().collect();
            return Ok(UserPage { users, next: None });
        }
        if entries.wanted() > 0 {
            scan(transaction, &range, &query.filter, &mut entries)?;
        }
    }
    Ok(entries.into_page())
}

/// Reads the entries of a range until the page is full or has examined as many as it may.
fn scan(
    transaction: &Transaction<'_>,
    range: &UserScan,
    filter: &UserFilter,
    entries: &mut UserEntries,
) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached(statement(range))?;
    for (name, value) in &parameters(range) {
        let index = statement.parameter_index(name)?;
        let index = index.unwrap_or_else(|| unreachable!("the statement has the parameter {name}"));
        statement.raw_bind_parameter(index, value)?;
    }
    let mut rows = statement.raw_query();
    let mut examined = 0;
    while entries.wanted() > 0 {
        let Some(row) = rows.next()? else { break };
        examined += 1;
        let (cursor, user) = entry(transaction, row, range, filter)?;
        if user.is_some() || range.is_last(examined) {
            entries.push(ExaminedUser { cursor, user, is_last: range.is_last(examined) });
        }
    }
    Ok(())
}

fn statement(scan: &UserScan) -> &'static str {
    let ((ascending, descending), direction) = match scan {
        UserScan::Created(CreatedIndex::All, direction, _) | UserScan::NeverLoggedIn(direction, _) => {
            (CREATED, direction)
        }
        UserScan::Created(CreatedIndex::Administrators, direction, _) => (ADMINISTRATORS, direction),
        UserScan::Created(CreatedIndex::Inactive, direction, _) => (INACTIVE, direction),
        UserScan::Logins(direction, _) => (LOGINS, direction),
        UserScan::Email(direction, _) => (EMAIL, direction),
        UserScan::Words(_) => return WORDS,
        UserScan::ExactEmail(_) => unreachable!("a look-up examines one entry"),
    };
    match direction {
        Direction::Ascending => ascending,
        Direction::Descending => descending,
    }
}

fn parameters(scan: &UserScan) -> Vec<(&'static str, Box<dyn ToSql>)> {
    let id = |id: Uuid| Box::new(*id.as_bytes());
    match scan {
        UserScan::Created(_, _, TimeRange { after, before })
        | UserScan::NeverLoggedIn(_, TimeRange { after, before })
        | UserScan::Logins(_, TimeRange { after, before }) => {
            let after = after.map_or((i64::MIN, Uuid::nil()), |(time, id)| (milliseconds(time), id));
            let before = before.map_or((i64::MAX, Uuid::max()), |(time, id)| (milliseconds(time), id));
            vec![
                (":after", Box::new(after.0)),
                (":after_id", id(after.1)),
                (":before", Box::new(before.0)),
                (":before_id", id(before.1)),
            ]
        }
        UserScan::Email(_, TextRange { from, until }) => {
            vec![(":from", Box::new(from.clone())), (":until", Box::new(until.clone()))]
        }
        UserScan::Words(WordRange { prefix, after: (word, after_id), until }) => vec![
            (":after", Box::new(word.clone())),
            (":after_id", id(*after_id)),
            (":until", Box::new(until.clone())),
            (":prefix", Box::new(prefix.clone())),
        ],
        UserScan::ExactEmail(_) => Vec::new(),
    }
}

/// Returns a bound of times, which are stored in whole milliseconds.
fn milliseconds(time: OffsetDateTime) -> i64 {
    unix_ms(round_up(time, 1_000_000))
}

/// Returns the position of an entry, and its user, if they match.
fn entry(
    transaction: &Transaction<'_>,
    row: &Row<'_>,
    range: &UserScan,
    filter: &UserFilter,
) -> Result<(UserCursor, Option<UserDetails>), StoreError> {
    let has_user = row.get::<_, Option<[u8; 16]>>(0)?.is_some();
    let user = if has_user { Some(users::user(row)?).filter(|user| filter.accepts(user)) } else { None };
    let found = match (user, range) {
        // The entry is the last login.
        (Some(user), UserScan::Logins(..)) => {
            Some(UserDetails { last_login: Some(time(row.get(AFTER_USER + 1)?)?), user })
        }
        (Some(user), _) => Some(details(transaction, user)?),
        (None, _) => None,
    };
    let (key, id, matches) = match range {
        UserScan::Created(..) => (CursorKey::Created(time(row.get(8)?)?), 0, true),
        UserScan::NeverLoggedIn(..) => {
            let has_login = found.as_ref().is_some_and(|found| found.last_login.is_some());
            (CursorKey::NeverLoggedIn(time(row.get(8)?)?), 0, !has_login)
        }
        UserScan::Email(..) | UserScan::ExactEmail(_) => (CursorKey::Email(text(row, 1)?.to_owned()), 0, true),
        UserScan::Logins(..) => (CursorKey::LastLogin(time(row.get(AFTER_USER + 1)?)?), AFTER_USER, true),
        UserScan::Words(_) => {
            (CursorKey::Word(text(row, AFTER_USER + 1)?.to_owned()), AFTER_USER, row.get(AFTER_USER + 2)?)
        }
    };
    let cursor = UserCursor { key, id: UserId(row.get(id).map(Uuid::from_bytes)?) };
    Ok((cursor, found.filter(|_| matches)))
}

fn time(milliseconds: i64) -> Result<OffsetDateTime, StoreError> {
    from_unix_ms(milliseconds).ok_or_else(|| StoreError::corrupt(STORE, "time out of range"))
}

fn details(transaction: &Transaction<'_>, user: User) -> Result<UserDetails, StoreError> {
    let mut statement = transaction.prepare_cached(LAST_LOGIN)?;
    let at = statement.query_row(named_params! {":id": user.id.0.as_bytes()}, |row| row.get(0)).optional()?;
    Ok(UserDetails { last_login: at.map(time).transpose()?, user })
}
