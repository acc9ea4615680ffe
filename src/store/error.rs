//! The error of store calls.

/// A store call that failed. Expected outcomes are not errors, but values that the store traits return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, cannot serve the call now, or did not respond in time. It is unknown whether a write
    /// took effect. A retry may succeed.
    #[error("{store} is unavailable: {reason}")]
    Unavailable {
        /// The name of the store.
        store: &'static str,
        /// The cause, for the log.
        reason: String,
    },
    /// The store rejected a value of the call, which had no effect. A retry with the same value fails again.
    #[error("{store} rejected a value: {reason}")]
    Rejected {
        /// The name of the store.
        store: &'static str,
        /// The cause, for the log; it never contains the value.
        reason: String,
    },
    /// The store rejects the operation, regardless of its values, and it had no effect: for example, a privilege or a table
    /// is missing. A retry fails until an operator has changed that.
    #[error("{store} is misconfigured: {reason}")]
    Misconfigured {
        /// The name of the store.
        store: &'static str,
        /// The cause, for the log.
        reason: String,
    },
    /// The store returned data that Postern does not write.
    #[error("{store} returned invalid data: {reason}")]
    Corrupt {
        /// The name of the store.
        store: &'static str,
        /// The cause, for the log; it never contains the data.
        reason: String,
    },
}

impl StoreError {
    /// Returns the name of the outcome in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Rejected { .. } => "rejected",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    /// Returns whether a retry of the same call may succeed, without a change to the store.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(super) fn unavailable(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Unavailable { store, reason: reason.to_string() }
    }

    pub(super) fn rejected(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Rejected { store, reason: reason.to_string() }
    }

    pub(super) fn misconfigured(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Misconfigured { store, reason: reason.to_string() }
    }

    pub(super) fn corrupt(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { store, reason: reason.to_string() }
    }
}
