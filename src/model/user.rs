//! Users, as stores keep them.

use std::fmt;

use time::OffsetDateTime;

use super::{
    email::Email,
    id::{Epoch, SessionId, UserId},
    name::Name,
};

/// A user's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id; never reused.
    pub id: UserId,
    /// The email to log in with; unique among users.
    pub email: Email,
    /// Whether the user has proved to receive mail at the email.
    pub email_verified: bool,
    /// The display name.
    pub name: Name,
    /// The hash of the password; `None` if no password is accepted.
    pub password: Option<PasswordHash>,
    /// The status of the account.
    pub status: AccountStatus,
    /// The role.
    pub role: Role,
    /// The epoch in which a session must have been opened to be valid.
    pub epoch: Epoch,
    /// The one session that stays valid although it was opened in another epoch: it made the last password change.
    pub surviving_session: Option<SessionId>,
    /// When the user signed up.
    pub created: OffsetDateTime,
}

impl User {
    /// Creates an active member with a new id and a new epoch.
    #[must_use]
    pub fn new(email: Email, name: Name, password: impl Into<Option<PasswordHash>>, created: OffsetDateTime) -> Self {
        Self {
            id: UserId::new(created),
            email,
            email_verified: false,
            name,
            password: password.into(),
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created,
        }
    }

    /// Returns whether a session that was opened in the epoch `opened_in` is valid for this user.
    ///
    /// The Redis scripts and the SQL of the stores compare epoch and surviving session in the same way; expiry is checked by
    /// the stores.
    #[must_use]
    pub fn is_session_valid(&self, session: SessionId, opened_in: Epoch) -> bool {
        self.is_active() && (opened_in == self.epoch || self.surviving_session == Some(session))
    }

    /// Returns whether the account may be used.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == AccountStatus::Active
    }
}

/// The status of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// The account may be used.
    Active,
    /// An administrator has deactivated the account.
    Inactive,
}

impl AccountStatus {
    /// All statuses.
    pub const ALL: [Self; 2] = [Self::Active, Self::Inactive];

    /// Returns the name in the stores, and in output for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// The role of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The role of each new user.
    Member,
    /// May use the admin API.
    Administrator,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 2] = [Self::Member, Self::Administrator];

    /// Returns the name in the stores, and in output for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Administrator => "administrator",
        }
    }
}

/// The hash of a password: a PHC string, `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, or an imported hash of Django, which does
/// not begin with `$`.
///
/// It cannot be printed: it is not enough to log in, but enough to guess the password offline.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a PHC string that [`crate::passwords`] made or a store kept.
    #[must_use]
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// Returns the PHC string. Only stores and [`crate::passwords`] may read it.
    #[must_use]
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(..)")
    }
}

impl Drop for PasswordHash {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> User {
        User {
            id: UserId::new(OffsetDateTime::UNIX_EPOCH),
            email: Email::from_store("ada@example.org".to_owned()),
            email_verified: false,
            name: Name::from_store("Ada".to_owned()),
            password: None,
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch(2),
            surviving_session: None,
            created: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn session_is_valid_in_the_epoch_of_its_login() {
        let session = SessionId::random();

        assert!(ada().is_session_valid(session, Epoch(2)));
        assert!(!ada().is_session_valid(session, Epoch(1)));
    }

    #[test]
    fn surviving_session_is_valid_in_a_later_epoch() {
        let session = SessionId::random();
        let user = User { surviving_session: Some(session), ..ada() };

        assert!(user.is_session_valid(session, Epoch(1)));
        assert!(!user.is_session_valid(SessionId::random(), Epoch(1)));
    }

    #[test]
    fn no_session_of_an_inactive_user_is_valid() {
        let session = SessionId::random();
        let user = User { status: AccountStatus::Inactive, surviving_session: Some(session), ..ada() };

        assert!(!user.is_session_valid(session, Epoch(2)));
    }

    #[test]
    fn password_hash_cannot_be_printed() {
        let hash = PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned());

        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }
}
