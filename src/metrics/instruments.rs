//! What counts and times.

use std::time::Instant;

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};

use super::families::{ABANDONED, Family, LabelValues, MetricKind, SUCCEEDED};

/// Makes the instruments of a registry, each with all the label values that are known beforehand: a counter that appears
/// with its first event hides that event from `rate()`.
pub struct Registrar<'registry>(pub &'registry Registry);

impl Registrar<'_> {
    pub fn counter(&self, family: &Family) -> IntCounterVec {
        let counter = made(IntCounterVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            counter.with_label_values(&values);
        }
        self.register(counter)
    }

    pub fn gauge(&self, family: &Family) -> IntGaugeVec {
        let gauge = made(IntGaugeVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            gauge.with_label_values(&values);
        }
        self.register(gauge)
    }

    /// A gauge that is no whole number.
    pub fn fraction(&self, family: &Family) -> GaugeVec {
        let gauge = made(GaugeVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            gauge.with_label_values(&values);
        }
        self.register(gauge)
    }

    pub fn histogram(&self, family: &Family) -> HistogramVec {
        let MetricKind::Histogram(bounds) = family.kind else { unreachable!("{} is a histogram", family.name) };
        let options = HistogramOpts::from(options(family)).buckets(bounds.to_vec());
        let histogram = made(HistogramVec::new(options, &label_names(family)));
        for values in combinations(family) {
            histogram.with_label_values(&values);
        }
        self.register(histogram)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        made(self.0.register(Box::new(collector.clone())));
        collector
    }
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn label_names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}

/// Every combination of the values of labels; none where a label's values are not listed.
fn combinations(family: &Family) -> Vec<Vec<&'static str>> {
    family.labels.iter().fold(vec![Vec::new()], |begun, label| {
        let LabelValues::Listed(values) = label.values else { return Vec::new() };
        let with = |value| begun.iter().map(move |values: &Vec<_>| [values.as_slice(), &[value]].concat());
        values.iter().flat_map(|value| with(*value)).collect()
    })
}

fn made<T>(made: prometheus::Result<T>) -> T {
    made.unwrap_or_else(|error| unreachable!("the table of metrics is consistent: {error}"))
}

/// Counts how work of one kind ends.
#[derive(Debug, Clone)]
pub struct Outcomes(pub(super) IntCounterVec);

impl Outcomes {
    /// Counts what becomes of the work: `name` names an error, and what is dropped counts as abandoned.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn counted<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        name: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        observe(work, name, |outcome| self.0.with_label_values(&[outcome]).inc()).await
    }
}

/// Counts calls to the stores, by operation and outcome, and times them.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    pub(super) outcomes: IntCounterVec,
    pub(super) durations: HistogramVec,
}

impl CallMetrics {
    /// Counts and times a call: `name` names an error, and what is dropped counts as abandoned.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn counted<T, E>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, E>>,
        name: impl FnOnce(&E) -> &'static str,
    ) -> Result<T, E> {
        let started = Instant::now();
        let count = |outcome| {
            self.outcomes.with_label_values(&[operation, outcome]).inc();
            self.durations.with_label_values(&[operation]).observe(started.elapsed().as_secs_f64());
        };
        observe(call, name, count).await
    }
}

/// Does the work, and tells its outcome once, also where it is dropped.
async fn observe<T, E>(
    work: impl Future<Output = Result<T, E>>,
    name: impl FnOnce(&E) -> &'static str,
    tell: impl Fn(&'static str),
) -> Result<T, E> {
    let mut ending = OutcomeGuard { outcome: ABANDONED, tell };
    let outcome = work.await;
    ending.outcome = outcome.as_ref().err().map_or(SUCCEEDED, name);
    outcome
}

struct OutcomeGuard<F: Fn(&'static str)> {
    outcome: &'static str,
    tell: F,
}

impl<F: Fn(&'static str)> Drop for OutcomeGuard<F> {
    fn drop(&mut self) {
        (self.tell)(self.outcome);
    }
}
