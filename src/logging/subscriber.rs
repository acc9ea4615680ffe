//! Collects the events, and formats them as lines.

use std::{fs::File, io, panic};

use tracing::{Level, Metadata, Subscriber, enabled, error};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use super::{
    format::LogFormat,
    line_queue::{LineKind, LineQueue},
    one_line::OneLine,
    standard_error::{self, print_error},
};
use crate::audit::LOG_TARGET;

/// Starts the log on standard error, which [`open`](super::open) has opened.
///
/// `level` applies to Postern. Dependencies are capped at `info`, because their more detailed lines may contain secrets.
/// Audit events are written at every level but `off`.
pub fn start(level: LevelFilter, format: LogFormat) {
    subscriber(level, format, Lines(standard_error::queue())).init();
}

/// Returns a log that writes to a file, by a thread of its own as [`start`] does. For `benches/speed/log.rs` only, which
/// compares its cost with that of formatting alone.
///
/// # Errors
/// Returns the operating system's error if there is no thread left.
pub fn to_file(level: LevelFilter, format: LogFormat, file: File) -> io::Result<impl Subscriber + Send + Sync> {
    Ok(subscriber(level, format, Lines(standard_error::start_writer(file)?)))
}

/// Installs a panic hook that writes the location of a panic to the log, or to standard error if the log is off or not started.
/// Neither waits for a reader.
pub fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        // The location only: the message of a panic may contain secrets.
        let location = panic.location().map(ToString::to_string);
        if enabled!(Level::ERROR) {
            error!(location, "a thread panicked");
        } else {
            print_error(&format_args!("a thread panicked at {}", location.unwrap_or_default()));
        }
    }));
}

fn subscriber<W>(level: LevelFilter, format: LogFormat, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let audit = if level == LevelFilter::OFF { level } else { LevelFilter::INFO };
    let filter = Targets::new().with_target("postern", level).with_target(LOG_TARGET, audit);
    let filter = filter.with_default(level.min(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(OneLine(writer)).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(filter).with(lines)
}

/// Adds each event to a queue.
struct Lines(&'static LineQueue);

/// Adds an event of this kind to a queue.
struct LineOf(LineKind, &'static LineQueue);

impl MakeWriter<'_> for Lines {
    type Writer = LineOf;

    fn make_writer(&self) -> LineOf {
        LineOf(LineKind::Server, self.0)
    }

    fn make_writer_for(&self, event: &Metadata<'_>) -> LineOf {
        LineOf(LineKind::of(event), self.0)
    }
}

impl io::Write for LineOf {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.1.add(self.0, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::{subscriber::with_default, warn};

    use parking_lot::Mutex;

    use super::*;
    use crate::{
        audit::Trail,
        clock::SystemClock,
        logging::REQUEST_TARGET,
        metrics::Metrics,
        model::{AuditOrigin, EventKind},
    };

    /// Control characters and separators that start a line or control a terminal, and characters that JSON escapes.
    const HOSTILE: &str =
        "a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2Jb\u{9b}31mc\u{2028}d\u{2029}e\u{85}f\0g\u{7f}\"h\\i\tj\u{7}";

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn of(format: LogFormat, run: impl FnOnce()) -> String {
            Self::of_level(LevelFilter::TRACE, format, run)
        }

        fn of_level(level: LevelFilter, format: LogFormat, run: impl FnOnce()) -> String {
            let log = Self::default();
            let writer = log.clone();
            with_default(subscriber(level, format, move || writer.clone()), run);
            let bytes = log.0.lock().clone();
            String::from_utf8(bytes).expect("UTF-8")
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn event_is_one_line_without_control_characters() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::of(format, || {
                let error = io::Error::other(HOSTILE);
                warn!(target: "postern", %error, quoted = ?error, text = HOSTILE, "message: {HOSTILE}");
            });

            let line = log.strip_suffix('\n').expect("a line");
            let is_control = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
            assert!(!line.contains(is_control), "{line:?}");
            assert_eq!(line.matches("forged").count(), 4, "nothing is left out: {line}");
        }
    }

    #[test]
    fn json_line_contains_the_logged_text() {
        let log = Log::of(LogFormat::Json, || warn!(target: "postern", error = %HOSTILE, "{HOSTILE}"));

        let line: serde_json::Value = serde_json::from_str(&log).expect("JSON");

        assert_eq!((&line["error"], &line["message"]), (&HOSTILE.into(), &HOSTILE.into()));
    }

    #[test]
    fn panic_is_logged_with_location_without_message() {
        report_panics();
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::of(format, || drop(panic::catch_unwind(|| panic!("with hunter2 in it"))));

            assert_eq!(log.lines().count(), 1, "{log}");
            assert!(log.contains("a thread panicked") && log.contains("src/logging/subscriber.rs:"), "{log}");
            assert!(!log.contains("hunter2"), "{log}");
        }
    }

    /// Returns how many lines of each kind are dropped if nobody reads the log.
    fn dropped_unread(run: impl FnOnce()) -> [u64; 3] {
        let queue: &LineQueue = Box::leak(Box::new(LineQueue::new()));
        with_default(subscriber(LevelFilter::INFO, LogFormat::Json, Lines(queue)), run);
        queue.dropped().by_name().map(|(_, count)| count)
    }

    #[test]
    fn requests_of_every_level_displace_no_other_line() {
        let cause = "x".repeat(200);

        let [audit, server, request] = dropped_unread(|| {
            for _ in 0..5000 {
                error!(target: REQUEST_TARGET, cause, "request failed");
                warn!(target: REQUEST_TARGET, cause, "request rejected");
            }
            warn!(target: "postern", "ours");
        });

        assert!(audit == 0 && server == 0 && request > 1000, "{audit} {server} {request}");
    }

    #[test]
    fn audit_events_that_cost_nothing_displace_no_others() {
        let (trail, _queue) = Trail::new(Arc::new(SystemClock), Metrics::new("").audit, 100_000);
        for kind in EventKind::ALL.into_iter().filter(|kind| kind.is_free_to_cause()) {
            let [audit, server, request] = dropped_unread(|| {
                for _ in 0..10_000 {
                    trail.record(kind, None, AuditOrigin::server());
                }
                trail.record(EventKind::PasswordChanged, None, AuditOrigin::server());
            });

            assert!(audit == 0 && server == 0 && request > 1000, "{kind}: {audit} {server} {request}");
        }
    }

    #[test]
    fn audit_events_are_logged_at_every_level_but_off() {
        for (level, lines) in [(LevelFilter::ERROR, 2), (LevelFilter::OFF, 0)] {
            let (trail, _queue) = Trail::new(Arc::new(SystemClock), Metrics::new("").audit, 2);
            let log = Log::of_level(level, LogFormat::Json, || {
                trail.record(EventKind::Throttled, None, AuditOrigin::server());
                trail.record(EventKind::Login, None, AuditOrigin::server());
            });

            assert_eq!(log.lines().count(), lines, "{log}");
        }
    }

    #[test]
    fn dependencies_are_capped_at_info() {
        let log = Log::of(LogFormat::Text, || {
            tracing::debug!(target: "hyper", "with hunter2 in it");
            tracing::trace!(target: "postern::server", "ours");
        });

        assert!(log.contains("ours") && !log.contains("hunter2"), "{log}");
    }
}
