//! Parameters of several endpoints of the admin API.

use time::OffsetDateTime;

use crate::{clock::parse_rfc3339, http::query::Query, model::MAX_PAGE};

/// The number of items on a page, unless the client asks for another.
const DEFAULT_LIMIT: u32 = 50;

/// Takes the maximum number of items on a page.
pub fn limit(query: &mut Query) -> u32 {
    query.number("limit", 1..=MAX_PAGE).unwrap_or(DEFAULT_LIMIT)
}

/// Takes a time.
pub fn time(query: &mut Query, name: &'static str) -> Option<OffsetDateTime> {
    query.optional(name, |text| parse_rfc3339(text).ok_or("Enter a time as in 2026-03-01T04:10:30Z."))
}

/// Returns what was taken, or the names of the invalid parameters.
#[cfg(test)]
pub fn finished<T>(query: Query, taken: T) -> Result<T, Vec<String>> {
    query.finish(taken).map_err(|error| match error {
        crate::http::error::ApiError::ValidationFailed(errors) => {
            let errors = serde_json::json!(errors);
            errors.as_object().map(|errors| errors.keys().cloned().collect()).unwrap_or_default()
        }
        error => panic!("{error:?}"),
    })
}
