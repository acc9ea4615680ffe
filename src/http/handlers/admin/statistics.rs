//! Statistics, for administrators.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use time::{Duration, OffsetDateTime};

use super::{
    page_memory::{HOUR_BYTES, PageMemory},
    parameters::time,
};
use crate::{
    accounts::HourOfStatistics,
    clock::rfc3339,
    http::{admin_caller::AdminCaller, context::Context, error::ApiError, query::Query, response::JsonText},
    model::Statistic,
};

/// The most hours of a response: 31 days.
const MAX_HOURS: i64 = 31 * 24;

/// The hours of a response, unless the client asks for others.
const DEFAULT_HOURS: i64 = 24;

/// The response.
#[derive(Serialize)]
struct StatisticsView {
    hours: Vec<HourView>,
    estimated_users: Option<u64>,
}

/// The statistics of an hour.
struct HourView(HourOfStatistics);

impl Serialize for HourView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + Statistic::ALL.len()))?;
        map.serialize_entry("hour", &rfc3339(self.0.hour))?;
        for statistic in Statistic::ALL {
            map.serialize_entry(statistic.name(), &self.0.events(statistic))?;
        }
        map.end()
    }
}

/// `GET /admin/api/statistics/`
pub async fn show(context: Context, _: AdminCaller, mut query: Query) -> Result<JsonText, ApiError> {
    let (from, until) = period(&mut query, context.user_admin.clock.now());
    let (from, until) = query.finish((from, until))?;
    let count = usize::try_from((until - from).whole_hours()).unwrap_or(usize::MAX);
    let memory = PageMemory::reserve(&context, count, HOUR_BYTES)?;
    let hours = context.user_admin.statistics((from, until), &context.call.time).await?;
    let estimated_users = context.user_admin.estimated_users(&context.call.time).await?;
    Ok(memory.json(&StatisticsView { hours: hours.into_iter().map(HourView).collect(), estimated_users }))
}

/// Takes the period: `from` is rounded down to a whole hour, and `until` up.
fn period(query: &mut Query, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    let until = time(query, "until").map_or_else(|| next_hour(now), rounded_up);
    let from = time(query, "from").map_or_else(|| day_before(until), rounded_down);
    if from >= until {
        query.add_error("until", "Expected a time after `from`.");
    } else if until - from > Duration::hours(MAX_HOURS) {
        query.add_error("from", format!("Ensure the period has at most {MAX_HOURS} hours."));
    }
    (from, until)
}

/// Returns the beginning of the period that ends at `until`. There is none in the first hours of the year 0.
fn day_before(until: OffsetDateTime) -> OffsetDateTime {
    let from = until.checked_sub(Duration::hours(DEFAULT_HOURS));
    from.filter(|from| from.year() >= 0).unwrap_or(until)
}

fn rounded_down(time: OffsetDateTime) -> OffsetDateTime {
    let start = time.time().replace_minute(0).and_then(|time| time.replace_second(0));
    let start = start.and_then(|time| time.replace_nanosecond(0));
    start.map_or(time, |start| time.replace_time(start))
}

fn rounded_up(time: OffsetDateTime) -> OffsetDateTime {
    if rounded_down(time) == time { time } else { next_hour(time) }
}

/// Returns the beginning of the next hour, or of the last one that there is.
fn next_hour(time: OffsetDateTime) -> OffsetDateTime {
    let hour = rounded_down(time);
    hour.checked_add(Duration::HOUR).unwrap_or(hour)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::parameters::finished, *};

    fn parsed(query: &str) -> Result<(OffsetDateTime, OffsetDateTime), Vec<String>> {
        let mut query = Query::parse(query);
        let period = period(&mut query, datetime!(2027-01-15 12:34:56.7 UTC));
        finished(query, period)
    }

    #[test]
    fn period_has_whole_hours() {
        let noon = datetime!(2027-01-15 12:00 UTC);
        let hours = Duration::hours;
        for (query, expected) in [
            ("", (noon - hours(23), noon + hours(1))),
            ("from=2027-01-15T10:59:59.999Z", (noon - hours(2), noon + hours(1))),
            ("until=2027-01-15T12:00:00Z", (noon - hours(24), noon)),
            ("until=2027-01-15T12:00:00.001Z", (noon - hours(23), noon + hours(1))),
            ("from=2027-01-15T12:10:00Z&until=2027-01-15T12:20:00Z", (noon, noon + hours(1))),
            ("from=2027-01-15T14:00:00%2B02:00&until=2027-01-15T13:00:00Z", (noon, noon + hours(1))),
            ("from=2026-12-15T12:00:00Z&until=2027-01-15T12:00:00Z", (noon - hours(744), noon)),
        ] {
            assert_eq!(parsed(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn empty_and_long_periods_are_errors() {
        for (query, field) in [
            ("from=2027-01-15T13:00:00Z", "until"),
            ("from=2027-01-15T12:00:00Z&until=2027-01-15T12:00:00Z", "until"),
            ("from=2026-12-15T11:59:59Z&until=2027-01-15T12:00:00Z", "from"),
            ("from=0000-01-01T00:00:00Z", "from"),
            ("until=0000-01-01T12:00:00Z", "until"),
            ("until=9999-12-31T23:59:59Z&from=0000-01-01T00:00:00Z", "from"),
        ] {
            assert_eq!(parsed(query).expect_err(query), [field], "{query}");
        }
    }
}
