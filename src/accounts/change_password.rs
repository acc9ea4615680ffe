//! Password change.

use super::{
    authenticate::CurrentUser,
    call_context::CallContext,
    error::AccountError,
    reauthentication::{EndedSessions, ReauthAction, Reauthenticated},
    service::{Accounts, Tokens},
};
use crate::{
    model::{AuditSubject, Epoch, EventKind, PasswordHash, Session, User},
    passwords::{CandidatePassword, Password},
    store::{CompareAndSet, PasswordChange, StoreError},
};

/// A password change that a user requests.
#[derive(Debug)]
pub struct RequestedChange {
    /// The password that the user gives as the old one.
    pub old: Password,
    /// The new password.
    pub new: CandidatePassword,
    /// The sessions to end.
    pub ended: EndedSessions,
}

impl Accounts {
    /// Replaces the password after checking the old password, and ends sessions. Returns the tokens of the session that
    /// replaces all others, if [`EndedSessions::All`] are ended.
    ///
    /// Deciding write: the user's new hash, epoch and surviving session. Before it, if all sessions end: a session is opened
    /// in the new epoch, so that a changed password always comes with tokens. It is valid only with that write, and is
    /// removed if the write does not take place or its outcome is unknown. It expires if the request is dropped. After the write: the ended sessions are removed.
    ///
    /// # Errors
    /// Returns [`AccountError::PolicyViolations`] if the new password is not accepted, [`AccountError::WrongPassword`] if
    /// the old one is wrong, [`AccountError::InvalidAccessToken`] if this session has ended meanwhile,
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] or [`AccountError::Store`].
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        change: RequestedChange,
        call: &CallContext,
    ) -> Result<Option<Tokens>, AccountError> {
        let changes = &self.metrics.accounts.password_changes;
        let action = ReauthAction::PasswordChange(change.new, change.ended);
        let result = self.reauthenticate(current, &change.old, action, call);
        let Reauthenticated { former, opened } = changes.counted(result, AccountError::label).await?;
        let mut subject = AuditSubject::from(current);
        if let Some(opened) = &opened {
            self.metrics.accounts.opened_by_password_change.inc();
            subject = subject.with_detail(format!("every session ended; new session {}", opened.id));
        }
        self.audit.record(EventKind::PasswordChanged, subject, call);
        let survivor = opened.is_none().then_some(current.session.id);
        let ended = self.remove_ended_sessions(&former, survivor, call).await;
        self.metrics.accounts.ended_by_password_change.inc_by(ended);
        Ok(opened.map(|opened| self.first_tokens(&opened)))
    }

    /// Writes a new password; the session of `current` survives.
    pub(super) async fn replace_password(
        &self,
        current: &CurrentUser,
        hash: PasswordHash,
        call: &CallContext,
    ) -> Result<CompareAndSet, StoreError> {
        let change = PasswordChange { hash, epoch: Epoch::random(), surviving_session: Some(current.session.id) };
        self.users.change_password(&current.user, &change, &call.time).await
    }

    /// Opens a session in a new epoch, then writes a new password with that epoch; no other session survives. Returns the
    /// session if the password is written.
    pub(super) async fn replace_password_and_session(
        &self,
        user: &User,
        hash: PasswordHash,
        call: &CallContext,
    ) -> Result<(CompareAndSet, Option<Session>), StoreError> {
        let change = PasswordChange { hash, epoch: Epoch::random(), surviving_session: None };
        let opened = self.open_session_ahead(user, change.epoch, call).await?;
        let written = self.users.change_password(user, &change, &call.time).await;
        if written == Ok(CompareAndSet::Written) {
            return Ok((CompareAndSet::Written, Some(opened)));
        }
        // The client does not receive the tokens of this session, whether or not a write with an unknown outcome took place.
        self.remove_unused_session(&opened, call).await;
        Ok((written?, None))
    }
}
