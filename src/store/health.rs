//! The state that a store reports.

use ::time::OffsetDateTime;

/// The response of a store to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// The store's current time.
    pub clock: OffsetDateTime,
    /// A problem with the store's settings, as a clause for the log.
    pub warning: Option<String>,
}
