//! Hashes, verifies and checks passwords on the hashing threads.

use std::{net::IpAddr, time::Duration};

use argon2::Params;

use super::{
    argon2id::{HashParameters, ParsedHash, PasswordForm, Scratch, dummy_hash, new_hash},
    comparison::{Comparison, ReadableHash},
    hashing_pool::HashingPool,
    imported_hash_thread::ImportedHashThread,
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
    imported_hash_thread: ImportedHashThread,
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

    /// Returns how many hashes with the current parameters take as long as a comparison: 1 for all but imported hashes.
    #[must_use]
    pub fn cost(&self, comparison: &Comparison) -> u64 {
        let work = comparison.imported_work();
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
mod tests;
