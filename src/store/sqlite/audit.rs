//! Audit events in SQLite.

use async_trait::async_trait;
use rusqlite::{Params, Row, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    error::STORE,
    store::{SqliteStore, execute},
};
use crate::{
    clock::{from_unix_ms, unix_ms},
    model::{
        AuditEvent, AuditOrigin, AuditSubject, DisplayText, EventId, EventKind, EventPage, EventPageQuery, EventQuery,
        HourlyCount, SessionId, UserId,
    },
    store::{
        AuditReader, AuditStore, StoreError, TimeBudget,
        columns::{known_event_kinds, read_event_kind},
    },
};

const APPEND: &str = include_str!("../../../sql/sqlite/queries/audit.append.sql");
const LIST: &str = include_str!("../../../sql/sqlite/queries/audit.list.sql");
const OF_USER: &str = include_str!("../../../sql/sqlite/queries/audit.of_user.sql");
const PRUNE: &str = include_str!("../../../sql/sqlite/queries/audit.prune.sql");

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        let events = events.to_vec();
        let write = move |transaction: &Transaction<'_>| {
            events.iter().try_for_each(|event| append(transaction, event).map(drop))
        };
        self.write(time, write).await
    }

    async fn list(&self, query: &EventQuery, time: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError> {
        let query = query.clone();
        self.read(time, move |transaction| list(transaction, &query)).await
    }

    async fn of_user(
        &self,
        user: UserId,
        before: Option<EventId>,
        limit: u32,
        time: &TimeBudget,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let before = before.map_or(Uuid::max(), |before| before.0);
        let read = move |transaction: &Transaction<'_>| {
            let (user, before) = (user.0.as_bytes(), before.as_bytes());
            find(
                transaction,
                OF_USER,
                named_params! {":user_id": user, ":before": before, ":limit": limit, ":kinds": known_event_kinds()},
            )
        };
        self.read(time, read).await
    }

    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError> {
        let write = move |transaction: &Transaction<'_>| {
            execute(transaction, PRUNE, named_params! {":before": before.0.as_bytes(), ":limit": limit})
        };
        self.write(time, write).await
    }
}

#[async_trait]
impl AuditReader for SqliteStore {
    async fn page(&self, _query: &EventPageQuery, _time: &TimeBudget) -> Result<EventPage, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }

    async fn statistics(
        &self,
        _from: OffsetDateTime,
        _until: OffsetDateTime,
        _time: &TimeBudget,
    ) -> Result<Vec<HourlyCount>, StoreError> {
        Err(StoreError::unavailable(STORE, "not implemented"))
    }
}

/// Returns the number of inserted events: 0 if one with this id is stored.
pub(super) fn append(transaction: &Transaction<'_>, event: &AuditEvent) -> Result<u64, StoreError> {
    let AuditEvent { id, at, kind, subject, origin } = event;
    let params = named_params! {
        ":id": id.0.as_bytes(),
        ":at": unix_ms(*at),
        ":event": kind.name(),
        ":user_id": subject.user.map(|user| *user.0.as_bytes()),
        ":session_id": subject.session.map(|session| *session.0.as_bytes()),
        ":address": origin.address.map(|address| address.to_string()),
        ":user_agent": origin.user_agent.as_ref().map(DisplayText::as_str),
        ":request_id": origin.request_id,
        ":actor": origin.actor,
        ":detail": subject.detail,
    };
    execute(transaction, APPEND, params)
}

fn list(transaction: &Transaction<'_>, query: &EventQuery) -> Result<Vec<AuditEvent>, StoreError> {
    let params = named_params! {
        ":user_id": query.user.map(|user| *user.0.as_bytes()),
        ":event": query.kind.map(EventKind::name),
        ":since": query.since.map(|since| *EventId::first_at(since).0.as_bytes()),
        ":limit": query.limit,
    };
    find(transaction, LIST, params)
}

fn find(transaction: &Transaction<'_>, query: &str, params: impl Params) -> Result<Vec<AuditEvent>, StoreError> {
    let mut statement = transaction.prepare_cached(query)?;
    let rows = statement.query_map(params, |row| Ok(event(row)))?;
    rows.map(|row| row?).collect()
}

fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    let id = |column: &str| row.get(column).map(|bytes: Option<_>| bytes.map(Uuid::from_bytes));
    let (kind, address): (String, Option<String>) = (row.get("event")?, row.get("address")?);
    let address = address.map(|address| address.parse()).transpose();
    Ok(AuditEvent {
        id: EventId(row.get("id").map(Uuid::from_bytes)?),
        at: from_unix_ms(row.get("at")?).ok_or_else(|| StoreError::corrupt(STORE, "time out of range"))?,
        kind: read_event_kind(STORE, &kind)?,
        subject: AuditSubject {
            user: id("user_id")?.map(UserId),
            session: id("session_id")?.map(SessionId),
            detail: row.get("detail")?,
        },
        origin: AuditOrigin {
            address: address.map_err(|error| StoreError::corrupt(STORE, &error))?,
            user_agent: row.get::<_, Option<String>>("user_agent")?.as_deref().map(DisplayText::cleaned),
            request_id: row.get("request_id")?,
            actor: row.get("actor")?,
        },
    })
}
