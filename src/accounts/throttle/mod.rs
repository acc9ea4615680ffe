//! Limits on attempts that fail: guessed passwords, at an account, from an address and from an address at an account; and
//! sign-ups from an address.
//!
//! Each attempt is reserved before anything is hashed, as if it had failed, and given back where it has not: attempts side
//! by side cannot slip through. Whoever comes from where the account has been logged in from is limited by the failures of
//! the two together alone, so that nobody elsewhere can keep them out.

mod admission;
mod limits;
mod line;
mod tags;

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::debug;

use self::{
    admission::{Admission, Verdict},
    limits::{ACCOUNT, ADDRESS, FAILURES_IN_A_ROW, PAIR, SIGN_UPS},
    line::Lines,
    tags::Tagger,
};
use super::{Accounts, Call, Email, Refusal, UserId};
use crate::{
    audit::{self, EventKind},
    metrics::ThrottleMetrics,
    store::{Attempts, Bucket, Limit, StoreError, StoreTime, Tag},
    tokens::Keys,
};

/// The name that the shared store's time is spent under.
const STORE: &str = "the store of attempts";

/// Too many attempts have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts by the limit `{limit}`")]
pub struct Throttled {
    /// The name of the limit.
    pub limit: &'static str,
    /// How long it will be until another attempt may be made.
    pub wait: Duration,
}

/// Limits on attempts that fail.
pub struct Throttle {
    /// Where all servers count; `None` where there is one server.
    shared: Option<Arc<dyn Attempts>>,
    /// Where this server counts while the shared store cannot be reached, or alone.
    local: Arc<dyn Attempts>,
    tagger: Tagger,
    lines: Lines,
    /// The longest time that an attempt may wait for others from the same address at the same account.
    max_wait: Duration,
    metrics: ThrottleMetrics,
}

/// Where attempts are counted.
pub struct AttemptStores {
    /// Where all servers count; `None` where there is one server.
    pub shared: Option<Arc<dyn Attempts>>,
    /// In this process.
    pub local: Arc<dyn Attempts>,
}

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
                let place = throttle.lines.join(throttle.tagger.pair(email, address));
                self.hasher.admits(place.ahead, Duration::ZERO)?;
                let turn = place.turn(throttle.max_wait).await?;
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
        let admitted = Box::pin(throttle.admit(subject, call)).await;
        admitted.map_err(|throttled| {
            throttle.metrics.refused(throttled.limit);
            self.audit.record(EventKind::Throttled, audit::Subject::from(user).with_detail(throttled.limit), call);
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

/// What an attempt is counted by.
#[derive(Clone, Copy)]
enum Subject<'attempt> {
    Account(&'attempt Email, IpAddr),
    Address(IpAddr),
    SignUp(&'attempt Email, IpAddr),
}

impl Throttle {
    /// Limits that nothing counts against yet. `max_wait` is the longest time that an attempt may wait for others from the
    /// same address at the same account.
    #[must_use]
    pub fn new(stores: AttemptStores, keys: Arc<Keys>, max_wait: Duration, metrics: ThrottleMetrics) -> Self {
        let AttemptStores { shared, local } = stores;
        Self { shared, local, tagger: Tagger::new(keys), lines: Lines::default(), max_wait, metrics }
    }

    /// Reserves an attempt, where all servers count or, while that cannot be reached, here.
    async fn admit(&self, subject: Subject<'_>, call: &Call) -> Result<Admission, Throttled> {
        if let Some(shared) = &self.shared {
            let patience = call.time.quarter();
            match call.time.limit(STORE, self.reserve(shared, subject, &patience)).await {
                Ok(decided) => return decided,
                Err(error) => debug!(%error, "attempts are counted by this server alone"),
            }
            self.metrics.counted_alone.inc();
        }
        match self.reserve(&self.local, subject, &call.time).await {
            Ok(decided) => decided,
            Err(error) => unreachable!("memory does not fail: {error}"),
        }
    }

    async fn reserve(
        &self,
        attempts: &Arc<dyn Attempts>,
        subject: Subject<'_>,
        time: &StoreTime,
    ) -> Result<Result<Admission, Throttled>, StoreError> {
        let bucket = |limit: &'static Limit, tag| Bucket { tag, limit };
        let decided = match subject {
            Subject::Account(email, address) => {
                let devices = self.tagger.device(email, address);
                let admission = Admission::new(attempts, devices.first().copied());
                let pair = bucket(&PAIR, self.tagger.pair(email, address));
                if knows_any(attempts, &devices, time).await? {
                    return admission.hold(&[pair], time).await;
                }
                // First: an address that has used up its own must not fill buckets of accounts, nor be in their way.
                let of_address = bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address));
                let admission = match admission.hold(&[of_address], time).await? {
                    Ok(admission) => admission,
                    Err(throttled) => return Ok(Err(throttled)),
                };
                admission.hold(&[pair, bucket(&ACCOUNT, self.tagger.account(email))], time).await?
            }
            Subject::Address(address) => {
                let address = bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address));
                Admission::new(attempts, None).hold(&[address], time).await?
            }
            Subject::SignUp(email, address) => {
                let device = self.tagger.device(email, address).first().copied();
                let address = bucket(&SIGN_UPS, self.tagger.address(SIGN_UPS.name, address));
                Admission::new(attempts, device).hold(&[address], time).await?
            }
        };
        Ok(decided)
    }
}

async fn knows_any(attempts: &Arc<dyn Attempts>, devices: &[Tag], time: &StoreTime) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| attempts.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}
