//! Administration of users by the command line.
//!
//! The deciding write of each method is its one write to the user store. A new epoch ends sessions, so no session store is
//! needed.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    audit::Trail,
    clock::Clock,
    model::{AccountStatus, AuditOrigin, AuditSubject, Email, Epoch, EventKind, Name, Role, User, UserId, UserQuery},
    passwords::{AcceptedPassword, Hasher, Overloaded, Password, Policy, PolicyViolation, WorkPermit},
    store::{Insert, StoreError, TimeBudget, UserStore, UserUpdate},
};

/// The user administration: its methods are the use cases.
pub struct UserAdmin {
    /// Stores users.
    pub users: Arc<dyn UserStore>,
    /// Hashes and validates passwords.
    pub hasher: Hasher,
    /// Permits its work on the hashing threads.
    pub permit: WorkPermit,
    /// The rules for new passwords.
    pub policy: Policy,
    /// The clock for the sign-up time.
    pub clock: Arc<dyn Clock>,
    /// Records audit events.
    pub audit: Trail,
    /// The origin of these events.
    pub origin: AuditOrigin,
}

/// The data of a user to create.
#[derive(Debug)]
pub struct NewUser {
    /// The email to log in with.
    pub email: Email,
    /// The display name.
    pub name: Name,
    /// The role.
    pub role: Role,
    /// The password, not yet validated.
    pub password: Password,
}

/// A reference to a user by email or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// The user with this email.
    Email(Email),
    /// The user with this id.
    Id(UserId),
}

impl FromStr for UserRef {
    type Err = InvalidUserRef;

    fn from_str(text: &str) -> Result<Self, InvalidUserRef> {
        if text.contains('@') {
            return Email::of_existing_account(text).map(Self::Email).map_err(|_| InvalidUserRef);
        }
        text.trim().parse().map(|id| Self::Id(UserId(id))).map_err(|_| InvalidUserRef)
    }
}

/// Writes the normalised email, or the id.
impl fmt::Display for UserRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => formatter.write_str(email.as_str()),
            Self::Id(id) => id.fmt(formatter),
        }
    }
}

/// The text is neither an email nor an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an email address or a user id")]
pub struct InvalidUserRef;

/// The reason why an administrative action failed.
#[derive(Debug, thiserror::Error)]
pub enum UserAdminError {
    /// No user has this email or id.
    #[error("no such user: {0}")]
    NoSuchUser(UserRef),
    /// Another user has this email.
    #[error("another user already has this email")]
    EmailTaken,
    /// The policy does not accept the password.
    #[error("{}", sentences(.0))]
    PolicyViolations(Vec<PolicyViolation>),
    /// The hashing queue is too long.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The user store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(violations: &[PolicyViolation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl UserAdmin {
    /// Creates a user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::EmailTaken`] if another user has the email, [`UserAdminError::PolicyViolations`] if the
    /// policy rejects the password, [`UserAdminError::Overloaded`] or [`UserAdminError::Store`].
    pub async fn create(&self, new: NewUser, time: &TimeBudget) -> Result<User, UserAdminError> {
        if self.users.by_email(&new.email, time).await?.is_some() {
            return Err(UserAdminError::EmailTaken);
        }
        let password = self.validated(new.password, &new.name, &new.email).await?;
        let hash = self.hasher.hash(&self.permit, password.password()).await?;
        let user = User { role: new.role, ..User::new(new.email, new.name, hash, self.clock.now()) };
        match self.users.insert(&user, time).await? {
            Insert::Created => {
                self.record(EventKind::AdminUserCreated, &user);
                Ok(user)
            }
            Insert::EmailTaken => Err(UserAdminError::EmailTaken),
        }
    }

    /// Returns users, newest first.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the user store fails.
    pub async fn list(&self, query: &UserQuery, time: &TimeBudget) -> Result<Vec<User>, UserAdminError> {
        Ok(self.users.list(query, time).await?)
    }

    /// Returns the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn find(&self, user_ref: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let found = match user_ref {
            UserRef::Email(email) => self.users.by_email(email, time).await?,
            UserRef::Id(id) => self.users.by_id(*id, time).await?,
        };
        found.ok_or_else(|| UserAdminError::NoSuchUser(user_ref.clone()))
    }

    /// Sets a password, and ends every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::PolicyViolations`] if the policy
    /// rejects the password, [`UserAdminError::Overloaded`] or [`UserAdminError::Store`].
    pub async fn set_password(
        &self,
        user_ref: &UserRef,
        password: Password,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let user = self.find(user_ref, time).await?;
        let password = self.validated(password, &user.name, &user.email).await?;
        let hash = self.hasher.hash(&self.permit, password.password()).await?;
        let user = self.update(user_ref, &user, &UserUpdate::SetPassword(hash, Epoch::random()), time).await?;
        self.record(EventKind::AdminPasswordSet, &user);
        Ok(user)
    }

    /// Changes the user's name.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn rename(&self, user_ref: &UserRef, name: Name, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(user_ref, time).await?;
        let user = self.update(user_ref, &user, &UserUpdate::Rename(name), time).await?;
        self.record(EventKind::AdminUserRenamed, &user);
        Ok(user)
    }

    /// Activates or deactivates the account. Both end every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn set_status(
        &self,
        user_ref: &UserRef,
        status: AccountStatus,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let user = self.find(user_ref, time).await?;
        let user = self.update(user_ref, &user, &UserUpdate::SetStatus(status, Epoch::random()), time).await?;
        let kind = match status {
            AccountStatus::Active => EventKind::AdminUserActivated,
            AccountStatus::Inactive => EventKind::AdminUserDeactivated,
        };
        self.record(kind, &user);
        Ok(user)
    }

    /// Deletes the user, and returns the deleted user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn delete(&self, user_ref: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(user_ref, time).await?;
        let deleted = self.users.delete(user.id, time).await?;
        let deleted = deleted.ok_or_else(|| UserAdminError::NoSuchUser(user_ref.clone()))?;
        self.record(EventKind::AdminUserDeleted, &deleted);
        Ok(deleted)
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn end_sessions(&self, user_ref: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(user_ref, time).await?;
        let user = self.update(user_ref, &user, &UserUpdate::EndSessions(Epoch::random()), time).await?;
        self.record(EventKind::AdminSessionsEnded, &user);
        Ok(user)
    }

    /// Ends every session of every user, and returns the number of users.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the user store fails.
    pub async fn end_all_sessions(&self, time: &TimeBudget) -> Result<u64, UserAdminError> {
        let users = self.users.end_all_sessions(Epoch::random(), time).await?;
        self.record(EventKind::AdminAllSessionsEnded, AuditSubject::default().with_detail(format!("users: {users}")));
        Ok(users)
    }

    fn record(&self, kind: EventKind, subject: impl Into<AuditSubject>) {
        self.audit.record(kind, subject, self.origin.clone());
    }

    async fn validated(
        &self,
        password: Password,
        name: &Name,
        email: &Email,
    ) -> Result<AcceptedPassword, UserAdminError> {
        let candidate = self.policy.check(password, Some(name), Some(email));
        let accepted = self.hasher.accept(&self.permit, candidate).await?;
        accepted.map_err(UserAdminError::PolicyViolations)
    }

    async fn update(
        &self,
        user_ref: &UserRef,
        user: &User,
        update: &UserUpdate,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let updated = self.users.update(user.id, update, time).await?;
        // The user may have been deleted meanwhile.
        updated.ok_or_else(|| UserAdminError::NoSuchUser(user_ref.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ref_is_an_email_or_an_id() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);

        assert_eq!(id.to_string().parse(), Ok(UserRef::Id(id)));
        assert_eq!(" Ada@Example.org".parse(), Ok(UserRef::Email("ada@example.org".parse().expect("an address"))));
        for text in ["", "ada", "ada@", "0197"] {
            assert_eq!(text.parse::<UserRef>(), Err(InvalidUserRef), "{text}");
        }
    }
}
