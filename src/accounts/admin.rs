//! What an administrator does: to a user, whoever is signed in as them, and to all users at once.
//!
//! The users' store alone is asked. What ends sessions gives a new epoch, so it needs no session store to end them.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    audit::Trail,
    clock::Clock,
    model::{AccountStatus, AuditOrigin, AuditSubject, Email, Epoch, EventKind, Name, Role, User, UserId, UserQuery},
    passwords::{AcceptedPassword, Hasher, Overloaded, Password, Policy, PolicyViolation},
    store::{Insert, StoreError, TimeBudget, UserStore, UserUpdate},
};

/// What it takes to administer users.
pub struct UserAdmin {
    /// Where users are kept.
    pub users: Arc<dyn UserStore>,
    /// Hashes and judges passwords.
    pub hasher: Hasher,
    /// What new passwords must be like: the same for an administrator.
    pub policy: Policy,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Records what has been done.
    pub audit: Trail,
    /// Who does it.
    pub origin: AuditOrigin,
}

/// A user that an administrator makes.
#[derive(Debug)]
pub struct NewUser {
    /// What the user logs in with.
    pub email: Email,
    /// What the user is shown by.
    pub name: Name,
    /// What the user may do.
    pub role: Role,
    /// Judged by the policy, beside name and email.
    pub password: Password,
}

/// A user, as an administrator names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// Whoever has this email.
    Email(Email),
    /// Whoever has this id.
    Id(UserId),
}

impl FromStr for UserRef {
    type Err = InvalidUserRef;

    fn from_str(text: &str) -> Result<Self, InvalidUserRef> {
        if text.contains('@') {
            return text.parse().map(Self::Email).map_err(|_| InvalidUserRef);
        }
        text.trim().parse().map(|id| Self::Id(UserId(id))).map_err(|_| InvalidUserRef)
    }
}

/// Shows the email or id as it was normalised.
impl fmt::Display for UserRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => formatter.write_str(email.as_str()),
            Self::Id(id) => id.fmt(formatter),
        }
    }
}

/// Neither an email nor an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an email address nor the id of a user")]
pub struct InvalidUserRef;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum UserAdminError {
    /// Nobody has this email or id.
    #[error("there is no user {0}")]
    NoSuchUser(UserRef),
    /// Another user has this email.
    #[error("another user has this email already")]
    EmailTaken,
    /// The policy does not accept the password.
    #[error("{}", sentences(.0))]
    PolicyViolations(Vec<PolicyViolation>),
    /// The hashing threads are busy.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The store did not do what it was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(objections: &[PolicyViolation]) -> String {
    objections.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl UserAdmin {
    /// Makes a user. The insert decides.
    ///
    /// # Errors
    /// [`UserAdminError::EmailTaken`], [`UserAdminError::PolicyViolations`], or what the store says.
    pub async fn create(&self, new: NewUser, time: &TimeBudget) -> Result<User, UserAdminError> {
        if self.users.by_email(&new.email, time).await?.is_some() {
            return Err(UserAdminError::EmailTaken);
        }
        let password = self.validated(new.password, &new.name, &new.email).await?;
        let hash = self.hasher.hash(password.password()).await?;
        let user = User { role: new.role, ..User::new(new.email, new.name, hash, self.clock.now()) };
        match self.users.insert(&user, time).await? {
            Insert::Created => {
                self.record(EventKind::AdminUserCreated, &user);
                Ok(user)
            }
            Insert::EmailTaken => Err(UserAdminError::EmailTaken),
        }
    }

    /// Users, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self, query: &UserQuery, time: &TimeBudget) -> Result<Vec<User>, UserAdminError> {
        Ok(self.users.list(query, time).await?)
    }

    /// The user.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], or what the store says.
    pub async fn find(&self, who: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let found = match who {
            UserRef::Email(email) => self.users.by_email(email, time).await?,
            UserRef::Id(id) => self.users.by_id(*id, time).await?,
        };
        found.ok_or_else(|| UserAdminError::NoSuchUser(who.clone()))
    }

    /// Sets a password, whatever the old one was. Every session of the user ends.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], [`UserAdminError::PolicyViolations`], or what the store says.
    pub async fn set_password(
        &self,
        who: &UserRef,
        password: Password,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let user = self.find(who, time).await?;
        let password = self.validated(password, &user.name, &user.email).await?;
        let hash = self.hasher.hash(password.password()).await?;
        let user = self.update(who, &user, &UserUpdate::SetPassword(hash, Epoch::random()), time).await?;
        self.record(EventKind::AdminPasswordSet, &user);
        Ok(user)
    }

    /// Gives the user another name.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], or what the store says.
    pub async fn rename(&self, who: &UserRef, name: Name, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(who, time).await?;
        let user = self.update(who, &user, &UserUpdate::Rename(name), time).await?;
        self.record(EventKind::AdminUserRenamed, &user);
        Ok(user)
    }

    /// Closes the account, or opens it again. Either way no session of before is in force afterwards.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], or what the store says.
    pub async fn set_status(
        &self,
        who: &UserRef,
        status: AccountStatus,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let user = self.find(who, time).await?;
        let user = self.update(who, &user, &UserUpdate::SetStatus(status, Epoch::random()), time).await?;
        let kind = match status {
            AccountStatus::Active => EventKind::AdminUserActivated,
            AccountStatus::Inactive => EventKind::AdminUserDeactivated,
        };
        self.record(kind, &user);
        Ok(user)
    }

    /// Deletes the user, and returns who that was.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], or what the store says.
    pub async fn delete(&self, who: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(who, time).await?;
        let deleted = self.users.delete(user.id, time).await?;
        let deleted = deleted.ok_or_else(|| UserAdminError::NoSuchUser(who.clone()))?;
        self.record(EventKind::AdminUserDeleted, &deleted);
        Ok(deleted)
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// [`UserAdminError::NoSuchUser`], or what the store says.
    pub async fn end_sessions(&self, who: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let user = self.find(who, time).await?;
        let user = self.update(who, &user, &UserUpdate::EndSessions(Epoch::random()), time).await?;
        self.record(EventKind::AdminSessionsEnded, &user);
        Ok(user)
    }

    /// Ends every session of every user, and returns how many users there are.
    ///
    /// # Errors
    /// What the store says.
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
        let judgement = self.hasher.validate(self.policy, password, Some(name.clone()), Some(email.clone())).await?;
        judgement.map_err(UserAdminError::PolicyViolations)
    }

    async fn update(
        &self,
        who: &UserRef,
        user: &User,
        update: &UserUpdate,
        time: &TimeBudget,
    ) -> Result<User, UserAdminError> {
        let edited = self.users.update(user.id, update, time).await?;
        // Somebody else may have deleted the user meanwhile.
        edited.ok_or_else(|| UserAdminError::NoSuchUser(who.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_email_or_id() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);

        assert_eq!(id.to_string().parse(), Ok(UserRef::Id(id)));
        assert_eq!(" Ada@Example.org".parse(), Ok(UserRef::Email("ada@example.org".parse().expect("an address"))));
        for text in ["", "ada", "ada@", "0197"] {
            assert_eq!(text.parse::<UserRef>(), Err(InvalidUserRef), "{text}");
        }
    }
}
