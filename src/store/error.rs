//! The error of store calls.

/// A store call that failed. Expected outcomes are not errors, but values that the store traits return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, returned an error, or did not respond in time. It is unknown whether a write took
    /// effect.
    #[error("{store} is unavailable: {reason}")]
    Unavailable {
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
            Self::Corrupt { .. } => "corrupt",
        }
    }

    pub(super) fn unavailable(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Unavailable { store, reason: reason.to_string() }
    }

    pub(super) fn corrupt(store: &'static str, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { store, reason: reason.to_string() }
    }
}
