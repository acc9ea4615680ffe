//! A user as the parameters with which statements insert them.

use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::model::{PasswordHash, User};

/// The columns of a user, in the order of the statements that insert one.
pub(super) struct UserColumns<'user> {
    id: Uuid,
    email: &'user str,
    name: &'user str,
    password: Option<&'user str>,
    status: &'static str,
    role: &'static str,
    epoch: i64,
    surviving_session: Option<Uuid>,
    created: OffsetDateTime,
    email_verified: bool,
}

impl<'user> UserColumns<'user> {
    pub(super) fn of(user: &'user User) -> Self {
        Self {
            id: user.id.0,
            email: user.email.as_str(),
            name: user.name.as_str(),
            password: user.password.as_ref().map(PasswordHash::as_phc),
            status: user.status.name(),
            role: user.role.name(),
            epoch: user.epoch.0,
            surviving_session: user.surviving_session.map(|session| session.0),
            created: user.created,
            email_verified: user.email_verified,
        }
    }

    /// Returns the parameters of a statement.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 10] {
        let Self { id, email, name, password, status, role, epoch, surviving_session, created, email_verified } = self;
        [id, email, name, password, status, role, epoch, surviving_session, created, email_verified]
    }
}
