//! The thread that compares imported hashes, one at a time.

use std::{sync::Arc, time::Duration};

use argon2::Params;
use parking_lot::Mutex;
use tracing::error;

use super::{
    argon2id::PasswordForm,
    hashing_pool::HashingPool,
    imported_hash::{ImportedHash, Work},
    job_queue::{Overloaded, WaitLimit},
    password::Password,
    queue_load::{JobKind, QueueLoad},
    work_permit::WorkPermit,
};
use crate::metrics::HashingMetrics;

/// A queue of comparisons with imported hashes, and its thread, which starts with the first of them.
///
/// A comparison may take a second and 129 MiB. It occupies neither the threads of other hashes nor their memory; its memory is
/// freed when it ends. Clients take turns by the time that their comparisons take.
#[derive(Debug)]
pub struct ImportedHashThread {
    max_wait: Duration,
    params: Params,
    metrics: HashingMetrics,
    pool: Mutex<Option<Arc<HashingPool>>>,
}

impl ImportedHashThread {
    pub fn new(max_wait: Duration, params: Params, metrics: HashingMetrics) -> Self {
        Self { max_wait, params, metrics, pool: Mutex::default() }
    }

    /// Compares a password with a hash: as it was typed and, if that differs, without white space at its ends, because Django
    /// REST framework trims passwords. Both take their time in any case, and are one job.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long, or the thread cannot be started.
    pub async fn compare(
        &self,
        permit: &WorkPermit,
        password: &Password,
        (hash, may_match): (Arc<ImportedHash>, bool),
    ) -> Result<Option<PasswordForm>, Overloaded> {
        let password = password.share();
        let kind = JobKind::ImportedHash(work_of(&hash, &password));
        let pool = self.pool()?;
        let compare = pool.run(permit, kind, move |_, job| {
            let matches_typed = hash.matches(password.as_typed());
            let matches_trimmed = password.as_typed_and_trimmed().is_some_and(|trimmed| hash.matches(trimmed));
            let form = match (matches_typed, matches_trimmed) {
                (true, _) => Some(PasswordForm::AsTyped),
                (false, true) => Some(PasswordForm::Trimmed),
                (false, false) => None,
            };
            let form = form.filter(|_| may_match);
            job.record_comparison(form.is_some());
            form
        });
        compare.await
    }

    /// Returns the expected duration of this work, in microseconds.
    pub fn expected_us(&self, work: Work) -> Option<u64> {
        let pool = self.pool().ok()?;
        Some(pool.load().expected_us(JobKind::ImportedHash(work)))
    }

    pub(super) fn pool(&self) -> Result<Arc<HashingPool>, Overloaded> {
        let mut pool = self.pool.lock();
        if let Some(pool) = &*pool {
            return Ok(Arc::clone(pool));
        }
        let load = QueueLoad::of_imported_hashes(self.metrics.clone());
        let limit = WaitLimit { max_wait: self.max_wait, is_of_request: false };
        let started = HashingPool::start(load, limit, &self.params).map_err(|error| {
            error!(%error, "failed to start the thread for imported hashes");
            Overloaded { wait: self.max_wait }
        })?;
        Ok(Arc::clone(pool.insert(Arc::new(started))))
    }
}

/// Returns the work of a comparison: that of the hash for each form of the password.
pub fn work_of(hash: &ImportedHash, password: &Password) -> Work {
    let Work { unit, amount } = hash.work();
    let forms = if password.as_typed_and_trimmed().is_some() { 2 } else { 1 };
    Work { unit, amount: forms * amount }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::{
        super::{
            argon2id::HashParameters,
            comparison::Comparison,
            hasher::{Hasher, HasherSettings},
        },
        *,
    };
    use crate::{metrics::Metrics, model::PasswordHash};

    fn hasher(max_wait: Duration) -> Hasher {
        let parameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };
        let settings = HasherSettings { parameters, threads: 1, max_wait };
        Hasher::start(settings, Metrics::new("").hashing).expect("valid parameters")
    }

    fn permit() -> WorkPermit {
        WorkPermit::for_command_line()
    }

    /// Occupies the thread for imported hashes until the sender is dropped.
    fn occupy(hasher: &Hasher) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        hasher.imported_hash_thread.pool().expect("a thread").queue().push_unlimited(Box::new(move |_, _| {
            let _ = released.recv();
        }));
        release
    }

    /// Returns the form of the password that matches.
    async fn compared(hasher: &Hasher, typed: &str, hash: &PasswordHash) -> Option<PasswordForm> {
        let comparison = Comparison::with(hash).expect("a hash");
        hasher.compare(&permit(), &Password::new(typed), comparison).await.expect("an empty queue")
    }

    const IMPORTED: &str = "pbkdf2_sha256$10$salt$DDHnnyz+gHGfYSA3X/flJknPX6NCAedOYn8+qfYbPW0=";

    #[tokio::test]
    async fn imported_hashes_do_not_occupy_the_other_threads() {
        let hasher = hasher(Duration::from_mins(1));
        let release = occupy(&hasher);
        let (permit, imported) = (permit(), PasswordHash::new(IMPORTED.to_owned()));
        let (password, comparison) = (Password::new("old_password"), Comparison::with(&imported));
        let mut compared = Box::pin(hasher.compare(&permit, &password, comparison.expect("an imported hash")));
        assert!(compared.as_mut().now_or_never().is_none());

        hasher.hash(&permit, &password).await.expect("an empty queue");

        assert!(compared.as_mut().now_or_never().is_none(), "it waits for the thread of its own");
        drop(release);
        assert_eq!(compared.await, Ok(Some(PasswordForm::AsTyped)));
    }

    #[tokio::test]
    async fn comparisons_wait_in_proportion_to_their_work() {
        let hasher = hasher(Duration::from_secs(1));
        let release = occupy(&hasher);
        let (permit, wrong) = (permit(), Password::new("wrong_password"));
        let dummy = |recipe| Comparison::imported_dummy(Arc::new(ImportedHash::dummy(recipe).expect("a recipe")));
        // 0.8 s each on a slow machine, and a wait of 2 s is allowed.
        let mut waiting: Vec<_> = Vec::new();
        for _ in 0..3 {
            let mut job = Box::pin(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$1000000")));
            assert!(job.as_mut().now_or_never().is_none());
            waiting.push(job);
        }

        assert!(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$10")).await.is_err());

        waiting.pop();
        assert!(hasher.compare(&permit, &wrong, dummy("pbkdf2_sha256$10")).now_or_never().is_none());
        drop(waiting);
        drop(release);
    }

    #[test]
    fn cost_is_that_of_each_form_of_the_password() {
        let hasher = hasher(Duration::from_secs(1));
        let dummy = |recipe| Comparison::imported_dummy(Arc::new(ImportedHash::dummy(recipe).expect("a recipe")));
        let cost = |comparison, typed| hasher.cost(&comparison, &Password::new(typed));

        for (typed, expected) in [("wrong_password", 20), ("wrong_password ", 40), ("\twrong_password", 40)] {
            assert_eq!(cost(dummy("pbkdf2_sha256$1000000"), typed), expected, "{typed:?}");
            assert_eq!((cost(dummy("pbkdf2_sha256$10"), typed), cost(Comparison::dummy(), typed)), (1, 1));
        }
    }

    #[tokio::test]
    async fn wait_for_an_imported_hash_does_not_count_for_others() {
        let hasher = hasher(Duration::from_mins(1));
        let permit = WorkPermit::for_client("192.0.2.1".parse().expect("an address"));
        let imported = PasswordHash::new(IMPORTED.to_owned());
        let comparison = Comparison::with(&imported).expect("an imported hash");

        hasher.compare(&permit, &Password::new("wrong_password"), comparison).await.expect("an empty queue");

        assert_eq!(permit.waited(), Duration::ZERO);

        // Nor do earlier waits count for it.
        permit.add_wait(Duration::from_hours(1));
        let comparison = Comparison::with(&imported).expect("an imported hash");
        hasher.compare(&permit, &Password::new("wrong_password"), comparison).await.expect("an empty queue");
    }

    #[tokio::test]
    async fn rehash_of_a_trimmed_password_matches_with_and_without_white_space() {
        let hasher = hasher(Duration::from_mins(1));
        let typed = " old_password\t";
        let form = compared(&hasher, typed, &PasswordHash::new(IMPORTED.to_owned())).await;
        assert_eq!(form, Some(PasswordForm::Trimmed));

        let rehashed = hasher.rehash(&permit(), &Password::new(typed), PasswordForm::Trimmed).await;

        let rehashed = rehashed.expect("an empty queue");
        assert!(rehashed.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1,keyid=dHJpbW1lZA$"), "{}", rehashed.as_phc());
        for typed in [typed, "old_password", "\u{3000}old_password"] {
            assert_eq!(compared(&hasher, typed, &rehashed).await, Some(PasswordForm::Trimmed), "{typed:?}");
        }
        assert_eq!(compared(&hasher, "old_ password", &rehashed).await, None);
        assert!(!hasher.is_outdated(&rehashed));
    }

    #[tokio::test]
    async fn imported_hash_is_outdated_and_one_that_never_matches_does_not() {
        let (hasher, imported) = (hasher(Duration::from_mins(1)), PasswordHash::new(IMPORTED.to_owned()));
        let never = Comparison::with(&imported).expect("an imported hash").never_matching();

        assert_eq!(hasher.compare(&permit(), &Password::new("old_password"), never).await, Ok(None));
        assert!(hasher.is_outdated(&imported));
    }
}
