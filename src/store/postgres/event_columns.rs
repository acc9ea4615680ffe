//! Audit events as the arrays from which statements insert them.

use std::net::IpAddr;

use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::model::{AuditEvent, DisplayText};

/// The columns of events: one array for each, in the order of the table.
pub(super) struct EventColumns<'events> {
    ids: Vec<Uuid>,
    times: Vec<OffsetDateTime>,
    kinds: Vec<&'static str>,
    users: Vec<Option<Uuid>>,
    sessions: Vec<Option<Uuid>>,
    addresses: Vec<Option<IpAddr>>,
    user_agents: Vec<Option<&'events str>>,
    request_ids: Vec<Option<&'events str>>,
    actors: Vec<Option<&'events str>>,
    details: Vec<Option<&'events str>>,
}

impl<'events> EventColumns<'events> {
    pub(super) fn of(events: &'events [AuditEvent]) -> Self {
        Self {
            ids: values(events, |event| event.id.0),
            times: values(events, |event| event.at),
            kinds: values(events, |event| event.kind.name()),
            users: values(events, |event| event.subject.user.map(|user| user.0)),
            sessions: values(events, |event| event.subject.session.map(|session| session.0)),
            addresses: values(events, |event| event.origin.address),
            user_agents: values(events, |event| event.origin.user_agent.as_ref().map(DisplayText::as_str)),
            request_ids: values(events, |event| event.origin.request_id.as_deref()),
            actors: values(events, |event| event.origin.actor.as_deref()),
            details: values(events, |event| event.subject.detail.as_deref()),
        }
    }

    /// Returns the parameters of a statement.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 10] {
        let Self { ids, times, kinds, users, sessions, addresses, user_agents, request_ids, actors, details } = self;
        [ids, times, kinds, users, sessions, addresses, user_agents, request_ids, actors, details]
    }
}

fn values<'events, T>(events: &'events [AuditEvent], value: impl Fn(&'events AuditEvent) -> T) -> Vec<T> {
    events.iter().map(value).collect()
}
