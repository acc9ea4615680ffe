//! Reads rows.

use time::OffsetDateTime;
use tokio_postgres::{
    Row,
    types::{FromSql, Timestamp},
};
use uuid::Uuid;

use super::error::STORE;
use crate::{
    clock::round_up,
    model::{Email, Epoch, Name, PasswordHash, SessionId, User, UserId},
    store::{
        StoreError,
        columns::{read_role, read_status},
    },
};

/// The first whole year of PostgreSQL is 4713 BC.
const MIN_YEAR: i32 = -4712;

pub(super) fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(column(row, "id")?),
        email: Email::from_store(column(row, "email")?),
        email_verified: column(row, "email_verified")?,
        name: Name::from_store(column(row, "name")?),
        password: column::<Option<String>>(row, "password")?.map(PasswordHash::new),
        status: read_status(STORE, column(row, "standing")?)?,
        role: read_role(STORE, column(row, "role")?)?,
        epoch: Epoch(column(row, "epoch")?),
        surviving_session: column::<Option<Uuid>>(row, "kept_session")?.map(SessionId),
        created: column::<OffsetDateTime>(row, "created")?,
    })
}

pub(super) fn column<'row, T: FromSql<'row>>(row: &'row Row, name: &str) -> Result<T, StoreError> {
    row.try_get(name).map_err(|error| StoreError::corrupt(STORE, &error))
}

/// Returns a bound of times, which are stored in whole microseconds.
pub(super) fn timestamp(time: OffsetDateTime) -> Timestamp<OffsetDateTime> {
    if time.year() < MIN_YEAR { Timestamp::NegInfinity } else { Timestamp::Value(round_up(time, 1_000)) }
}
