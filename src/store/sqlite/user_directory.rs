//! Pages of users in SQLite.
//!
//! Each statement reads the entries of one index in its order, a limited number of them. They are filtered as they are
//! read, until the page is full.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Params, Row, ToSql, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    error::STORE,
    store::{SqliteStore, stored_time, text},
};
use crate::{
    clock::{round_up, unix_ms},
    model::{
        AccountStatus, CursorKey, Direction, Email, Name, Role, UserCursor, UserFilter, UserId, UserPage,
        UserPageQuery, UserSummary,
    },
    store::{
        StoreError, TimeBudget, UserDirectory,
        columns::{read_role, read_status},
        page_scan::{CreatedIndex, ExaminedUser, TextRange, TimeRange, UserEntries, UserScan, WordRange},
    },
};

const SUMMARY: &str = include_str!("../../../sql/sqlite/queries/users.summary.sql");
const EXACT_EMAIL: &str = include_str!("../../../sql/sqlite/queries/users.page_exact_email.sql");
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

#[async_trait]
impl UserDirectory for SqliteStore {
    async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, StoreError> {
        let query = query.clone();
        self.read(time, move |transaction| page(transaction, &query)).await
    }

    async fn summary(&self, id: UserId, time: &TimeBudget) -> Result<Option<UserSummary>, StoreError> {
        let read =
            move |transaction: &Transaction<'_>| find(transaction, SUMMARY, named_params! {":id": id.0.as_bytes()});
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
            let user = find(transaction, EXACT_EMAIL, named_params! {":email": email.as_str()})?;
            let users = user.into_iter().filter(|user| query.filter.accepts(user)).collect();
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
    for (name, value) in &parameters(range, filter) {
        let index = statement.parameter_index(name)?;
        let index = index.unwrap_or_else(|| unreachable!("the statement has the parameter {name}"));
        statement.raw_bind_parameter(index, value)?;
    }
    let mut rows = statement.raw_query();
    let mut examined = 0;
    while entries.wanted() > 0 {
        let Some(row) = rows.next()? else { break };
        examined += 1;
        let (user, is_last) = (matching_user(row, range, filter)?, range.is_last(examined));
        if user.is_some() || is_last {
            entries.push(ExaminedUser { cursor: cursor(row, range)?, user, is_last });
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

fn parameters(scan: &UserScan, filter: &UserFilter) -> Vec<(&'static str, Box<dyn ToSql>)> {
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
            (":standing", Box::new(filter.status.map(AccountStatus::name))),
            (":role", Box::new(filter.role.map(Role::name))),
            (":created_from", Box::new(filter.created_from.map_or(i64::MIN, milliseconds))),
            (":created_before", Box::new(filter.created_before.map_or(i64::MAX, milliseconds))),
        ],
        UserScan::ExactEmail(_) => Vec::new(),
    }
}

/// Returns a bound of times, which are stored in whole milliseconds.
fn milliseconds(time: OffsetDateTime) -> i64 {
    unix_ms(round_up(time, 1_000_000))
}

/// Returns the user of an entry, if they match.
fn matching_user(row: &Row<'_>, range: &UserScan, filter: &UserFilter) -> Result<Option<UserSummary>, StoreError> {
    let matches = match range {
        UserScan::NeverLoggedIn(..) => row.get::<_, Option<i64>>(8)?.is_none(),
        UserScan::Words(_) => row.get::<_, Option<bool>>(11)? == Some(true),
        UserScan::Created(..) | UserScan::Logins(..) | UserScan::Email(..) | UserScan::ExactEmail(_) => true,
    };
    let user = if matches { Some(summary(row)?) } else { None };
    Ok(user.filter(|user| filter.accepts(user)))
}

/// Returns the position of an entry.
fn cursor(row: &Row<'_>, range: &UserScan) -> Result<UserCursor, StoreError> {
    let (key, id) = match range {
        UserScan::Created(..) => (CursorKey::Created(stored_time(row.get(7)?)?), 0),
        UserScan::NeverLoggedIn(..) => (CursorKey::NeverLoggedIn(stored_time(row.get(7)?)?), 0),
        UserScan::Email(..) | UserScan::ExactEmail(_) => (CursorKey::Email(row.get(1)?), 0),
        UserScan::Logins(..) => (CursorKey::LastLogin(stored_time(row.get(8)?)?), 0),
        UserScan::Words(_) => (CursorKey::Word(row.get(10)?), 9),
    };
    Ok(UserCursor { key, id: UserId(row.get(id).map(Uuid::from_bytes)?) })
}

fn find(transaction: &Transaction<'_>, query: &str, params: impl Params) -> Result<Option<UserSummary>, StoreError> {
    let mut statement = transaction.prepare_cached(query)?;
    statement.query_row(params, |row| Ok(summary(row))).optional()?.transpose()
}

/// Reads the columns of all queries of this module, by their position.
fn summary(row: &Row<'_>) -> Result<UserSummary, StoreError> {
    Ok(UserSummary {
        id: UserId(row.get(0).map(Uuid::from_bytes)?),
        email: Email::from_store(row.get(1)?),
        name: Name::from_store(row.get(2)?),
        status: read_status(STORE, text(row, 3)?)?,
        role: read_role(STORE, text(row, 4)?)?,
        email_verified: row.get(5)?,
        has_password: row.get(6)?,
        created: stored_time(row.get(7)?)?,
        last_login: row.get::<_, Option<i64>>(8)?.map(stored_time).transpose()?,
    })
}
