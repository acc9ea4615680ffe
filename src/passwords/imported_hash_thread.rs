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
        let Work { unit, amount } = hash.work();
        let forms = if password.as_typed_and_trimmed().is_some() { 2 } else { 1 };
        let kind = JobKind::ImportedHash(Work { unit, amount: forms * amount });
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
