//! The declaration of a setting: name, default, bounds, help and parser.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use bytesize::ByteSize;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::model::{escape_invisible, is_plain};

/// A setting without the type of its values.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// The default, in words if it depends on something.
    pub default: &'static str,
    /// Whether the value is never printed. A secret has no flag: other users of the machine can read a command line.
    pub is_secret: bool,
    /// Whether the value is a list, whose commas may have white space around them, line breaks included.
    is_list: bool,
    description: &'static str,
    bounds: Option<Bounds>,
}

/// The bounds of a setting, both included, in the syntax of its values.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    min: &'static str,
    max: &'static str,
}

const NOT_PLAIN: &str = "UTF-8 text without line breaks and other control or invisible characters";

/// Declares a setting.
pub(super) const fn setting(name: &'static str, default: &'static str, description: &'static str) -> Setting {
    Setting { name, default, is_secret: false, is_list: false, description, bounds: None }
}

/// Declares a setting that is never printed.
pub(super) const fn secret(name: &'static str, default: &'static str, description: &'static str) -> Setting {
    Setting { is_secret: true, ..setting(name, default, description) }
}

impl Setting {
    /// Returns the flag without its dashes: `listen` for `POSTERN_LISTEN`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.trim_start_matches("POSTERN_").to_ascii_lowercase().replace('_', "-")
    }

    /// Returns the description with the bounds.
    #[must_use]
    pub fn help(&self) -> String {
        match self.bounds {
            Some(Bounds { min, max }) => format!("{} ({min} to {max})", self.description),
            None => self.description.to_owned(),
        }
    }

    /// Entries that are separated by commas.
    pub(super) const fn list(self) -> Self {
        Self { is_list: true, ..self }
    }

    /// Returns whether the value has neither control nor invisible characters.
    fn is_plain(&self, text: &str) -> bool {
        if self.is_list { text.split(',').all(|entry| is_plain(entry.trim())) } else { is_plain(text) }
    }

    /// Values that this function parses. Its error completes the sentence "expected …".
    pub(super) const fn parsed_by<T>(self, parse: fn(&Self, &str) -> Result<T, String>) -> TypedSetting<T> {
        TypedSetting { setting: self, parse }
    }

    /// Values of a type that parses itself. Its error completes the sentence "expected …".
    pub(super) const fn parsed<T: FromStr<Err = String>>(self) -> TypedSetting<T> {
        self.parsed_by(|_, text| text.parse())
    }

    pub(super) const fn text(self) -> TypedSetting<String> {
        self.parsed_by(|_, text| Ok(text.to_owned()))
    }

    pub(super) const fn path(self) -> TypedSetting<PathBuf> {
        self.parsed_by(|_, text| Ok(PathBuf::from(text)))
    }

    pub(super) const fn address(self) -> TypedSetting<SocketAddr> {
        self.parsed_by(|setting, text| {
            text.parse().map_err(|_| format!("an address and a port, such as {}", setting.default))
        })
    }

    pub(super) const fn switch(self) -> TypedSetting<bool> {
        self.parsed_by(|_, text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("on or off".to_owned()),
        })
    }

    pub(super) const fn count<T: FromStr + PartialOrd>(self, min: &'static str, max: &'static str) -> TypedSetting<T> {
        self.between(min, max)
            .parsed_by(|setting, text| setting.parse_within("a whole number", text, |text| text.parse().ok()))
    }

    pub(super) const fn size(self, min: &'static str, max: &'static str) -> TypedSetting<ByteSize> {
        self.between(min, max).parsed_by(|setting, text| setting.parse_within("a size", text, |text| text.parse().ok()))
    }

    pub(super) const fn duration(self, min: &'static str, max: &'static str) -> TypedSetting<Duration> {
        self.between(min, max).parsed_by(Self::parse_duration)
    }

    /// Parses a duration, or `none`.
    pub(super) const fn optional_duration(
        self,
        min: &'static str,
        max: &'static str,
    ) -> TypedSetting<Option<Duration>> {
        self.between(min, max).parsed_by(|setting, text| match text {
            "none" => Ok(None),
            text => setting.parse_duration(text).map(Some).map_err(|expected| format!("none or {expected}")),
        })
    }

    /// Parses a date, which begins at 00:00 UTC, a time (RFC 3339), or `none`.
    pub(super) const fn optional_time(self) -> TypedSetting<Option<OffsetDateTime>> {
        self.parsed_by(|_, text| match text {
            "none" => Ok(None),
            text => {
                let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
                let time = date.map(|date| date.midnight().assume_utc());
                let time = time.or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok());
                time.map(Some)
                    .ok_or_else(|| "none, a date such as 2027-06-30, or a time such as 2027-06-30T12:00:00Z".to_owned())
            }
        })
    }

    const fn between(self, min: &'static str, max: &'static str) -> Self {
        Self { bounds: Some(Bounds { min, max }), ..self }
    }

    fn parse_duration(&self, text: &str) -> Result<Duration, String> {
        self.parse_within("a duration", text, |text| humantime::parse_duration(text).ok())
    }

    fn parse_within<T, P>(&self, noun: &str, text: &str, parse: P) -> Result<T, String>
    where
        T: PartialOrd,
        P: Fn(&str) -> Option<T>,
    {
        let Some(Bounds { min, max }) = self.bounds else { unreachable!("{} has bounds", self.name) };
        let bound = |text| parse(text).unwrap_or_else(|| unreachable!("{}: {text} is a valid bound", self.name));
        let value = parse(text).filter(|value| (bound(min)..=bound(max)).contains(value));
        value.ok_or_else(|| format!("{noun} between {min} and {max}"))
    }
}

/// A setting with the parser of its values.
pub(super) struct TypedSetting<T> {
    pub setting: Setting,
    parse: fn(&Setting, &str) -> Result<T, String>,
}

impl<T> TypedSetting<T> {
    /// Parses a value.
    ///
    /// # Errors
    /// Returns the error if the value is invalid, without the value if it is a secret.
    pub fn parse(&self, text: &str) -> Result<T, ConfigError> {
        let plain = if self.setting.is_plain(text) { Ok(text) } else { Err(NOT_PLAIN.to_owned()) };
        plain.and_then(|text| (self.parse)(&self.setting, text)).map_err(|expected| {
            let quoted = if self.setting.is_secret { String::new() } else { format!(" `{}`", escape_invisible(text)) };
            self.error(format!("invalid value{quoted}: expected {expected}"))
        })
    }

    /// Returns the default, which must be a value and not a description.
    pub fn default_value(&self) -> T {
        self.parse(self.setting.default).unwrap_or_else(|error| unreachable!("the default is valid: {error}"))
    }

    pub fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError { name: self.setting.name, message: message.into() }
    }
}

/// An invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The name of the setting.
    pub name: &'static str,
    /// The invalid value and the expected values.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.message)
    }
}
