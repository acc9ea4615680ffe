//! Applies the rate limits to logins, sign-ups and reauthentication.

use std::{net::IpAddr, time::Duration};

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{AuditSubject, Email, EventKind, UserId},
    passwords::Overloaded,
    rate_limit::{AttemptOutcome, AttemptSubject, FAILURES_IN_A_ROW, LoginLimiter, Permit, Reservation},
};

/// The account that a password is given for.
#[derive(Clone, Copy)]
pub(super) struct LoginAttempt<'attempt> {
    /// The email; `None` if no account can have it.
    pub email: Option<&'attempt Email>,
    /// The user, if known before the password is verified.
    pub user: Option<UserId>,
}

impl Accounts {
    /// Runs `attempt`, which verifies a password, unless too many attempts at the account have failed.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if a limit is exceeded, [`AccountError::Overloaded`] if the queue is too
    /// long, and the errors of `attempt`.
    pub(super) async fn with_login_limit<T>(
        &self,
        login: LoginAttempt<'_>,
        call: &CallContext,
        attempt: impl Future<Output = Result<T, AccountError>>,
    ) -> Result<T, AccountError> {
        // Before any store call: under overload, a request that will be rejected costs nothing.
        self.hasher.check_capacity(0, Duration::ZERO)?;
        let Some(limiter) = &self.limiter else { return attempt.await };
        let LoginAttempt { email, user } = login;
        let address = call.client.address;
        let _permit = match email {
            Some(email) => Some(self.permit(limiter, email, address).await?),
            None => None,
        };
        let subject = email.map_or(AttemptSubject::Address(address), |email| AttemptSubject::Account(email, address));
        let reservation = self.reserve(limiter, subject, user, call).await?;
        let failures = reservation.account_failures();
        let result = attempt.await;
        let outcome = match &result {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::InvalidCredentials | AccountError::WrongPassword) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        Box::pin(reservation.settle(outcome, &call.time)).await;
        let is_streak = failures.is_some_and(|failures| failures % FAILURES_IN_A_ROW == 0);
        if let (Some(email), AttemptOutcome::Failed, true) = (email, outcome, is_streak) {
            self.audit_failure_streak(email, call).await;
        }
        result
    }

    /// Runs `attempt`, which signs up a user, unless there have been too many from this address. A sign-up with a taken
    /// email counts too, because its response reveals that the account exists.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if the limit is exceeded, [`AccountError::Overloaded`] if the hashing queue
    /// is too long, and the errors of `attempt`.
    pub(super) async fn with_sign_up_limit<T>(
        &self,
        email: &Email,
        call: &CallContext,
        attempt: impl Future<Output = Result<T, AccountError>>,
    ) -> Result<T, AccountError> {
        // Before any store call: under overload, no client learns whether an email is taken without being counted.
        self.hasher.check_capacity(0, Duration::ZERO)?;
        let Some(limiter) = &self.limiter else { return attempt.await };
        let subject = AttemptSubject::SignUp(email, call.client.address);
        let reservation = self.reserve(limiter, subject, None, call).await?;
        let result = attempt.await;
        let outcome = match &result {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::EmailTaken) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        Box::pin(reservation.settle(outcome, &call.time)).await;
        result
    }

    /// Waits until the attempt can run, unless its hash would then wait too long.
    async fn permit(&self, limiter: &LoginLimiter, email: &Email, address: IpAddr) -> Result<Permit, Overloaded> {
        let entry = limiter.join(email, address);
        self.hasher.check_capacity(entry.ahead, Duration::ZERO)?;
        let permit = entry.acquire(limiter.max_wait()).await?;
        self.hasher.check_capacity(0, permit.waited)?;
        Ok(permit)
    }

    async fn reserve(
        &self,
        limiter: &LoginLimiter,
        subject: AttemptSubject<'_>,
        user: Option<UserId>,
        call: &CallContext,
    ) -> Result<Reservation, AccountError> {
        // Boxed: this large future would otherwise be part of every request's future.
        let reserved = Box::pin(limiter.reserve(subject, &call.time)).await;
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
