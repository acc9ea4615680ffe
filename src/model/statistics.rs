//! Statistics: how many events there were in each hour.

use time::OffsetDateTime;

/// What is counted. The kinds of events that count as each are in the table `statistics_of_events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Users who signed up.
    SignUps,
    /// Logins.
    Logins,
    /// Rejected logins.
    LoginFailures,
    /// Sessions that were opened.
    SessionsOpened,
    /// Events that ended sessions; one that ends several counts once.
    SessionsEnded,
}

impl Statistic {
    /// All statistics, in the order of docs/admin-api.md.
    pub const ALL: [Self; 5] =
        [Self::SignUps, Self::Logins, Self::LoginFailures, Self::SessionsOpened, Self::SessionsEnded];

    /// Returns the name in the stores and in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignUps => "sign_ups",
            Self::Logins => "logins",
            Self::LoginFailures => "login_failures",
            Self::SessionsOpened => "sessions_opened",
            Self::SessionsEnded => "sessions_ended",
        }
    }
}

/// The number of events of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourlyCount {
    /// The beginning of the hour.
    pub hour: OffsetDateTime,
    /// What is counted.
    pub statistic: Statistic,
    /// The number: at least 1.
    pub events: u64,
}
