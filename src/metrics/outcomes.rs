//! Counts operations by their outcome.

use std::{sync::Arc, time::Instant};

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::instruments::Registrar;
use super::operations::OPERATIONS;
use super::{
    families::{self, ABANDONED, CALL_OUTCOMES, SUCCEEDED},
    family::Family,
};

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

/// A store call, as the metrics name it.
#[derive(Debug, Clone, Copy)]
pub struct Operation(usize);

impl Operation {
    /// Returns the operation of [`OPERATIONS`] with this name.
    ///
    /// # Panics
    /// If there is none; in a `const` block, that is a compile error.
    #[must_use]
    pub const fn named(name: &str) -> Self {
        let mut index = 0;
        while index < OPERATIONS.len() {
            if is_equal(OPERATIONS[index].as_bytes(), name.as_bytes()) {
                return Self(index);
            }
            index += 1;
        }
        panic!("not in `OPERATIONS`")
    }
}

/// Compares in `const` blocks, where `==` is not available.
const fn is_equal(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}

/// Counts store calls by operation and outcome, and measures their durations. Each series is looked up once: a look-up hashes
/// its labels and takes a lock.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    /// In the order of [`OPERATIONS`].
    operations: Arc<[OperationMetrics]>,
}

#[derive(Debug)]
struct OperationMetrics {
    /// By the label of the outcome.
    outcomes: Vec<(&'static str, IntCounter)>,
    duration: Histogram,
}

impl CallMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let outcomes = make.counter(&families::STORE_CALLS);
        let durations = make.histogram(&families::STORE_CALL_DURATION);
        let metrics = |operation: &&'static str| {
            let counter = |outcome: &&'static str| (*outcome, outcomes.with_label_values(&[*operation, *outcome]));
            OperationMetrics {
                outcomes: CALL_OUTCOMES.iter().map(counter).collect(),
                duration: durations.with_label_values(&[*operation]),
            }
        };
        Self { operations: OPERATIONS.iter().map(metrics).collect() }
    }

    /// Awaits a call, and counts its outcome and duration: `succeeded`, `error_label` of its error, or `abandoned` if it is
    /// dropped.
    ///
    /// # Errors
    /// Returns the error of the call.
    pub async fn counted<T, E>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, E>>,
        error_label: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        let started = Instant::now();
        let metrics = &self.operations[operation.0];
        let record = |outcome| {
            let counter = metrics.outcomes.iter().find(|(known, _)| *known == outcome).map(|(_, counter)| counter);
            debug_assert!(counter.is_some(), "{outcome} is in the table of metrics");
            counter.inspect(|counter| counter.inc());
            metrics.duration.observe(started.elapsed().as_secs_f64());
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
