//! The setting `POSTERN_LOG_REQUESTS`.

use std::{fmt, str::FromStr};

/// Which requests have a line in the log. Audit events and the lines of the server are logged regardless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLines {
    /// Every request.
    All,
    /// Those with a status of 500 or above, and those that ended without a response: the client may have hung up because
    /// the response took too long.
    Errors,
    /// No request.
    None,
}

impl RequestLines {
    /// Returns whether a request with this status has a line; `None` if it ended without a response.
    #[must_use]
    pub fn include(self, status: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Errors => status.is_none_or(|status| status >= 500),
            Self::None => false,
        }
    }
}

impl fmt::Display for RequestLines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::All => "all",
            Self::Errors => "errors",
            Self::None => "none",
        })
    }
}

impl FromStr for RequestLines {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "all" => Ok(Self::All),
            "errors" => Ok(Self::Errors),
            "none" => Ok(Self::None),
            _ => Err("all, errors or none".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_5xx_and_requests_without_a_response() {
        let statuses = [Some(200), Some(404), Some(499), Some(500), Some(503), None];

        let included = |lines: RequestLines| statuses.map(|status| lines.include(status));

        assert_eq!(included(RequestLines::All), [true; 6]);
        assert_eq!(included(RequestLines::Errors), [false, false, false, true, true, true]);
        assert_eq!(included(RequestLines::None), [false; 6]);
    }
}
