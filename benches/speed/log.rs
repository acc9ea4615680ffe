//! Compares a line of the log with its formatting alone: the difference is what the queue costs the thread that logs.

use std::{fs::OpenOptions, io};

use criterion::Criterion;
use postern::logging::{LogFormat, REQUEST_TARGET, to_file};
use tracing::{Dispatch, dispatcher::with_default, info};
use tracing_subscriber::{filter::LevelFilter, fmt, layer::SubscriberExt as _, registry};

use crate::comparison::{Group, timed};

pub fn measure(criterion: &mut Criterion) {
    let null = OpenOptions::new().write(true).open("/dev/null").expect("a device");
    let log = Dispatch::new(to_file(LevelFilter::INFO, LogFormat::Json, null).expect("a thread"));
    let sink = fmt::layer().with_writer(io::sink).with_target(false).json().flatten_event(true);
    let formatting = Dispatch::new(registry().with(LevelFilter::INFO).with(sink));
    let mut group = Group::new(criterion, "log");
    let (mut logged, mut formatted) = (timed(log_request), timed(log_request));
    group.measure(
        ["line of a request", "formatting"],
        |runs| with_default(&log, || logged(runs)),
        |runs| with_default(&formatting, || formatted(runs)),
    );
    group.print();
}

/// Logs a request as the service does.
fn log_request() {
    let (id, method, route, status, duration_ms) =
        ("0198c1d2-7a3b-7c4d-8e5f-60718293a4b5", "GET", "/profile/", 200_u16, 0.417_f64);
    let (api_client, code): (Option<&str>, Option<&str>) = (None, None);
    info!(target: REQUEST_TARGET, id, method, route, api_client, status, code, duration_ms, "request");
}
