//! Creates and registers counters, gauges and histograms by their families.

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};

use super::family::{Family, LabelValues, MetricKind};

/// Creates the instruments of a registry. Each starts with every combination of listed label values: a counter that appears
/// with its first event hides that event from `rate()`.
pub struct Registrar<'registry>(pub(super) &'registry Registry);

impl Registrar<'_> {
    pub(super) fn counter(&self, family: &Family) -> IntCounterVec {
        let counter = expect_valid(IntCounterVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            counter.with_label_values(&values);
        }
        self.register(counter)
    }

    pub(super) fn gauge(&self, family: &Family) -> IntGaugeVec {
        let gauge = expect_valid(IntGaugeVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            gauge.with_label_values(&values);
        }
        self.register(gauge)
    }

    pub(super) fn float_gauge(&self, family: &Family) -> GaugeVec {
        let gauge = expect_valid(GaugeVec::new(options(family), &label_names(family)));
        for values in combinations(family) {
            gauge.with_label_values(&values);
        }
        self.register(gauge)
    }

    pub(super) fn histogram(&self, family: &Family) -> HistogramVec {
        let MetricKind::Histogram(bounds) = family.kind else { unreachable!("{} is a histogram", family.name) };
        let options = HistogramOpts::from(options(family)).buckets(bounds.to_vec());
        let histogram = expect_valid(HistogramVec::new(options, &label_names(family)));
        for values in combinations(family) {
            histogram.with_label_values(&values);
        }
        self.register(histogram)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        expect_valid(self.0.register(Box::new(collector.clone())));
        collector
    }
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn label_names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}

/// Returns every combination of label values, or none if a label's values are not listed.
fn combinations(family: &Family) -> Vec<Vec<&'static str>> {
    family.labels.iter().fold(vec![Vec::new()], |prefixes, label| {
        let LabelValues::Listed(values) = label.values else { return Vec::new() };
        let extend = |value| prefixes.iter().map(move |prefix: &Vec<_>| [prefix.as_slice(), &[value]].concat());
        values.iter().flat_map(|value| extend(*value)).collect()
    })
}

fn expect_valid<T>(result: prometheus::Result<T>) -> T {
    result.unwrap_or_else(|error| unreachable!("the table of metrics is consistent: {error}"))
}
