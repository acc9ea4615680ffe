//! The log: structured lines on standard error.

use std::{fmt, io, io::IsTerminal as _, panic, str::FromStr};

use tracing::error;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::audit::LOG_TARGET;

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

/// Starts the log. A panic is written to it like everything else.
///
/// The level is that of our own lines. Libraries say `info` at the most: below that, they may print what they carry. The
/// lines of the audit trail are written at every level but `off`.
pub fn start(level: LevelFilter, format: LogFormat) {
    let audit = if level == LevelFilter::OFF { level } else { LevelFilter::INFO };
    let filter = Targets::new().with_target("postern", level).with_target(LOG_TARGET, audit);
    let filter = filter.with_default(level.min(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        // What a panic says may hold what it was about: the place is enough to find it.
        error!(place, "a thread panicked");
    }));
}
