//! Pages of users in PostgreSQL.
//!
//! Each statement examines the entries of one index in its order, a limited number of them, and fewer if the page is full before: `row_number` counts them as they are read. Besides the users that match, it returns the last entry that it may
//! examine, where the next page begins.

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio_postgres::{
    Row,
    types::{Timestamp, ToSql},
};
use uuid::Uuid;

use super::{
    error::STORE,
    rows::{column, timestamp},
    store::PostgresStore,
};
use crate::{
    model::{
        AccountStatus, CursorKey, Direction, Email, Name, Role, UserCursor, UserId, UserPage, UserPageQuery,
        UserSummary,
    },
    store::{
        StoreError, TimeBudget, UserDirectory,
        columns::{read_role, read_status},
        page_scan::{CreatedIndex, ExaminedUser, TextRange, TimeRange, UserEntries, UserScan, WordRange},
    },
};

const ESTIMATE: &str = include_str!("../../../sql/postgres/queries/users.estimate.sql");
const EXACT_EMAIL: &str = include_str!("../../../sql/postgres/queries/users.page_exact_email.sql");
const SUMMARY: &str = include_str!("../../../sql/postgres/queries/users.summary.sql");
const WORDS: &str = include_str!("../../../sql/postgres/queries/users.page_words.sql");

const CREATED: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_created_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_created_descending.sql"),
);
const ADMINISTRATORS: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_administrators_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_administrators_descending.sql"),
);
const INACTIVE: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_inactive_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_inactive_descending.sql"),
);
const NEVER_LOGGED_IN: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_never_logged_in_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_never_logged_in_descending.sql"),
);
const LOGINS: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_logins_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_logins_descending.sql"),
);
const EMAIL: Directions = (
    include_str!("../../../sql/postgres/queries/users.page_email_ascending.sql"),
    include_str!("../../../sql/postgres/queries/users.page_email_descending.sql"),
);

/// The ascending query and the descending one.
type Directions = (&'static str, &'static str);

#[async_trait]
impl UserDirectory for PostgresStore {
    async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, StoreError> {
        let mut entries = UserEntries::new(query.limit);
        for scan in UserScan::of(query) {
            let wanted = i64::try_from(entries.wanted()).unwrap_or(i64::MAX);
            if wanted == 0 {
                break;
            }
            if let UserScan::ExactEmail(email) = &scan {
                let found = self.access.query_idempotent(EXACT_EMAIL, &[&email.as_str()], time).await?;
                let mut users = found.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
                users.retain(|user| query.filter.accepts(user));
                return Ok(UserPage { users, next: None });
            }
            for row in self.scan(&scan, query, wanted, time).await? {
                entries.push(examined(&row, &scan)?);
            }
        }
        Ok(entries.into_page())
    }

    async fn summary(&self, id: UserId, time: &TimeBudget) -> Result<Option<UserSummary>, StoreError> {
        let rows = self.access.query_idempotent(SUMMARY, &[&id.0], time).await?;
        rows.first().map(summary).transpose()
    }

    async fn estimated_users(&self, time: &TimeBudget) -> Result<Option<u64>, StoreError> {
        let rows = self.access.query_idempotent(ESTIMATE, &[], time).await?;
        let users: Option<i64> = rows.first().map_or(Ok(None), |row| column(row, "users"))?;
        Ok(users.map(i64::unsigned_abs))
    }
}

impl PostgresStore {
    /// Returns the entries of a range that match, at most `wanted`, and the last one that the page may examine.
    async fn scan(
        &self,
        scan: &UserScan,
        query: &UserPageQuery,
        wanted: i64,
        time: &TimeBudget,
    ) -> Result<Vec<Row>, StoreError> {
        let filter = &query.filter;
        let (status, role) = (filter.status.map(AccountStatus::name), filter.role.map(Role::name));
        let created_from = filter.created_from.map_or(Timestamp::NegInfinity, timestamp);
        let created_before = filter.created_before.map_or(Timestamp::PosInfinity, timestamp);
        let run = async |statement: &'static str, range: &[&(dyn ToSql + Sync)]| {
            let filter: [&(dyn ToSql + Sync); 5] = [&status, &role, &created_from, &created_before, &wanted];
            self.access.query_idempotent(statement, &[&filter, range].concat(), time).await
        };
        let by_time = async |statements: Directions, direction: Direction, range: &TimeRange| {
            let after = position(range.after, (Timestamp::NegInfinity, Uuid::nil()));
            let before = position(range.before, (Timestamp::PosInfinity, Uuid::max()));
            run(of(statements, direction), &[&after.0, &after.1, &before.0, &before.1]).await
        };
        match scan {
            UserScan::Created(CreatedIndex::All, direction, range) => by_time(CREATED, *direction, range).await,
            UserScan::Created(CreatedIndex::Administrators, direction, range) => {
                by_time(ADMINISTRATORS, *direction, range).await
            }
            UserScan::Created(CreatedIndex::Inactive, direction, range) => by_time(INACTIVE, *direction, range).await,
            UserScan::NeverLoggedIn(direction, range) => by_time(NEVER_LOGGED_IN, *direction, range).await,
            UserScan::Logins(direction, range) => by_time(LOGINS, *direction, range).await,
            UserScan::Email(direction, TextRange { from, until }) => run(of(EMAIL, *direction), &[from, until]).await,
            UserScan::Words(WordRange { prefix, after: (word, id), until }) => {
                run(WORDS, &[word, id, until, prefix]).await
            }
            UserScan::ExactEmail(_) => unreachable!("a look-up examines one entry"),
        }
    }
}

fn of((ascending, descending): Directions, direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => ascending,
        Direction::Descending => descending,
    }
}

type Position = (Timestamp<OffsetDateTime>, Uuid);

fn position(position: Option<(OffsetDateTime, Uuid)>, unbounded: Position) -> Position {
    position.map_or(unbounded, |(time, id)| (timestamp(time), id))
}

fn examined(row: &Row, scan: &UserScan) -> Result<ExaminedUser, StoreError> {
    let key = match scan {
        UserScan::Created(..) => CursorKey::Created(column(row, "created")?),
        UserScan::NeverLoggedIn(..) => CursorKey::NeverLoggedIn(column(row, "created")?),
        UserScan::Logins(..) => CursorKey::LastLogin(column(row, "last_login")?),
        UserScan::Email(..) | UserScan::ExactEmail(_) => CursorKey::Email(column(row, "email")?),
        UserScan::Words(_) => CursorKey::Word(column(row, "word")?),
    };
    let matches = column::<Option<bool>>(row, "matches")? == Some(true);
    Ok(ExaminedUser {
        cursor: UserCursor { key, id: UserId(column(row, "position")?) },
        user: if matches { Some(summary(row)?) } else { None },
        is_last: scan.is_last(column(row, "examined")?),
    })
}

fn summary(row: &Row) -> Result<UserSummary, StoreError> {
    Ok(UserSummary {
        id: UserId(column(row, "id")?),
        email: Email::from_store(column(row, "email")?),
        email_verified: column(row, "email_verified")?,
        name: Name::from_store(column(row, "name")?),
        status: read_status(STORE, column(row, "standing")?)?,
        role: read_role(STORE, column(row, "role")?)?,
        has_password: column(row, "has_password")?,
        created: column(row, "created")?,
        last_login: column(row, "last_login")?,
    })
}
