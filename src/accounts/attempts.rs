//! Applies the rate limits to logins, sign-ups and reauthentication.

use std::time::Duration;

use super::{call_context::CallContext, error::AccountError, service::Accounts};
use crate::{
    audit::Trail,
    model::{AuditOrigin, AuditSubject, EventKind, UserId},
    passwords::{Comparison, Overloaded, Password, WorkPermit},
    rate_limit::{AttemptOutcome, AttemptSubject, LoginLimiter, Permit, Reservation},
};

/// An attempt that has been counted and may use the hashing threads. Dropping it leaves the settlement to its
/// [`Reservation`].
pub(super) struct CountedAttempt {
    reservation: Reservation,
    _permits: Vec<Permit>,
}

impl CountedAttempt {
    pub(super) fn permit(&self) -> &WorkPermit {
        self.reservation.permit()
    }

    /// Makes a failure of the attempt be recorded, even if its client has disconnected by then. Records
    /// [`EventKind::PasswordFailures`] as well after every 100 failures in a row at the account of `subject`.
    pub(super) fn record_failure(&self, audit: &Trail, kind: EventKind, subject: AuditSubject, call: &CallContext) {
        let (audit, origin) = (audit.clone(), AuditOrigin::from(call));
        self.reservation.on_failure(move |is_streak| {
            let user = subject.user;
            audit.record(kind, subject, origin.clone());
            if is_streak && user.is_some() {
                audit.record(EventKind::PasswordFailures, user, origin);
            }
        });
    }

    /// Settles the attempt as a failure that is not recorded.
    pub(super) async fn count_as_failed(self, call: &CallContext) {
        self.reservation.settle(AttemptOutcome::Failed, &call.time).await;
    }
}

impl Accounts {
    /// Charges the address of an attempt for a comparison that costs more than a hash, if the attempt counts against its
    /// address. If this is rejected, the attempt stays counted at its address: the response tells which emails cost more.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if a limit is exceeded.
    pub(super) async fn charge_cost(
        &self,
        attempt: &mut CountedAttempt,
        (comparison, password): (&Comparison, &Password),
        call: &CallContext,
    ) -> Result<(), AccountError> {
        if comparison.is_imported() && attempt.reservation.counts_against_address() {
            let subject = AttemptSubject::Cost(call.client.address, self.hasher.cost(comparison, password));
            match self.reserve(subject, None, call).await {
                Ok(reserved) => attempt.reservation.absorb(reserved),
                Err(error) => {
                    attempt.reservation.keep_address_charges();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Counts an attempt of `user`, if known, unless a limit is exceeded. [`Accounts::end_login`] or
    /// [`Accounts::end_sign_up`] must follow.
    ///
    /// # Errors
    /// Returns [`AccountError::RateLimited`] if a limit is exceeded, or [`AccountError::Overloaded`] if a queue is too long.
    pub(super) async fn begin_attempt(
        &self,
        subject: AttemptSubject,
        user: Option<UserId>,
        call: &CallContext,
    ) -> Result<CountedAttempt, AccountError> {
        // Before any store call: under overload, a request that will be rejected costs nothing, and no client learns whether
        // an email is taken without being counted.
        self.hasher.check_capacity(subject.address(), 0, Duration::ZERO)?;
        let permits = self.permits(&subject).await?;
        let reservation = self.reserve(subject, user, call).await?;
        Ok(CountedAttempt { reservation, _permits: permits })
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
        Box::pin(attempt.reservation.settle(outcome, &call.time)).await;
    }

    /// Settles a sign-up. It counts as soon as the strength of its password is being estimated: after that, a missing
    /// response or [`AccountError::Overloaded`] may tell the client that the email is not taken.
    pub(super) async fn end_sign_up<T>(
        &self,
        attempt: CountedAttempt,
        result: &Result<T, AccountError>,
        call: &CallContext,
    ) {
        let outcome = match result {
            Ok(_) => AttemptOutcome::Succeeded,
            Err(AccountError::EmailTaken | AccountError::PolicyViolations(_)) => AttemptOutcome::Failed,
            Err(AccountError::Overloaded(_)) if attempt.permit().has_started() => AttemptOutcome::Failed,
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

    pub(super) async fn reserve(
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
}
