//! A call of a use case: by whom, and how much time it has.

use crate::{
    model::{AuditOrigin, Client},
    store::TimeBudget,
};

/// What every use case is told beside what it is asked for.
#[derive(Debug)]
pub struct CallContext {
    /// Who asks.
    pub client: Client,
    /// The id of the request: 1 to 128 characters of `[A-Za-z0-9._-]`.
    pub request_id: String,
    /// The time that its store calls may take together.
    pub time: TimeBudget,
}

impl From<&CallContext> for AuditOrigin {
    fn from(call: &CallContext) -> Self {
        Self::request(call.client.address, &call.client.user_agent, &call.request_id)
    }
}
