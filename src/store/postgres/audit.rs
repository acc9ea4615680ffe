//! Audit events in PostgreSQL.

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use super::{
    error::STORE,
    event_columns::EventColumns,
    rows::{column, timestamp},
    store::PostgresStore,
};
use crate::{
    model::{
        AuditEvent, AuditOrigin, AuditSubject, DisplayText, EventId, EventPage, EventPageQuery, HourlyCount, SessionId,
        UserId,
    },
    store::{
        AuditReader, AuditStore, StoreError, TimeBudget,
        columns::{event_kinds, read_event_kind, read_statistic},
        page_scan::{EventEntries, EventIndex, is_last},
    },
};

const APPEND: &str = include_str!("../../../sql/postgres/queries/audit.append.sql");
const PRUNE: &str = include_str!("../../../sql/postgres/queries/audit.prune.sql");
const PAGE_BY_USER: &str = include_str!("../../../sql/postgres/queries/audit.page_user.sql");
const PAGE_BY_ADDRESS: &str = include_str!("../../../sql/postgres/queries/audit.page_address.sql");
const PAGE_BY_KIND: &str = include_str!("../../../sql/postgres/queries/audit.page_kind.sql");
const PAGE_BY_TIME: &str = include_str!("../../../sql/postgres/queries/audit.page_time.sql");
const STATISTICS: &str = include_str!("../../../sql/postgres/queries/statistics.sql");

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        let columns = EventColumns::of(events);
        self.access.query_idempotent(APPEND, &columns.params(), time).await.map(drop)
    }

    async fn prune(&self, before: EventId, limit: u32, time: &TimeBudget) -> Result<u64, StoreError> {
        let rows = self.access.query(PRUNE, &[&before.0, &i64::from(limit)], time).await?;
        let events: i64 = rows.first().map_or(Ok(0), |row| column(row, "events"))?;
        Ok(events.unsigned_abs())
    }
}

#[async_trait]
impl AuditReader for PostgresStore {
    async fn page(&self, query: &EventPageQuery, time: &TimeBudget) -> Result<EventPage, StoreError> {
        let kinds = event_kinds(query.kind);
        let (user, (from, before)) = (query.user.map(|user| user.0), query.ids());
        // One more event shows whether there is a next page.
        let wanted = i64::from(query.limit) + 1;
        let run = async |statement: &'static str, end: &[&(dyn ToSql + Sync)]| {
            let filter: [&(dyn ToSql + Sync); 5] = [&kinds, &user, &query.address, &from.0, &before.0];
            self.access.query_idempotent(statement, &[&filter, end].concat(), time).await
        };
        let rows = match EventIndex::of(query) {
            EventIndex::User(user) => run(PAGE_BY_USER, &[&user.0, &wanted]).await?,
            EventIndex::Address(address) => run(PAGE_BY_ADDRESS, &[&address, &wanted]).await?,
            EventIndex::Kind(kind) => run(PAGE_BY_KIND, &[&kind.name(), &wanted]).await?,
            EventIndex::Time => run(PAGE_BY_TIME, &[&wanted]).await?,
        };
        let mut page = EventEntries::new(query.limit);
        for row in rows {
            let matches = column::<Option<bool>>(&row, "matches")? == Some(true);
            let event = if matches { Some(event(&row)?) } else { None };
            page.push(EventId(column(&row, "id")?), event, is_last(column(&row, "examined")?));
        }
        Ok(page.into_page())
    }

    async fn statistics(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        time: &TimeBudget,
    ) -> Result<Vec<HourlyCount>, StoreError> {
        let (from, until) = (timestamp(from), timestamp(until));
        let rows = self.access.query_idempotent(STATISTICS, &[&from, &until], time).await?;
        rows.iter().filter_map(|row| hourly_count(row).transpose()).collect()
    }
}

/// Returns `None` for a statistic of a newer version.
fn hourly_count(row: &Row) -> Result<Option<HourlyCount>, StoreError> {
    let Some(statistic) = read_statistic(column(row, "statistic")?) else { return Ok(None) };
    let (hour, events): (_, i64) = (column(row, "hour")?, column(row, "events")?);
    Ok(Some(HourlyCount { hour, statistic, events: events.unsigned_abs() }))
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
