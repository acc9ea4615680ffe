//! Reads rows.

use time::OffsetDateTime;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::error::STORE;
use crate::{
    model::{Email, Epoch, Name, PasswordHash, SessionId, User, UserId},
    store::{
        StoreError,
        columns::{read_role, read_status},
    },
};

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
