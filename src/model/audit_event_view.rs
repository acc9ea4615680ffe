//! Audit events, as the command line and the admin API show them.

use serde::Serialize;

use super::{audit_event::AuditEvent, display_text::DisplayText};
use crate::clock::rfc3339;

/// An event as JSON.
#[derive(Debug, Serialize)]
pub struct AuditEventView<'event> {
    /// The id.
    pub id: String,
    /// The time (RFC 3339, whole seconds).
    pub at: String,
    /// The name of the kind.
    pub event: &'static str,
    /// The id of the user.
    pub user: Option<String>,
    /// The id of the session.
    pub session: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// The client's user agent.
    pub user_agent: Option<&'event str>,
    /// The id of the request.
    pub request_id: Option<&'event str>,
    /// Who caused the event, if not its user.
    pub actor: Option<&'event str>,
    /// More about the event.
    pub detail: Option<&'event str>,
}

impl<'event> From<&'event AuditEvent> for AuditEventView<'event> {
    fn from(AuditEvent { id, at, kind, subject, origin }: &'event AuditEvent) -> Self {
        Self {
            id: id.0.to_string(),
            at: rfc3339(*at),
            event: kind.name(),
            user: subject.user.map(|user| user.to_string()),
            session: subject.session.map(|session| session.to_string()),
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.as_ref().map(DisplayText::as_str),
            request_id: origin.request_id.as_deref(),
            actor: origin.actor.as_deref(),
            detail: subject.detail.as_deref(),
        }
    }
}
