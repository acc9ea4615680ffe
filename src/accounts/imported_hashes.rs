//! The comparisons of logins while users have imported hashes.
//!
//! An imported hash takes longer than one of ours, so an unknown email must cost what some users cost. Each unknown email is
//! assigned to a kind of hash by a keyed digest, in the proportion of the users who have that kind. As users renew their
//! hashes, unknown emails change kind as users do, each at most once.

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};
use zeroize::Zeroizing;

use crate::{
    clock::{Clock, jittered},
    metrics::HashingMetrics,
    model::{Email, User},
    passwords::{Comparison, ImportedHash},
    store::{ImportedHashStats, StoreError, TimeBudget, UserStore},
};

/// The time between two readings of the share of imported hashes while it hardly changes. Counting may take a store 100 ms.
const INTERVAL: Duration = Duration::from_mins(10);
/// The same if nothing has been imported, the share is changing, as during an import, or the store has not responded.
const SHORT_INTERVAL: Duration = Duration::from_mins(1);
/// The longest reading.
const READING_TIMEOUT: Duration = Duration::from_secs(30);

/// What unknown emails cost, and whether imported hashes are accepted.
pub struct ImportedHashes {
    /// From then on, imported hashes match no password.
    until: Option<OffsetDateTime>,
    clock: Arc<dyn Clock>,
    metrics: HashingMetrics,
    /// The memory that is left for a comparison, in bytes; `None` if no limit is known.
    free_memory: Option<u64>,
    unknown_emails: RwLock<Option<UnknownEmails>>,
    readings: watch::Sender<Readings>,
}

/// How the readings of the share have ended.
#[derive(Debug, Clone, Copy, Default)]
struct Readings {
    has_read: bool,
    /// Failures since the last one that has succeeded.
    failures: u32,
}

/// The unknown emails that cost as much as an imported hash.
struct UnknownEmails {
    key: Zeroizing<[u8; 32]>,
    /// Those whose digest is below it. The share of users with imported hashes, times 2⁶⁴.
    below: u128,
    dummy: Arc<ImportedHash>,
}

impl ImportedHashes {
    /// Accepts imported hashes until this time, if any.
    #[must_use]
    pub fn accepted_until(until: Option<OffsetDateTime>, clock: Arc<dyn Clock>, metrics: HashingMetrics) -> Self {
        Self {
            until,
            clock,
            metrics,
            free_memory: None,
            unknown_emails: RwLock::default(),
            readings: watch::Sender::default(),
        }
    }

    /// Makes the server warn if a comparison needs more than this memory, in bytes.
    #[must_use]
    pub fn with_free_memory(self, free_memory: Option<u64>) -> Self {
        Self { free_memory, ..self }
    }

    /// Reads the share of users with imported hashes, now and again after each interval, until it is dropped.
    pub async fn follow(&self, users: &dyn UserStore) {
        loop {
            let interval = match self.read(users).await {
                Ok(true) => INTERVAL,
                Ok(false) => SHORT_INTERVAL,
                Err(error) => {
                    let readings = *self.readings.borrow();
                    match readings {
                        Readings { has_read: false, .. } => {
                            warn!(%error, "imported hashes not counted: response times of logins may show who has one");
                        }
                        Readings { failures: 2, .. } => {
                            warn!(%error, "failed to count imported hashes again; keeping the last share");
                        }
                        Readings { .. } => debug!(%error, "failed to count imported hashes; keeping the last share"),
                    }
                    SHORT_INTERVAL
                }
            };
            sleep(jittered(interval)).await;
        }
    }

    /// Waits until the first reading has succeeded or failed, for at most this time: until then, all unknown emails cost an
    /// ordinary hash.
    pub async fn first_reading(&self, limit: Duration) {
        let mut readings = self.readings.subscribe();
        let ended = readings.wait_for(|readings| readings.has_read || readings.failures > 0);
        let _ = timeout(limit, ended).await;
    }

    /// Reads the share of users with imported hashes. Returns whether there are some and the share has hardly changed.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn read(&self, users: &dyn UserStore) -> Result<bool, StoreError> {
        let stats = users.imported_hashes(&TimeBudget::new(READING_TIMEOUT)).await;
        self.record_reading(stats.is_ok());
        let stats = stats?;
        let has_changed = self.adopt(stats.as_ref());
        Ok(stats.is_some() && !has_changed)
    }

    fn record_reading(&self, is_successful: bool) {
        self.readings.send_modify(|readings| {
            let failures = if is_successful { 0 } else { readings.failures + 1 };
            *readings = Readings { has_read: readings.has_read || is_successful, failures };
        });
    }

    /// Returns the comparison with the hash of a user. If there is none, or if it can match no password, returns one that
    /// costs as much as that of another user.
    pub(super) fn comparison(&self, user: Option<&User>, email: Option<&Email>) -> Comparison {
        let are_accepted = self.until.is_none_or(|until| self.clock.now() < until);
        let stored = user.and_then(|user| user.password.as_ref()).and_then(Comparison::with);
        let stored = stored.filter(|stored| are_accepted || !stored.is_imported());
        stored.unwrap_or_else(|| {
            let dummy = email.filter(|_| are_accepted).and_then(|email| self.dummy_for(email));
            dummy.map_or_else(Comparison::dummy, Comparison::imported_dummy)
        })
    }

    fn dummy_for(&self, email: &Email) -> Option<Arc<ImportedHash>> {
        let unknown_emails = self.unknown_emails.read();
        let UnknownEmails { key, below, dummy } = unknown_emails.as_ref()?;
        let mut hmac = <Hmac<Sha256>>::new_from_slice(&**key).unwrap_or_else(|_| unreachable!("any length is valid"));
        hmac.update(email.as_str().as_bytes());
        let digest = hmac.finalize().into_bytes();
        let first = digest.first_chunk().map(|first| u64::from_be_bytes(*first));
        first.is_some_and(|first| u128::from(first) < *below).then(|| Arc::clone(dummy))
    }

    /// Adopts what a store has returned. Returns whether the share has changed by more than 1 %.
    pub fn adopt(&self, stats: Option<&ImportedHashStats>) -> bool {
        let (remaining, users) = stats.map_or((0, 0), |stats| (stats.remaining, stats.users.max(stats.remaining)));
        let below = (u128::from(remaining) << 64) / u128::from(users.max(1));
        self.metrics.users_with_imported_hash.set(i64::try_from(remaining).unwrap_or(i64::MAX));
        self.metrics.imported_hash_share.set(share(below));
        let mut unknown_emails = self.unknown_emails.write();
        let before = unknown_emails.as_ref().map_or(0, |former| former.below);
        let kept = unknown_emails.take();
        *unknown_emails = stats.filter(|_| below > 0).and_then(|stats| {
            let same = kept.filter(|former| former.dummy.recipe() == stats.recipe).map(|former| former.dummy);
            let dummy = same.or_else(|| self.new_dummy(&stats.recipe))?;
            Some(UnknownEmails { key: stats.key.clone(), below, dummy })
        });
        before.abs_diff(below) > (1_u128 << 64) / 100
    }

    fn new_dummy(&self, recipe: &str) -> Option<Arc<ImportedHash>> {
        let dummy = ImportedHash::dummy(recipe);
        let dummy = dummy.inspect_err(|error| error!(recipe, %error, "invalid recipe of imported hashes")).ok()?;
        let needed_bytes = dummy.memory_bytes();
        if let Some(free_bytes) = self.free_memory.filter(|free_bytes| *free_bytes < needed_bytes) {
            warn!(recipe, needed_bytes, free_bytes, "imported hashes may exceed the memory limit: raise it");
        }
        Some(Arc::new(dummy))
    }
}

/// Converts a share times 2⁶⁴.
fn share(below: u128) -> f64 {
    let millionths = u32::try_from((below * 1_000_000) >> 64).unwrap_or(1_000_000);
    f64::from(millionths) / 1e6
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{clock::ManualClock, metrics::Metrics};

    fn imported_hashes(until: Option<OffsetDateTime>) -> (ImportedHashes, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (ImportedHashes::accepted_until(until, clock.clone(), Metrics::new("").hashing), clock)
    }

    fn stats(remaining: u64, users: u64) -> ImportedHashStats {
        ImportedHashStats { key: Zeroizing::new([7; 32]), recipe: "pbkdf2_sha256$10".to_owned(), remaining, users }
    }

    fn email(number: usize) -> Email {
        format!("nobody{number}@example.org").parse().expect("a valid address")
    }

    /// Returns those of a thousand unknown emails that cost as much as an imported hash.
    fn assigned(imported: &ImportedHashes) -> Vec<usize> {
        (0..1000).filter(|number| imported.comparison(None, Some(&email(*number))).is_imported()).collect()
    }

    #[test]
    fn unknown_emails_cost_what_the_share_of_users_costs() {
        let (imported, _) = imported_hashes(None);
        assert!(assigned(&imported).is_empty());

        for (remaining, expected) in [(1000, 1000..=1000), (500, 430..=570), (50, 20..=90), (0, 0..=0)] {
            imported.adopt(Some(&stats(remaining, 1000)));
            assert!(expected.contains(&assigned(&imported).len()), "{remaining}: {}", assigned(&imported).len());
        }
        imported.adopt(None);
        assert!(assigned(&imported).is_empty());
    }

    #[test]
    fn unknown_emails_change_kind_at_most_once() {
        let (imported, _) = imported_hashes(None);
        imported.adopt(Some(&stats(900, 1000)));
        let mut before = assigned(&imported);

        for remaining in [700, 400, 100] {
            imported.adopt(Some(&stats(remaining, 1000)));
            let now = assigned(&imported);
            assert!(now.len() < before.len() && now.iter().all(|number| before.contains(number)), "{remaining}");
            before = now;
        }
    }

    #[test]
    fn estimate_below_the_number_of_imported_users_assigns_all() {
        let (imported, _) = imported_hashes(None);

        imported.adopt(Some(&stats(1000, 10)));

        assert_eq!(assigned(&imported).len(), 1000);
    }

    #[test]
    fn all_cost_an_ordinary_hash_after_the_last_day() {
        let clock = ManualClock::default();
        let (imported, moved) = imported_hashes(Some(clock.now() + Duration::from_hours(1)));
        imported.adopt(Some(&stats(10, 10)));
        assert_eq!(assigned(&imported).len(), 1000);

        moved.advance(Duration::from_hours(2));

        assert!(assigned(&imported).is_empty());
    }

    #[test]
    fn recipe_that_is_invalid_assigns_none() {
        let (imported, _) = imported_hashes(None);

        imported.adopt(Some(&ImportedHashStats { recipe: "md5".to_owned(), ..stats(10, 10) }));

        assert!(assigned(&imported).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn start_waits_for_the_first_reading_within_a_limit() {
        let (imported, _) = imported_hashes(None);
        let limit = Duration::from_secs(1);
        let started = Instant::now();
        imported.first_reading(limit).await;
        assert_eq!(started.elapsed(), limit);

        imported.record_reading(false);
        imported.first_reading(limit).await;

        assert_eq!(started.elapsed(), limit);
    }

    #[test]
    fn share_counts_as_changed_from_one_percent() {
        let (imported, _) = imported_hashes(None);

        let changes = [1000, 995, 980, 979].map(|remaining| imported.adopt(Some(&stats(remaining, 1000))));

        assert_eq!(changes, [true, false, true, false]);
        assert!((imported.metrics.imported_hash_share.get() - 0.979).abs() < 1e-5);
        assert_eq!(imported.metrics.users_with_imported_hash.get(), 979);
    }
}
