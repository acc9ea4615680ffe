//! The values of settings as flags and environment variables give them, not parsed yet.

use std::{collections::HashMap, fmt};

use super::{setting::Setting, settings::SETTINGS};
use crate::model::trimmed;

/// The source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSource {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The default of the setting.
    Default,
}

impl fmt::Display for ValueSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::Default => "default",
        })
    }
}

/// The values that are set, by the name of the setting, without white space and a byte-order mark at their ends. An empty value
/// counts as unset.
#[derive(Default)]
pub struct Values(HashMap<&'static str, (String, ValueSource)>);

impl Values {
    /// Collects the flags, and environment variables for settings without a flag.
    pub fn new(flag: impl Fn(&Setting) -> Option<String>, environment: impl Fn(&str) -> Option<String>) -> Self {
        let value = |setting: &Setting| {
            let flag = flag(setting).map(|text| (text, ValueSource::Flag));
            let environment = || environment(setting.name).map(|text| (text, ValueSource::Environment));
            let (text, source) = flag.or_else(environment)?;
            let text = trimmed(&text);
            (!text.is_empty()).then(|| (setting.name, (text.to_owned(), source)))
        };
        Self(SETTINGS.iter().filter_map(value).collect())
    }

    /// Collects the flags, and the environment variables of the process.
    pub fn of_process(flag: impl Fn(&Setting) -> Option<String>) -> Self {
        // U+FFFD replaces what is not UTF-8, and no setting may contain it.
        #[expect(clippy::disallowed_methods, reason = "the environment is read here only")]
        let environment = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        Self::new(flag, environment)
    }

    /// Returns the value if it is set.
    pub(super) fn get(&self, setting: &Setting) -> Option<&str> {
        self.0.get(setting.name).map(|(text, _)| text.as_str())
    }

    /// Returns the value for people, without a secret, and its source.
    #[must_use]
    pub fn display(&self, setting: &Setting) -> (&str, ValueSource) {
        match self.0.get(setting.name) {
            Some((_, source)) if setting.is_secret => ("(set, not shown)", *source),
            Some((text, source)) => (text, *source),
            None => (setting.default, ValueSource::Default),
        }
    }
}
