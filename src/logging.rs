//! The log: structured lines on standard error.

use std::{fmt, io, io::IsTerminal as _, panic, str::FromStr};

use tracing::{Level, Subscriber, enabled, error};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use crate::{
    audit::LOG_TARGET,
    model::{ControlEscape, escape_control},
};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[must_use]
    pub fn for_standard_error() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json".to_owned()),
        }
    }
}

/// Starts the log.
///
/// The level is that of our own lines. Libraries say `info` at the most: below that, they may print what they carry. The
/// lines of the audit trail are written at every level but `off`.
pub fn start(level: LevelFilter, format: LogFormat) {
    subscriber(level, format, io::stderr).init();
}

/// From now on a panic says where it was: in the log, or on standard error where there is none.
pub fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        // What a panic says may hold what it was about: the place is enough to find it.
        let place = panic.location().map(ToString::to_string);
        if enabled!(Level::ERROR) {
            error!(place, "a thread panicked");
        } else {
            eprintln!("postern: a thread panicked at {}", place.unwrap_or_default());
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

/// Makes writers that write an event as one line without control characters. An error may hold what somebody else has
/// said, a store for one, and the formats leave some of that as it is: the text a line feed, the JSON a U+009B.
struct OneLine<W>(W);

impl<'writer, W: MakeWriter<'writer>> MakeWriter<'writer> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    /// Takes an event, which comes as a whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escape_control(line, ControlEscape::Json);
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::{subscriber::with_default, warn};

    use parking_lot::Mutex;

    use super::*;

    /// Everything that a terminal or a reader of lines may take for more than a character, and what JSON has to escape.
    const HOSTILE: &str =
        "a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2Jb\u{9b}31mc\u{2028}d\u{2029}e\u{85}f\0g\u{7f}\"h\\i\tj\u{7}";

    /// Where tests log to.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn of(format: LogFormat, what: impl FnOnce()) -> String {
            let log = Self::default();
            let writer = log.clone();
            with_default(subscriber(LevelFilter::TRACE, format, move || writer.clone()), what);
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
    fn an_event_is_one_harmless_line_whatever_it_holds() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::of(format, || {
                let error = io::Error::other(HOSTILE);
                warn!(target: "postern", %error, quoted = ?error, text = HOSTILE, "said: {HOSTILE}");
            });

            let line = log.strip_suffix('\n').expect("a line");
            let is_more_than_a_character = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
            assert!(!line.contains(is_more_than_a_character), "{line:?}");
            assert_eq!(line.matches("forged").count(), 4, "nothing is left out: {line}");
        }
    }

    #[test]
    fn what_json_holds_is_what_was_logged() {
        let log = Log::of(LogFormat::Json, || warn!(target: "postern", error = %HOSTILE, "{HOSTILE}"));

        let line: serde_json::Value = serde_json::from_str(&log).expect("JSON");

        assert_eq!((&line["error"], &line["message"]), (&HOSTILE.into(), &HOSTILE.into()));
    }

    #[test]
    fn a_panic_says_where_it_was_and_not_what_it_was_about() {
        report_panics();
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = Log::of(format, || drop(panic::catch_unwind(|| panic!("with hunter2 in it"))));

            assert_eq!(log.lines().count(), 1, "{log}");
            assert!(log.contains("a thread panicked") && log.contains("src/logging.rs:"), "{log}");
            assert!(!log.contains("hunter2"), "{log}");
        }
    }

    #[test]
    fn libraries_say_info_at_the_most() {
        let log = Log::of(LogFormat::Text, || {
            tracing::debug!(target: "hyper", "with hunter2 in it");
            tracing::trace!(target: "postern::server", "ours");
        });

        assert!(log.contains("ours") && !log.contains("hunter2"), "{log}");
    }
}
