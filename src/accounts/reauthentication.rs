//! Reauthentication: actions that a signed-in user confirms with the password.

use std::time::Duration;

use super::{authenticate::CurrentUser, call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{EventKind, Session, User},
    passwords::{AcceptedPassword, CandidatePassword, Password, WorkPermit},
    rate_limit::AttemptSubject,
    store::{CompareAndSet, OwnDeletion},
};

/// The jobs of a password change that come before the hash of the new password: the estimate of its strength, and the
/// comparison of the old one.
const JOBS_BEFORE_NEW_HASH: usize = 2;

/// The action that the password confirms.
#[derive(Debug)]
pub enum ReauthAction {
    /// Sets this password if it is accepted, and ends these sessions.
    PasswordChange(CandidatePassword, EndedSessions),
    /// Deletes the account.
    Deletion,
    /// Writes nothing. The caller goes on with the user as they are.
    None,
}

/// The sessions that a password change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedSessions {
    /// Every session but the one that requests the change.
    Others,
    /// Every session. The client that requests the change receives a new one.
    All,
}

/// The outcome of an action that took place.
#[derive(Debug)]
pub(super) struct Reauthenticated {
    /// The user as they were before a write, or as they are if there was none.
    pub former: User,
    /// The session that the action opened, if any.
    pub opened: Option<Session>,
}

/// The write that performs an action.
enum ReauthWrite {
    PasswordChange(AcceptedPassword, EndedSessions),
    Deletion,
    None,
}

/// The password that confirms an action, and the permit to verify it.
struct Confirmation<'call> {
    password: &'call Password,
    permit: &'call WorkPermit,
    call: &'call CallContext,
}

impl Accounts {
    /// Verifies the user's password, then performs `action`.
    ///
    /// Deciding write: a compare-and-set on the verified hash and the epoch that was read with it. [`ReauthAction::None`] has
    /// none; the user is read again instead.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] if a new password is not accepted, [`AccountError::WrongPassword`] if the
    /// password is wrong, [`AccountError::InvalidAccessToken`] if this session has ended meanwhile,
    /// [`AccountError::LastAdministrator`], [`AccountError::RateLimited`], [`AccountError::Overloaded`] or
    /// [`AccountError::Store`].
    pub(super) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        action: ReauthAction,
        call: &CallContext,
    ) -> Result<Reauthenticated, AccountError> {
        let user = &current.user;
        if let ReauthAction::PasswordChange(..) = &action {
            // Before any work: a change that is rejected later has wasted a job.
            self.hasher.check_capacity(call.client.address, JOBS_BEFORE_NEW_HASH, Duration::ZERO)?;
        }
        let subject = AttemptSubject::Account(user.email.clone(), call.client.address);
        let mut attempt = self.begin_attempt(subject, Some(user.id), call).await?;
        attempt.record_failure(&self.audit, EventKind::PasswordConfirmationFailed, current.into(), call);
        let comparison = self.imported_hashes.comparison(Some(user), Some(&user.email));
        let charged = self.charge_cost(&mut attempt, (&comparison, password), call).await;
        let confirmation = Confirmation { password, permit: attempt.permit(), call };
        let result = match charged {
            Ok(()) => self.perform(current, action, &confirmation).await,
            Err(error) => Err(error),
        };
        self.end_login(attempt, &result, call).await;
        result
    }

    async fn perform(
        &self,
        current: &CurrentUser,
        action: ReauthAction,
        confirmation: &Confirmation<'_>,
    ) -> Result<Reauthenticated, AccountError> {
        let write = match action {
            ReauthAction::PasswordChange(candidate, ended) => {
                ReauthWrite::PasswordChange(self.accept_password(candidate, confirmation.permit).await?, ended)
            }
            ReauthAction::Deletion => ReauthWrite::Deletion,
            ReauthAction::None => ReauthWrite::None,
        };
        if let Some(done) = self.verify_and_write(current, &write, confirmation).await? {
            return Ok(done);
        }
        // Retry once: a login may have rehashed the password meanwhile, which changes neither password nor epoch.
        let current = self.reload(current, confirmation.call).await?;
        if let Some(done) = self.verify_and_write(&current, &write, confirmation).await? {
            return Ok(done);
        }
        self.reload(&current, confirmation.call).await?;
        Err(AccountError::WrongPassword)
    }

    /// Returns `None` if the user has changed since they were read.
    async fn verify_and_write(
        &self,
        current: &CurrentUser,
        write: &ReauthWrite,
        confirmation: &Confirmation<'_>,
    ) -> Result<Option<Reauthenticated>, AccountError> {
        let user = &current.user;
        let Confirmation { password, permit, call } = *confirmation;
        let comparison = self.imported_hashes.comparison(Some(user), Some(&user.email));
        self.hasher.compare(permit, password, comparison).await?.ok_or(AccountError::WrongPassword)?;
        let (written, opened) = match write {
            ReauthWrite::PasswordChange(new, ended) => {
                let hash = self.hasher.hash(permit, new.password()).await?;
                match ended {
                    EndedSessions::Others => (self.replace_password(current, hash, call).await?, None),
                    EndedSessions::All => self.replace_password_and_session(user, hash, call).await?,
                }
            }
            ReauthWrite::None => {
                let CurrentUser { user, .. } = self.reload(current, call).await?;
                return Ok(Some(Reauthenticated { former: user, opened: None }));
            }
            ReauthWrite::Deletion => match self.users.delete_verified(user, &call.time).await? {
                OwnDeletion::Deleted => (CompareAndSet::Written, None),
                OwnDeletion::Stale => (CompareAndSet::Stale, None),
                OwnDeletion::LastAdministrator => return Err(AccountError::LastAdministrator),
            },
        };
        Ok((written == CompareAndSet::Written).then(|| Reauthenticated { former: user.clone(), opened }))
    }

    /// Reads the user again, and returns them if the session is still valid.
    async fn reload(&self, current: &CurrentUser, call: &CallContext) -> Result<CurrentUser, AccountError> {
        let session = &current.session;
        let user = self.users.by_id(current.user.id, &call.time).await?;
        let user = user.filter(|user| user.is_session_valid(session.id, session.epoch));
        let user = user.ok_or(AccountError::InvalidAccessToken)?;
        Ok(CurrentUser { user, session: *session })
    }
}
