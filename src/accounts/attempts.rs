//! Attempts that the limiter counts.

use std::time::Duration;

use super::{call_context::Call, error::Refusal, service::Accounts};
use crate::{
    model::{self, Email, EventKind, UserId},
    rate_limit::{Admission, FAILURES_IN_A_ROW, Subject, Throttle, Verdict},
};

impl Accounts {
    /// Makes an attempt to give the password of an account, unless too many have failed.
    ///
    /// # Errors
    /// [`Refusal::Throttled`], [`Refusal::Overloaded`] and those of the attempt.
    pub(super) async fn guess<T>(
        &self,
        guess: Guess<'_>,
        call: &Call,
        attempt: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let Guess { email, user } = guess;
        // Before a store is asked: whoever would be turned away later costs nothing.
        self.hasher.admits(0, Duration::ZERO)?;
        let Some(throttle) = &self.throttle else { return attempt.await };
        let address = call.client.address;
        let _turn = match email {
            Some(email) => {
                let place = throttle.join(email, address);
                self.hasher.admits(place.ahead, Duration::ZERO)?;
                let turn = place.turn(throttle.max_wait()).await?;
                self.hasher.admits(0, turn.waited)?;
                Some(turn)
            }
            None => None,
        };
        let subject = email.map_or(Subject::Address(address), |email| Subject::Account(email, address));
        let admission = self.admitted(throttle, subject, user, call).await?;
        let (failures, outcome) = (admission.at_account(), attempt.await);
        let verdict = match &outcome {
            Ok(_) => Verdict::Succeeded,
            Err(Refusal::InvalidCredentials | Refusal::WrongPassword) => Verdict::Failed,
            Err(_) => Verdict::NotMade,
        };
        Box::pin(admission.settle(verdict, &call.time)).await;
        let are_many = failures.is_some_and(|failures| failures % FAILURES_IN_A_ROW == 0);
        if let (Some(email), Verdict::Failed, true) = (email, verdict, are_many) {
            self.tell_of_many_failures(email, call).await;
        }
        outcome
    }

    /// Makes an attempt to sign up, unless there have been too many. One that finds the email taken counts as well: it has
    /// told its caller something.
    ///
    /// # Errors
    /// [`Refusal::Throttled`] and those of the attempt.
    pub(super) async fn limited_sign_up<T>(
        &self,
        email: &Email,
        call: &Call,
        attempt: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        // Before a store is asked: under a flood, nobody learns whether an email is taken without its being counted.
        self.hasher.admits(0, Duration::ZERO)?;
        let Some(throttle) = &self.throttle else { return attempt.await };
        let subject = Subject::SignUp(email, call.client.address);
        let admission = self.admitted(throttle, subject, None, call).await?;
        let outcome = attempt.await;
        let verdict = match &outcome {
            Ok(_) => Verdict::Succeeded,
            Err(Refusal::EmailTaken) => Verdict::Failed,
            Err(_) => Verdict::NotMade,
        };
        Box::pin(admission.settle(verdict, &call.time)).await;
        outcome
    }

    async fn admitted(
        &self,
        throttle: &Throttle,
        subject: Subject<'_>,
        user: Option<UserId>,
        call: &Call,
    ) -> Result<Admission, Refusal> {
        // On the heap: it is large, and not there for long.
        let admitted = Box::pin(throttle.admit(subject, &call.time)).await;
        admitted.map_err(|throttled| {
            self.audit.record(EventKind::Throttled, model::Subject::from(user).with_detail(throttled.limit), call);
            Refusal::Throttled(throttled)
        })
    }

    /// Says so where an account has met as many failures in a row as NIST allows, and each time that it has met as many
    /// again. Nobody can log in to one that is not there.
    async fn tell_of_many_failures(&self, email: &Email, call: &Call) {
        if let Ok(Some(user)) = self.users.by_email(email, &call.time).await {
            self.audit.record(EventKind::PasswordFailures, &user, call);
        }
    }
}

/// Whose password somebody gives.
#[derive(Clone, Copy)]
pub(super) struct Guess<'attempt> {
    /// The email of the account; `None` where no account can have it.
    pub email: Option<&'attempt Email>,
    /// The user, where that is known before the password is.
    pub user: Option<UserId>,
}
