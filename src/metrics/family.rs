//! What the definition of a metric consists of.

/// The definition of a metric.
#[derive(Debug)]
pub struct Family {
    /// The name, with the unit.
    pub name: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The labels.
    pub labels: &'static [Label],
    /// The description, in one line.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug)]
pub enum MetricKind {
    /// A count of events since the start.
    Counter,
    /// A current value.
    Gauge,
    /// A distribution of durations, with the upper bounds of its buckets, in seconds.
    Histogram(&'static [f64]),
}

/// A label. Its number of values has a limit that clients cannot exceed.
#[derive(Debug)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// The possible values.
    pub values: LabelValues,
}

/// The possible values of a label.
#[derive(Debug)]
pub enum LabelValues {
    /// These values. A series for each exists from the start.
    Listed(&'static [&'static str]),
    /// Values described in words.
    Described(&'static str),
}

pub(super) const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Counter, labels, help }
}

pub(super) const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Gauge, labels, help }
}

pub(super) const fn histogram(
    name: &'static str,
    bounds: &'static [f64],
    labels: &'static [Label],
    help: &'static str,
) -> Family {
    Family { name, kind: MetricKind::Histogram(bounds), labels, help }
}

pub(super) const fn listed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: LabelValues::Listed(values) }
}

pub(super) const fn described(name: &'static str, values: &'static str) -> Label {
    Label { name, values: LabelValues::Described(values) }
}
