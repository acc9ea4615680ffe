//! What an administrator does: to a user, whoever is signed in as them, and to all users at once.
//!
//! The users' store alone is asked. What ends sessions gives a new epoch, so it needs no session store to end them.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{
    audit::Trail,
    clock::Clock,
    model::{Email, Epoch, EventKind, Name, Origin, Role, Standing, Subject, User, UserId, UserQuery},
    passwords::{AcceptedPassword, Hasher, Objection, Overloaded, Password, Policy},
    store::{Edit, Insert, StoreError, StoreTime, Users},
};

/// What it takes to administer users.
pub struct Administration {
    /// Where users are kept.
    pub users: Arc<dyn Users>,
    /// Hashes and judges passwords.
    pub hasher: Hasher,
    /// What new passwords must be like: the same for an administrator.
    pub policy: Policy,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Records what has been done.
    pub audit: Trail,
    /// Who does it.
    pub origin: Origin,
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
pub enum Who {
    /// Whoever has this email.
    Email(Email),
    /// Whoever has this id.
    Id(UserId),
}

impl FromStr for Who {
    type Err = InvalidWho;

    fn from_str(text: &str) -> Result<Self, InvalidWho> {
        if text.contains('@') {
            return text.parse().map(Self::Email).map_err(|_| InvalidWho);
        }
        text.trim().parse().map(|id| Self::Id(UserId(id))).map_err(|_| InvalidWho)
    }
}

/// Shows the email or id as it was normalised.
impl fmt::Display for Who {
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
pub struct InvalidWho;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// Nobody has this email or id.
    #[error("there is no user {0}")]
    NoSuchUser(Who),
    /// Another user has this email.
    #[error("another user has this email already")]
    EmailTaken,
    /// The policy does not accept the password.
    #[error("{}", sentences(.0))]
    Objections(Vec<Objection>),
    /// The hashing threads are busy.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The store did not do what it was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(objections: &[Objection]) -> String {
    objections.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl Administration {
    /// Makes a user. The insert decides.
    ///
    /// # Errors
    /// [`AdministrationError::EmailTaken`], [`AdministrationError::Objections`], or what the store says.
    pub async fn create(&self, new: NewUser, time: &StoreTime) -> Result<User, AdministrationError> {
        if self.users.by_email(&new.email, time).await?.is_some() {
            return Err(AdministrationError::EmailTaken);
        }
        let password = self.judged(new.password, &new.name, &new.email).await?;
        let hash = self.hasher.hash(password.password()).await?;
        let user = User { role: new.role, ..User::new(new.email, new.name, hash, self.clock.now()) };
        match self.users.insert(&user, time).await? {
            Insert::Created => {
                self.record(EventKind::AdminUserCreated, &user);
                Ok(user)
            }
            Insert::EmailTaken => Err(AdministrationError::EmailTaken),
        }
    }

    /// Users, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self, query: &UserQuery, time: &StoreTime) -> Result<Vec<User>, AdministrationError> {
        Ok(self.users.list(query, time).await?)
    }

    /// The user.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], or what the store says.
    pub async fn find(&self, who: &Who, time: &StoreTime) -> Result<User, AdministrationError> {
        let found = match who {
            Who::Email(email) => self.users.by_email(email, time).await?,
            Who::Id(id) => self.users.by_id(*id, time).await?,
        };
        found.ok_or_else(|| AdministrationError::NoSuchUser(who.clone()))
    }

    /// Sets a password, whatever the old one was. Every session of the user ends.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], [`AdministrationError::Objections`], or what the store says.
    pub async fn set_password(
        &self,
        who: &Who,
        password: Password,
        time: &StoreTime,
    ) -> Result<User, AdministrationError> {
        let user = self.find(who, time).await?;
        let password = self.judged(password, &user.name, &user.email).await?;
        let hash = self.hasher.hash(password.password()).await?;
        let user = self.edit(who, &user, &Edit::SetPassword(hash, Epoch::random()), time).await?;
        self.record(EventKind::AdminPasswordSet, &user);
        Ok(user)
    }

    /// Gives the user another name.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], or what the store says.
    pub async fn rename(&self, who: &Who, name: Name, time: &StoreTime) -> Result<User, AdministrationError> {
        let user = self.find(who, time).await?;
        let user = self.edit(who, &user, &Edit::Rename(name), time).await?;
        self.record(EventKind::AdminUserRenamed, &user);
        Ok(user)
    }

    /// Closes the account, or opens it again. Either way no session of before is in force afterwards.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], or what the store says.
    pub async fn set_standing(
        &self,
        who: &Who,
        standing: Standing,
        time: &StoreTime,
    ) -> Result<User, AdministrationError> {
        let user = self.find(who, time).await?;
        let user = self.edit(who, &user, &Edit::SetStanding(standing, Epoch::random()), time).await?;
        let kind = match standing {
            Standing::Active => EventKind::AdminUserActivated,
            Standing::Inactive => EventKind::AdminUserDeactivated,
        };
        self.record(kind, &user);
        Ok(user)
    }

    /// Deletes the user, and returns who that was.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], or what the store says.
    pub async fn delete(&self, who: &Who, time: &StoreTime) -> Result<User, AdministrationError> {
        let user = self.find(who, time).await?;
        let deleted = self.users.delete(user.id, time).await?;
        let deleted = deleted.ok_or_else(|| AdministrationError::NoSuchUser(who.clone()))?;
        self.record(EventKind::AdminUserDeleted, &deleted);
        Ok(deleted)
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// [`AdministrationError::NoSuchUser`], or what the store says.
    pub async fn end_sessions(&self, who: &Who, time: &StoreTime) -> Result<User, AdministrationError> {
        let user = self.find(who, time).await?;
        let user = self.edit(who, &user, &Edit::EndSessions(Epoch::random()), time).await?;
        self.record(EventKind::AdminSessionsEnded, &user);
        Ok(user)
    }

    /// Ends every session of every user, and returns how many users there are.
    ///
    /// # Errors
    /// What the store says.
    pub async fn end_all_sessions(&self, time: &StoreTime) -> Result<u64, AdministrationError> {
        let users = self.users.end_all_sessions(Epoch::random(), time).await?;
        self.record(EventKind::AdminAllSessionsEnded, Subject::default().with_detail(format!("users: {users}")));
        Ok(users)
    }

    fn record(&self, kind: EventKind, subject: impl Into<Subject>) {
        self.audit.record(kind, subject, self.origin.clone());
    }

    async fn judged(
        &self,
        password: Password,
        name: &Name,
        email: &Email,
    ) -> Result<AcceptedPassword, AdministrationError> {
        let judgement = self.hasher.judge(self.policy, password, Some(name.clone()), Some(email.clone())).await?;
        judgement.map_err(AdministrationError::Objections)
    }

    async fn edit(&self, who: &Who, user: &User, edit: &Edit, time: &StoreTime) -> Result<User, AdministrationError> {
        let edited = self.users.edit(user.id, edit, time).await?;
        // Somebody else may have deleted the user meanwhile.
        edited.ok_or_else(|| AdministrationError::NoSuchUser(who.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_email_or_id() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);

        assert_eq!(id.to_string().parse(), Ok(Who::Id(id)));
        assert_eq!(" Ada@Example.org".parse(), Ok(Who::Email("ada@example.org".parse().expect("an address"))));
        for text in ["", "ada", "ada@", "0197"] {
            assert_eq!(text.parse::<Who>(), Err(InvalidWho), "{text}");
        }
    }
}
