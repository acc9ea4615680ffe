//! Counts operations by their outcome.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec};

use super::families::{self, ABANDONED, Family, SUCCEEDED};
use super::instruments::Registrar;

/// Counts operations of one kind by their outcome.
#[derive(Debug, Clone)]
pub struct Outcomes(IntCounterVec);

impl Outcomes {
    pub(super) fn new(make: &Registrar<'_>, family: &Family) -> Self {
        Self(make.counter(family))
    }

    /// Awaits an operation and counts its outcome: `succeeded`, `error_label` of its error, or `abandoned` if it is dropped.
    ///
    /// # Errors
    /// Returns the error of the operation.
    pub async fn counted<T, E>(
        &self,
        operation: impl Future<Output = Result<T, E>>,
        error_label: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        observe(operation, error_label, |outcome| self.0.with_label_values(&[outcome]).inc()).await
    }
}

/// Counts store calls by operation and outcome, and measures their durations.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    outcomes: IntCounterVec,
    durations: HistogramVec,
}

impl CallMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            outcomes: make.counter(&families::STORE_CALLS),
            durations: make.histogram(&families::STORE_CALL_DURATION),
        }
    }

    /// Awaits a call, and counts its outcome and duration: `succeeded`, `error_label` of its error, or `abandoned` if it is
    /// dropped.
    ///
    /// # Errors
    /// Returns the error of the call.
    pub async fn counted<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, E>>,
        error_label: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        let started = Instant::now();
        let record = |outcome| {
            self.outcomes.with_label_values(&[operation, outcome]).inc();
            self.durations.with_label_values(&[operation]).observe(started.elapsed().as_secs_f64());
        };
        observe(call, error_label, record).await
    }
}

/// Awaits an operation and records its outcome exactly once, also if this future is dropped.
async fn observe<T, E>(
    operation: impl Future<Output = Result<T, E>>,
    error_label: impl FnOnce(&E) -> &'static str,
    record: impl Fn(&'static str),
) -> Result<T, E> {
    let mut guard = OutcomeGuard { outcome: ABANDONED, record };
    let result = operation.await;
    guard.outcome = result.as_ref().err().map_or(SUCCEEDED, error_label);
    result
}

struct OutcomeGuard<F: Fn(&'static str)> {
    outcome: &'static str,
    record: F,
}

impl<F: Fn(&'static str)> Drop for OutcomeGuard<F> {
    fn drop(&mut self) {
        (self.record)(self.outcome);
    }
}
