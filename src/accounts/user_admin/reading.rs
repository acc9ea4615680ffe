//! Audit events and statistics, for administrators.

use std::iter;

use time::{Duration, OffsetDateTime};

use super::{error::UserAdminError, service::UserAdmin};
use crate::{
    model::{EventPage, EventPageQuery, HourlyCount, Statistic},
    store::TimeBudget,
};

/// The statistics of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourOfStatistics {
    /// The beginning of the hour.
    pub hour: OffsetDateTime,
    counts: Vec<HourlyCount>,
}

impl HourOfStatistics {
    /// Returns the number of events.
    #[must_use]
    pub fn events(&self, statistic: Statistic) -> u64 {
        self.counts.iter().find(|count| count.statistic == statistic).map_or(0, |count| count.events)
    }
}

impl UserAdmin {
    /// Returns a page of audit events, newest first.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the audit store fails.
    pub async fn audit_events(&self, query: &EventPageQuery, time: &TimeBudget) -> Result<EventPage, UserAdminError> {
        Ok(self.events.page(query, time).await?)
    }

    /// Returns the statistics of each hour that begins at `from` or later and before `until`; both are whole hours.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the audit store fails.
    pub async fn statistics(
        &self,
        (from, until): (OffsetDateTime, OffsetDateTime),
        time: &TimeBudget,
    ) -> Result<Vec<HourOfStatistics>, UserAdminError> {
        let counts = self.events.statistics(from, until, time).await?;
        // They are in the order of the hours.
        let mut counts = counts.into_iter().peekable();
        let mut hours = Vec::new();
        let mut hour = from;
        while hour < until {
            let of_hour = iter::from_fn(|| counts.next_if(|count| count.hour == hour)).collect();
            hours.push(HourOfStatistics { hour, counts: of_hour });
            hour += Duration::HOUR;
        }
        Ok(hours)
    }

    /// Returns about how many users there are, if the store has an estimate.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the user store fails.
    pub async fn estimated_users(&self, time: &TimeBudget) -> Result<Option<u64>, UserAdminError> {
        Ok(self.directory.estimated_users(time).await?)
    }
}
