//! Errors of stores.

/// Something broke. Expected outcomes are values of the methods above.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, refuses, or does not answer in time: whether a write took place is not known.
    #[error("{store} is unavailable: {reason}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What happened; for the log.
        reason: String,
    },
    /// The store answers something that we never wrote.
    #[error("{store} holds something that cannot be read: {reason}")]
    Corrupt {
        /// Which store.
        store: &'static str,
        /// What is wrong with it; for the log, never with its content.
        reason: String,
    },
}

impl StoreError {
    /// Its name among the outcomes that metrics count.
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
