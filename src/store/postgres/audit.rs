//! Audit events in PostgreSQL.

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{error::STORE, event_columns::EventColumns, rows::column, store::PostgresStore};
use crate::{
    model::{
        AuditEvent, AuditOrigin, AuditSubject, DisplayText, EventId, EventKind, EventPage, EventPageQuery, EventQuery,
        HourlyCount, SessionId, UserId,
    },
    store::{
        AuditReader, AuditStore, StoreError, TimeBudget,
        columns::{known_event_kinds, read_event_kind},
    },
};

const APPEND: &str = include_str!("../../../sql/postgres/queries/audit.append.sql");
const LIST: &str = include_str!("../../../sql/postgres/queries/audit.list.sql");
const OF_USER: &str = include_str!("../../../sql/postgres/queries/audit.of_user.sql");
const PRUNE: &str = include_str!("../../../sql/postgres/queries/audit.prune.sql");

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        let columns = EventColumns::of(events);
        self.access.query_idempotent(APPEND, &columns.params(), time).await.map(drop)
    }

    async fn list(&self, query: &EventQuery, time: &TimeBudget) -> Result<Vec<AuditEvent>, StoreError> {
        let (user, kind) = (query.user.map(|user| user.0), query.kind.map(EventKind::name));
        let since = query.since.map(|since| EventId::first_at(since).0);
        self.access
            .query_idempotent(LIST, &[&user, &kind, &since, &i64::from(query.limit)], time)
            .await?
            .iter()
            .map(event)
            .collect()
    }

    async fn of_user(
        &self,
        user: UserId,
        before: Option<EventId>,
        limit: u32,
        time: &TimeBudget,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let before = before.map_or(Uuid::max(), |before| before.0);
        let rows = self
            .access
            .query_idempotent(OF_USER, &[&user.0, &before, &i64::from(limit), &known_event_kinds()], time)
            .await?;
        rows.iter().map(event).collect()
    }

    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError> {
        let rows = self.access.query(PRUNE, &[&before.0, &i64::from(limit)], time).await?;
        let events: i64 = rows.first().map_or(Ok(0), |row| column(row, "events"))?;
        Ok(events.unsigned_abs())
    }
}

#[async_trait]
impl AuditReader for PostgresStore {
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

fn event(row: &Row) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        id: EventId(column(row, "id")?),
        at: column(row, "at")?,
        kind: read_event_kind(STORE, column(row, "event")?)?,
        subject: AuditSubject {
            user: column::<Option<Uuid>>(row, "user_id")?.map(UserId),
            session: column::<Option<Uuid>>(row, "session_id")?.map(SessionId),
            detail: column(row, "detail")?,
        },
        origin: AuditOrigin {
            address: column(row, "address")?,
            user_agent: column::<Option<&str>>(row, "user_agent")?.map(DisplayText::cleaned),
            request_id: column(row, "request_id")?,
            actor: column(row, "actor")?,
        },
    })
}
