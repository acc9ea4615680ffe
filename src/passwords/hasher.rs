//! Hashes, verifies and checks passwords on the hashing threads.

use std::{net::IpAddr, time::Duration};

use argon2::Params;

use super::{
    argon2id::{HashParameters, ParsedHash, PasswordForm, Scratch, dummy_hash, new_hash},
    comparison::{Comparison, ReadableHash},
    hashing_pool::HashingPool,
    imported_hash_thread::{ImportedHashThread, work_of},
    job_queue::{Overloaded, WaitLimit},
    password::Password,
    policy::{AcceptedPassword, CandidatePassword, PolicyViolation},
    queue_load::{JobKind, QueueLoad},
    work_permit::{RunningJob, WorkPermit},
};
use crate::{metrics::HashingMetrics, model::PasswordHash};

/// The settings of a [`Hasher`].
#[derive(Debug, Clone, Copy)]
pub struct HasherSettings {
    /// The cost of a new hash.
    pub parameters: HashParameters,
    /// The number of hashing threads. Each has memory for one hash.
    pub threads: usize,
    /// The longest time that the jobs of a request may wait for a thread. A comparison with an imported hash may wait twice
    /// that time, which does not count for the others.
    pub max_wait: Duration,
}

/// Hashes passwords with Argon2id on dedicated threads, which end when it is dropped.
#[derive(Debug)]
pub struct Hasher {
    pool: HashingPool,
    pub(super) imported_hash_thread: ImportedHashThread,
    params: Params,
    dummy_hash: PasswordHash,
}

impl Hasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// Returns the reason if the parameters are out of Argon2's range or a thread cannot be started.
    pub fn start(settings: HasherSettings, metrics: HashingMetrics) -> Result<Self, String> {
        let HasherSettings { parameters, threads, max_wait } = settings;
        let params = parameters.params()?;
        let (load, limit) = (QueueLoad::new(threads, metrics.clone()), WaitLimit { max_wait, is_of_request: true });
        let pool = HashingPool::start(load, limit, &params).map_err(|error| error.to_string())?;
        let imported_hash_thread = ImportedHashThread::new(2 * max_wait, params.clone(), metrics);
        Ok(Self { pool, imported_hash_thread, dummy_hash: dummy_hash(params.clone()), params })
    }

    /// Makes one of several threads pause while requests arrive that need no hash. Meant for a server with as many hashing
    /// threads as processors.
    pub fn enable_foreground_yield(&self) {
        self.pool.load().foreground_yield.enable();
    }

    /// Records the arrival of a request that needs no hash; see [`Hasher::enable_foreground_yield`].
    pub fn notice_request(&self) {
        self.pool.load().foreground_yield.notice_request();
    }

    /// Checks whether a hash of a client would be accepted after `ahead` more hashes, if it has already waited for `waited`.
    /// Lets a request fail before other work; the hash itself may still be rejected.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long.
    pub fn check_capacity(&self, client: IpAddr, ahead: usize, waited: Duration) -> Result<(), Overloaded> {
        self.pool.queue().check_capacity(Some(client), ahead, waited)
    }

    /// Hashes a password with the current parameters and a new salt.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long.
    pub async fn hash(&self, permit: &WorkPermit, password: &Password) -> Result<PasswordHash, Overloaded> {
        self.hash_form(permit, password, PasswordForm::AsTyped).await
    }

    /// Hashes the form of a password that has just matched, if no job is queued: its caller has already waited once. The new
    /// hash matches the same texts as the old one: without white space at their ends if the form is trimmed.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if a job is queued.
    pub async fn rehash(
        &self,
        permit: &WorkPermit,
        password: &Password,
        form: PasswordForm,
    ) -> Result<PasswordHash, Overloaded> {
        if self.pool.load().has_queue() {
            return Err(Overloaded { wait: self.pool.queue().wait_of(permit.client()) });
        }
        self.hash_form(permit, password, form).await
    }

    /// Hashes the form of a password that has just matched an imported hash: waits like any other hash, so that a busy server
    /// renews imported hashes too. The new hash is that of [`Hasher::rehash`].
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long.
    pub async fn renew(
        &self,
        permit: &WorkPermit,
        password: &Password,
        form: PasswordForm,
    ) -> Result<PasswordHash, Overloaded> {
        self.hash_form(permit, password, form).await
    }

    async fn hash_form(
        &self,
        permit: &WorkPermit,
        password: &Password,
        form: PasswordForm,
    ) -> Result<PasswordHash, Overloaded> {
        let (password, params) = (password.share(), self.params.clone());
        self.pool.run(permit, JobKind::Hash, move |scratch, _| new_hash(&password, form, params, scratch)).await
    }

    /// Compares a password with a hash, and records in the permit whether it matches. Returns the form of the password that
    /// the hash was made of, or `None` if none matches.
    ///
    /// A password that is too long matches only an imported hash.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long: that of imported hashes, or that of all other work.
    pub async fn compare(
        &self,
        permit: &WorkPermit,
        password: &Password,
        comparison: Comparison,
    ) -> Result<Option<PasswordForm>, Overloaded> {
        let Comparison { hash, may_match } = comparison;
        let (parsed, may_match) = match hash {
            ReadableHash::Imported(hash) => {
                return self.imported_hash_thread.compare(permit, password, (hash, may_match)).await;
            }
            ReadableHash::Own(hash) => (Some(*hash), may_match && !password.is_too_long()),
            ReadableHash::Dummy => (ParsedHash::parse(&self.dummy_hash), false),
        };
        let parsed = parsed.unwrap_or_else(|| unreachable!("the dummy hash is a valid PHC string"));
        let (password, kind) = (password.share(), self.kind_of(parsed.parameters()));
        let compare = move |scratch: &mut Scratch, job: &RunningJob| {
            let matches = parsed.matches(&password, scratch) && may_match;
            job.record_comparison(matches);
            matches.then(|| parsed.form())
        };
        self.pool.run(permit, kind, compare).await
    }

    /// Returns how many hashes with the current parameters take as long as the comparison with this password: 1 for all but
    /// imported hashes.
    #[must_use]
    pub fn cost(&self, comparison: &Comparison, password: &Password) -> u64 {
        let work = comparison.imported_hash().map(|hash| work_of(hash, password));
        let expected_us = work.and_then(|work| self.imported_hash_thread.expected_us(work)).unwrap_or_default();
        (expected_us / self.pool.load().expected_us(JobKind::Hash).max(1)).max(1)
    }

    /// Estimates the strength of a new password, and accepts it if the policy has found no other violation. Rejects one that
    /// is too long without an estimate.
    ///
    /// # Errors
    /// Returns [`Overloaded`] if the queue is too long. The inner error has every violation.
    pub async fn accept(
        &self,
        permit: &WorkPermit,
        candidate: CandidatePassword,
    ) -> Result<Result<AcceptedPassword, Vec<PolicyViolation>>, Overloaded> {
        if candidate.is_too_long() {
            return Ok(Err(candidate.violations().to_vec()));
        }
        self.pool.run(permit, JobKind::PolicyCheck, move |_, _| candidate.accept()).await
    }

    /// Returns whether a hash has other parameters than the current ones, or cannot be read.
    #[must_use]
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        ParsedHash::parse(hash).is_none_or(|parsed| self.kind_of(parsed.parameters()) != JobKind::Hash)
    }

    fn kind_of(&self, parameters: HashParameters) -> JobKind {
        if parameters == HashParameters::of(&self.params) { JobKind::Hash } else { JobKind::OutdatedHash }
    }

    /// Returns the number of hashes since the start, verifications included.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.pool.load().hashes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::{super::policy::Policy, *};
    use crate::metrics::Metrics;

    const CHEAP: HashParameters = HashParameters { memory_kib: 8, passes: 1, lanes: 1 };

    fn metrics() -> HashingMetrics {
        Metrics::new("").hashing
    }

    fn settings(parameters: HashParameters) -> HasherSettings {
        HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) }
    }

    fn hasher() -> Hasher {
        Hasher::start(settings(CHEAP), metrics()).expect("valid parameters")
    }

    fn permit() -> WorkPermit {
        WorkPermit::for_command_line()
    }

    fn password() -> Password {
        Password::new("secure_password")
    }

    /// Returns the form of the password that matches.
    async fn compared(hasher: &Hasher, typed: &str, hash: &PasswordHash) -> Option<PasswordForm> {
        let comparison = Comparison::with(hash).unwrap_or_else(Comparison::dummy);
        hasher.compare(&permit(), &Password::new(typed), comparison).await.expect("an empty queue")
    }

    #[tokio::test]
    async fn password_matches_only_its_own_hash() {
        let hasher = hasher();

        let hash = hasher.hash(&permit(), &password()).await.expect("an empty queue");

        assert_eq!(compared(&hasher, "secure_password", &hash).await, Some(PasswordForm::AsTyped));
        assert_eq!(compared(&hasher, "secure_passwore", &hash).await, None);
        assert_eq!(compared(&hasher, " secure_password", &hash).await, None);
        assert!(hash.as_phc().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", hash.as_phc());
    }

    #[tokio::test]
    async fn hash_of_the_reference_implementation_is_verified() {
        // From the test suite of the reference implementation (P-H-C/phc-winner-argon2, src/test.c, version 0x13).
        let reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

        let matched = compared(&hasher(), "password", &PasswordHash::new(reference.to_owned())).await;

        assert_eq!(matched, Some(PasswordForm::AsTyped));
    }

    #[tokio::test]
    async fn missing_or_unreadable_hash_costs_a_hash_and_never_matches() {
        let hasher = hasher();
        let unreadable = PasswordHash::new("!".to_owned());
        let argon2i = PasswordHash::new(
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY".to_owned(),
        );

        for hash in [&unreadable, &argon2i] {
            let before = hasher.hashes();
            assert_eq!(compared(&hasher, "password", hash).await, None);
            assert_eq!(hasher.hashes(), before + 1);
        }
    }

    #[tokio::test]
    async fn dummy_hash_has_the_current_parameters() {
        let hasher = hasher();

        assert!(!hasher.is_outdated(&hasher.dummy_hash));
    }

    #[tokio::test]
    async fn hash_with_other_parameters_is_outdated() {
        let costlier = HashParameters { passes: 2, ..CHEAP };
        let other = Hasher::start(settings(costlier), metrics()).expect("valid parameters");
        let hash = other.hash(&permit(), &password()).await.expect("an empty queue");

        assert!(hasher().is_outdated(&hash));
        assert!(!other.is_outdated(&hash));
        assert!(compared(&hasher(), "secure_password", &hash).await.is_some());
    }

    #[tokio::test]
    async fn rehash_is_rejected_while_a_job_is_queued_and_a_renewal_waits() {
        let hasher = hasher();
        let (release, released) = mpsc::channel::<()>();
        hasher.pool.queue().push_unlimited(Box::new(move |_, _| {
            let _ = released.recv();
        }));
        let password = password();
        let permit = permit();
        let mut queued = Box::pin(hasher.hash(&permit, &password));
        assert!(queued.as_mut().now_or_never().is_none());

        assert!(hasher.rehash(&permit, &password, PasswordForm::AsTyped).await.is_err());
        let mut renewed = Box::pin(hasher.renew(&permit, &password, PasswordForm::AsTyped));
        assert!(renewed.as_mut().now_or_never().is_none());

        drop(release);
        renewed.await.expect("a short queue");
        queued.await.expect("a short queue");
        assert!(hasher.rehash(&permit, &password, PasswordForm::AsTyped).await.is_ok());
    }

    #[tokio::test]
    async fn password_that_is_too_long_takes_no_time_of_a_thread() {
        let metrics = metrics();
        let hasher = Hasher::start(settings(CHEAP), metrics.clone()).expect("valid parameters");
        let candidate = Policy { min_code_points: 8 }.check(Password::new(&"ä".repeat(257)), None, None);

        let rejected = hasher.accept(&permit(), candidate).now_or_never();

        let violations = rejected.expect("no wait").expect("no queue").expect_err("it is too long");
        assert_eq!(violations, [PolicyViolation::TooLong(256)]);
        assert_eq!(metrics.policy_checks.get_sample_count(), 0);
    }

    #[tokio::test]
    async fn min_hash_duration_counts_only_the_current_parameters() {
        let metrics = metrics();
        let hasher = Hasher::start(settings(CHEAP), metrics.clone()).expect("valid parameters");
        let password = password();
        let other = HashParameters { memory_kib: 9, ..CHEAP }.params().expect("valid parameters");
        let outdated = new_hash(&password, PasswordForm::AsTyped, other.clone(), &mut Scratch::new(&other));

        assert!(compared(&hasher, "secure_password", &outdated).await.is_some());
        assert!(metrics.min_hash_duration.get() < f64::EPSILON);

        hasher.hash(&permit(), &password).await.expect("an empty queue");
        let first = metrics.min_hash_duration.get();
        hasher.hash(&permit(), &password).await.expect("an empty queue");
        assert!(0.0 < metrics.min_hash_duration.get() && metrics.min_hash_duration.get() <= first);
    }

    #[test]
    fn parameters_out_of_range_are_rejected() {
        let parameters = HashParameters { memory_kib: 7, ..CHEAP };

        assert!(Hasher::start(settings(parameters), metrics()).is_err());
    }
}
