//! The context of a call of a use case: client, request and time budget.

use crate::{
    model::{AuditOrigin, Client},
    store::TimeBudget,
};

/// The client, the request and the time budget of a call.
#[derive(Debug)]
pub struct CallContext {
    /// The client that sent the request.
    pub client: Client,
    /// The id of the request: 1 to 128 characters of `[A-Za-z0-9._-]`.
    pub request_id: String,
    /// The time that the store calls of this request may take together.
    pub time: TimeBudget,
}

impl From<&CallContext> for AuditOrigin {
    fn from(call: &CallContext) -> Self {
        Self::request(&call.client, &call.request_id)
    }
}
