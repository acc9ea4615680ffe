//! Limits on attempts that fail: guessed passwords, at an account, from an address and from an address at an account; and
//! sign-ups from an address.
//!
//! Each attempt is reserved before anything is hashed, as if it had failed, and given back where it has not: attempts side
//! by side cannot slip through. Whoever comes from where the account has been logged in from is limited by the failures of
//! the two together alone, so that nobody elsewhere can keep them out.

mod limits;
mod line;
mod tags;

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::{debug, warn};

use self::{
    limits::{ACCOUNT, ADDRESS, FAILURES_IN_A_ROW, PAIR, SIGN_UPS},
    line::Lines,
    tags::Tagger,
};
use super::{Accounts, Call, Email, Refusal};
use crate::{
    metrics::ThrottleMetrics,
    store::{Attempts, Bucket, Limit, Reservation, StoreError, StoreTime, Tag},
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

/// What became of an attempt, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Succeeded,
    Failed,
    /// It has not come to an end: nobody has learnt anything by it.
    NotMade,
}

impl Accounts {
    /// Makes an attempt to give the password of an account, unless too many have failed. `None` where no account can have
    /// the email.
    ///
    /// # Errors
    /// [`Refusal::Throttled`], [`Refusal::Overloaded`] and those of the attempt.
    pub(super) async fn guess<T>(
        &self,
        email: Option<&Email>,
        call: &Call,
        attempt: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        // Before a store is asked: whoever would be turned away later costs nothing.
        self.hasher.admits(Duration::ZERO)?;
        let Some(throttle) = &self.throttle else { return attempt.await };
        let address = call.client.address;
        let _turn = match email {
            Some(email) => {
                let turn = throttle.lines.turn(throttle.tagger.pair(email, address), throttle.max_wait).await?;
                self.hasher.admits(turn.waited)?;
                Some(turn)
            }
            None => None,
        };
        let subject = email.map_or(Subject::Address(address), |email| Subject::Account(email, address));
        let verdict = |outcome: &Result<T, Refusal>| match outcome {
            Ok(_) => Verdict::Succeeded,
            Err(Refusal::InvalidCredentials | Refusal::WrongPassword) => Verdict::Failed,
            Err(_) => Verdict::NotMade,
        };
        throttle.counted(subject, call, attempt, verdict).await
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
        let Some(throttle) = &self.throttle else { return attempt.await };
        let verdict = |outcome: &Result<T, Refusal>| match outcome {
            Ok(_) => Verdict::Succeeded,
            Err(Refusal::EmailTaken) => Verdict::Failed,
            Err(_) => Verdict::NotMade,
        };
        throttle.counted(Subject::SignUp(email, call.client.address), call, attempt, verdict).await
    }
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

    async fn counted<T>(
        &self,
        subject: Subject<'_>,
        call: &Call,
        attempt: impl Future<Output = Result<T, Refusal>>,
        verdict: impl Fn(&Result<T, Refusal>) -> Verdict,
    ) -> Result<T, Refusal> {
        // On the heap: they are large, and not there for long.
        let admission = Box::pin(self.admit(subject, call)).await.map_err(|throttled| {
            self.metrics.refused(throttled.limit);
            Refusal::Throttled(throttled)
        })?;
        let outcome = attempt.await;
        Box::pin(admission.settle(verdict(&outcome), &call.time)).await;
        outcome
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
        let mut admission = Admission { attempts: Arc::clone(attempts), held: Vec::new(), device: None };
        let bucket = |limit: &'static Limit, tag| Bucket { tag, limit };
        let decided = match subject {
            Subject::Account(email, address) => {
                let devices = self.tagger.device(email, address);
                admission.device = devices.first().copied();
                let pair = [bucket(&PAIR, self.tagger.pair(email, address))];
                let (known, pair) = tokio::join!(knows_any(attempts, &devices, time), admission.hold(&pair, time));
                match pair? {
                    Ok(admission) if !known? => {
                        let account = bucket(&ACCOUNT, self.tagger.account(email));
                        let address = bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address));
                        admission.hold(&[account, address], time).await?
                    }
                    decided => decided,
                }
            }
            Subject::Address(address) => {
                admission.hold(&[bucket(&ADDRESS, self.tagger.address(ADDRESS.name, address))], time).await?
            }
            Subject::SignUp(email, address) => {
                admission.device = self.tagger.device(email, address).first().copied();
                admission.hold(&[bucket(&SIGN_UPS, self.tagger.address(SIGN_UPS.name, address))], time).await?
            }
        };
        Ok(decided)
    }
}

async fn knows_any(attempts: &Arc<dyn Attempts>, devices: &[Tag], time: &StoreTime) -> Result<bool, StoreError> {
    let known = join_all(devices.iter().map(|device| attempts.knows(device, time))).await;
    known.into_iter().try_fold(false, |known, device| Ok(known | device?))
}

/// An attempt that may be made. It counts as one that has not been made until it is settled.
struct Admission {
    attempts: Arc<dyn Attempts>,
    held: Vec<Held>,
    /// What is known from now on where the attempt succeeds.
    device: Option<Tag>,
}

/// What has been reserved in a bucket.
#[derive(Clone, Copy)]
struct Held {
    bucket: Bucket,
    charge: Duration,
    count: u32,
}

impl Admission {
    /// Reserves in more buckets, in all of them or in none.
    async fn hold(mut self, buckets: &[Bucket], time: &StoreTime) -> Result<Result<Self, Throttled>, StoreError> {
        let reservations = join_all(buckets.iter().map(|bucket| self.attempts.reserve(bucket, time))).await;
        let mut longest: Option<Throttled> = None;
        for (bucket, reservation) in buckets.iter().zip(reservations) {
            match reservation? {
                Reservation::Made { charge, count } => self.held.push(Held { bucket: *bucket, charge, count }),
                Reservation::Refused { wait } if longest.is_none_or(|longest| longest.wait < wait) => {
                    longest = Some(Throttled { limit: bucket.limit.name, wait });
                }
                Reservation::Refused { .. } => {}
            }
        }
        let Some(throttled) = longest else { return Ok(Ok(self)) };
        self.settle(Verdict::NotMade, time).await;
        Ok(Err(throttled))
    }

    /// Lets what has been reserved stand, or gives it back.
    async fn settle(mut self, verdict: Verdict, time: &StoreTime) {
        let held = std::mem::take(&mut self.held);
        let settled = match verdict {
            Verdict::Failed => {
                tell_of_many(&held);
                Ok(())
            }
            Verdict::NotMade => give_back(&self.attempts, &held, time).await,
            Verdict::Succeeded => self.reward(&held, time).await,
        };
        if let Err(error) = settled {
            debug!(%error, "attempts that did not fail could not be given back");
        }
    }

    /// The failures before count no more, but for those from this address at other accounts; and the device is known.
    async fn reward(&self, held: &[Held], time: &StoreTime) -> Result<(), StoreError> {
        let is = |held: &Held, limit: &Limit| held.bucket.limit.name == limit.name;
        let cleared = held.iter().filter(|held| is(held, &ACCOUNT) || is(held, &PAIR));
        let returned: Vec<_> = held.iter().filter(|held| is(held, &ADDRESS)).copied().collect();
        let (cleared, returned, remembered) = tokio::join!(
            join_all(cleared.map(|held| self.attempts.clear(&held.bucket, time))),
            give_back(&self.attempts, &returned, time),
            join_all(self.device.iter().map(|device| self.attempts.remember(device, time))),
        );
        cleared.into_iter().chain(remembered).chain([returned]).collect()
    }
}

impl Drop for Admission {
    /// Whoever asked has gone away before there was an answer.
    fn drop(&mut self) {
        let (held, attempts) = (std::mem::take(&mut self.held), Arc::clone(&self.attempts));
        if let (false, Ok(runtime)) = (held.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { give_back(&attempts, &held, &StoreTime::of(Duration::from_secs(1))).await });
        }
    }
}

async fn give_back(attempts: &Arc<dyn Attempts>, held: &[Held], time: &StoreTime) -> Result<(), StoreError> {
    let returned = join_all(held.iter().map(|held| attempts.give_back(&held.bucket, held.charge, time))).await;
    returned.into_iter().collect()
}

/// Says so once where an account has met as many failures in a row as NIST allows.
fn tell_of_many(held: &[Held]) {
    let account = held.iter().find(|held| held.bucket.limit.name == ACCOUNT.name);
    if account.is_some_and(|held| held.count == FAILURES_IN_A_ROW) {
        warn!(
            failures = FAILURES_IN_A_ROW,
            "logins to an account fail in a row: known devices alone are let in at once"
        );
    }
}
