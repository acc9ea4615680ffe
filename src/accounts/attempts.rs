//! Applies the rate limits to logins, sign-ups and reauthentication.

use std::time::Duration;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, Email, EventKind, UserId},
    passwords::{Overloaded, WorkPermit},
    rate_limit::{AttemptOutcome, AttemptSubject, LoginLimiter, Permit, Reservation},
};

/// An attempt that has been counted and may use the hashing threads. Dropping it leaves the settlement to its
/// [`Reservation`].
pub(super) struct CountedAttempt {
    subject: AttemptSubject,
    reservation: Reservation,
    _permits: Vec<Permit>,
}

impl CountedAttempt {
    pub(super) fn permit(&self) -> &WorkPermit {
        self.reservation.permit()
    }
}

impl Accounts {
    /// Counts a login or a reauthentication of `user`, if known, unless too many attempts at the account have failed.
    /// [`Accounts::end_login`] must follow.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if a limit is exceeded, or [`AccountError::Overloaded`] if a queue is too long.
    pub(super) async fn begin_login(
        &self,
        subject: AttemptSubject,
        user: Option<UserId>,
        call: &CallContext,
    ) -> Result<CountedAttempt, AccountError> {
        // Before any store call: under overload, a request that will be rejected costs nothing.
        self.hasher.check_capacity(subject.address(), 0, Duration::ZERO)?;
        let permits = self.permits(&subject).await?;
        let reservation = self.reserve(subject.clone(), user, call).await?;
        Ok(CountedAttempt { subject, reservation, _permits: permits })
    }

    /// Settles a login or a reauthentication.
    pub(super) async fn end_login<T>(
        &self,
        attempt: CountedAttempt,
        result: &Result<T, AccountError>,
        call: &CallContext,
    ) {
        let outcome = match result {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::InvalidCredentials | AccountError::WrongPassword) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        let is_streak = attempt.reservation.is_streak();
        Box::pin(attempt.reservation.settle(outcome, &call.time)).await;
        if let (AttemptSubject::Account(email, ..), AttemptOutcome::Failed, true) =
            (&attempt.subject, outcome, is_streak)
        {
            self.audit_failure_streak(email, call).await;
        }
    }

    /// Counts a sign-up, unless there have been too many from this address. [`Accounts::end_sign_up`] must follow.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if the limit is exceeded, or [`AccountError::Overloaded`] if the hashing queue
    /// is too long.
    pub(super) async fn begin_sign_up(
        &self,
        email: &Email,
        call: &CallContext,
    ) -> Result<CountedAttempt, AccountError> {
        let subject = AttemptSubject::SignUp(email.clone(), call.client.address);
        // Before any store call: under overload, no client learns whether an email is taken without being counted.
        self.hasher.check_capacity(subject.address(), 0, Duration::ZERO)?;
        let mut reservation = self.reserve(subject.clone(), None, call).await?;
        // A client that disconnects early may have learnt from the missing response that the email is not taken.
        reservation.keep();
        Ok(CountedAttempt { subject, reservation, _permits: Vec::new() })
    }

    /// Settles a sign-up. Every sign-up counts that could tell the client whether the email is taken, and each estimate of
    /// a password.
    pub(super) async fn end_sign_up<T>(
        &self,
        attempt: CountedAttempt,
        result: &Result<T, AccountError>,
        call: &CallContext,
    ) {
        let outcome = match result {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::EmailTaken | AccountError::PolicyViolations(_)) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        Box::pin(attempt.reservation.settle(outcome, &call.time)).await;
    }

    /// Waits until the attempt can run, unless its hash would then wait too long.
    async fn permits(&self, subject: &AttemptSubject) -> Result<Vec<Permit>, Overloaded> {
        let (mut permits, mut waited) = (Vec::new(), Duration::ZERO);
        for join in [LoginLimiter::join_account, LoginLimiter::join_address] {
            let Some(entry) = join(&self.limiter, subject) else { continue };
            self.hasher.check_capacity(subject.address(), entry.ahead, waited)?;
            let permit = entry.acquire(self.limiter.max_wait().saturating_sub(waited)).await?;
            waited += permit.waited;
            self.hasher.check_capacity(subject.address(), 0, waited)?;
            permits.push(permit);
        }
        Ok(permits)
    }

    async fn reserve(
        &self,
        subject: AttemptSubject,
        user: Option<UserId>,
        call: &CallContext,
    ) -> Result<Reservation, AccountError> {
        // Boxed: this large future would otherwise be part of every request's future.
        let reserved = Box::pin(self.limiter.reserve(subject, &call.time)).await;
        reserved.map_err(|rate_limited| {
            self.audit.record(EventKind::Throttled, AuditSubject::from(user).with_detail(rate_limited.limit), call);
            AccountError::RateLimited(rate_limited)
        })
    }

    /// Records [`EventKind::PasswordFailures`] if the email has an account.
    async fn audit_failure_streak(&self, email: &Email, call: &CallContext) {
        if let Ok(Some(user)) = self.users.by_email(email, &call.time).await {
            self.audit.record(EventKind::PasswordFailures, &user, call);
        }
    }
}
