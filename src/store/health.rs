//! The state that a store reports.

use ::time::OffsetDateTime;

/// What a store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// The time by its clock.
    pub clock: OffsetDateTime,
    /// What is amiss with its settings, as a sentence for the log.
    pub warning: Option<String>,
}
