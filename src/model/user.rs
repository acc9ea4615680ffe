//! Users, as the store keeps them.

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
    /// Never reused.
    pub id: UserId,
    /// Unique among users.
    pub email: Email,
    /// What the user is shown by.
    pub name: Name,
    /// The hash of the password; `None` where no password shall open the account.
    pub password: Option<PasswordHash>,
    /// Whether the account may be used.
    pub status: AccountStatus,
    /// What the user may do beside what everybody may.
    pub role: Role,
    /// The epoch that a session must have been opened in to be in force.
    pub epoch: Epoch,
    /// The one session that outlives the epoch it was opened in: the one that changed the password last.
    pub surviving_session: Option<SessionId>,
    /// When the user signed up.
    pub created: OffsetDateTime,
}

impl User {
    /// A user who signs up at `created`, with an id and an epoch that nobody has had: active, and a member.
    #[must_use]
    pub fn new(email: Email, name: Name, password: PasswordHash, created: OffsetDateTime) -> Self {
        Self {
            id: UserId::new(created),
            email,
            name,
            password: Some(password),
            status: AccountStatus::Active,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created,
        }
    }

    /// The rule that decides between the stores: whether a session that was opened in `opened_in` is in force for this
    /// user. `store/redis/session.refresh.lua` says the same where a refresh has to decide in one step.
    #[must_use]
    pub fn is_session_valid(&self, session: SessionId, opened_in: Epoch) -> bool {
        self.is_active() && (opened_in == self.epoch || self.surviving_session == Some(session))
    }

    /// Whether the account may be used.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == AccountStatus::Active
    }
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// It may.
    Active,
    /// An administrator has closed it.
    Inactive,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What everybody may: see to their own account.
    Member,
    /// See to the accounts of others as well.
    Administrator,
}

/// The hash of a password: a PHC string, `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
///
/// Not enough to log in with, but enough to guess the password offline: it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash in its PHC text, made by [`crate::passwords`] or kept by a store.
    #[must_use]
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string: for the store and for [`crate::passwords`] alone.
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
    fn a_session_is_in_force_in_the_epoch_it_was_opened_in() {
        let session = SessionId::random();

        assert!(ada().is_session_valid(session, Epoch(2)));
        assert!(!ada().is_session_valid(session, Epoch(1)));
    }

    #[test]
    fn the_kept_session_outlives_its_epoch() {
        let session = SessionId::random();
        let user = User { surviving_session: Some(session), ..ada() };

        assert!(user.is_session_valid(session, Epoch(1)));
        assert!(!user.is_session_valid(SessionId::random(), Epoch(1)));
    }

    #[test]
    fn no_session_of_an_inactive_user_is_in_force() {
        let session = SessionId::random();
        let user = User { status: AccountStatus::Inactive, surviving_session: Some(session), ..ada() };

        assert!(!user.is_session_valid(session, Epoch(2)));
    }

    #[test]
    fn a_password_hash_cannot_be_printed() {
        let hash = PasswordHash::new("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA".to_owned());

        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }
}
