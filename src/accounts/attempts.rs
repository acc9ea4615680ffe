//! Attempts that the limiter counts.

use std::time::Duration;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    model::{self, Email, EventKind, UserId},
    rate_limit::{AttemptOutcome, AttemptSubject, FAILURES_IN_A_ROW, LoginLimiter, Reservation},
};

impl Accounts {
    /// Makes an attempt to give the password of an account, unless too many have failed.
    ///
    /// # Errors
    /// [`AccountError::RateLimited`], [`AccountError::Overloaded`] and those of the attempt.
    pub(super) async fn with_login_limit<T>(
        &self,
        login: LoginAttempt<'_>,
        call: &CallContext,
        attempt: impl Future<Output = Result<T, AccountError>>,
    ) -> Result<T, AccountError> {
        let LoginAttempt { email, user } = login;
        // Before a store is asked: whoever would be turned away later costs nothing.
        self.hasher.check_capacity(0, Duration::ZERO)?;
        let Some(limiter) = &self.limiter else { return attempt.await };
        let address = call.client.address;
        let _permit = match email {
            Some(email) => {
                let entry = limiter.join(email, address);
                self.hasher.check_capacity(entry.ahead, Duration::ZERO)?;
                let permit = entry.acquire(limiter.max_wait()).await?;
                self.hasher.check_capacity(0, permit.waited)?;
                Some(permit)
            }
            None => None,
        };
        let subject = email.map_or(AttemptSubject::Address(address), |email| AttemptSubject::Account(email, address));
        let reservation = self.reserved(limiter, subject, user, call).await?;
        let (failures, outcome) = (reservation.at_account(), attempt.await);
        let outcome_kind = match &outcome {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::InvalidCredentials | AccountError::WrongPassword) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        Box::pin(reservation.settle(outcome_kind, &call.time)).await;
        let are_many = failures.is_some_and(|failures| failures % FAILURES_IN_A_ROW == 0);
        if let (Some(email), AttemptOutcome::Failed, true) = (email, outcome_kind, are_many) {
            self.audit_failure_streak(email, call).await;
        }
        outcome
    }

    /// Makes an attempt to sign up, unless there have been too many. One that finds the email taken counts as well: it has
    /// told its caller something.
    ///
    /// # Errors
    /// [`AccountError::RateLimited`] and those of the attempt.
    pub(super) async fn with_sign_up_limit<T>(
        &self,
        email: &Email,
        call: &CallContext,
        attempt: impl Future<Output = Result<T, AccountError>>,
    ) -> Result<T, AccountError> {
        // Before a store is asked: under a flood, nobody learns whether an email is taken without its being counted.
        self.hasher.check_capacity(0, Duration::ZERO)?;
        let Some(limiter) = &self.limiter else { return attempt.await };
        let subject = AttemptSubject::SignUp(email, call.client.address);
        let reservation = self.reserved(limiter, subject, None, call).await?;
        let outcome = attempt.await;
        let outcome_kind = match &outcome {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::EmailTaken) => AttemptOutcome::Failed,
            Err(_) => AttemptOutcome::Aborted,
        };
        Box::pin(reservation.settle(outcome_kind, &call.time)).await;
        outcome
    }

    async fn reserved(
        &self,
        limiter: &LoginLimiter,
        subject: AttemptSubject<'_>,
        user: Option<UserId>,
        call: &CallContext,
    ) -> Result<Reservation, AccountError> {
        // On the heap: it is large, and not there for long.
        let reserved = Box::pin(limiter.reserve(subject, &call.time)).await;
        reserved.map_err(|rate_limited| {
            self.audit.record(
                EventKind::Throttled,
                model::AuditSubject::from(user).with_detail(rate_limited.limit),
                call,
            );
            AccountError::RateLimited(rate_limited)
        })
    }

    /// Says so where an account has met as many failures in a row as NIST allows, and each time that it has met as many
    /// again. Nobody can log in to one that is not there.
    async fn audit_failure_streak(&self, email: &Email, call: &CallContext) {
        if let Ok(Some(user)) = self.users.by_email(email, &call.time).await {
            self.audit.record(EventKind::PasswordFailures, &user, call);
        }
    }
}

/// Whose password somebody gives.
#[derive(Clone, Copy)]
pub(super) struct LoginAttempt<'attempt> {
    /// The email of the account; `None` where no account can have it.
    pub email: Option<&'attempt Email>,
    /// The user, where that is known before the password is.
    pub user: Option<UserId>,
}
