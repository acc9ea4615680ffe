//! Audit events in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, ToSql, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    error::STORE,
    store::{SqliteStore, execute, stored_time, text},
};
use crate::{
    clock::{round_up, unix_ms},
    model::{
        AuditEvent, AuditOrigin, AuditSubject, DisplayText, EventId, EventKind, EventPage, EventPageQuery, HourlyCount,
        SessionId, UserId,
    },
    store::{
        AuditReader, AuditStore, StoreError, TimeBudget,
        columns::{read_event_kind, read_statistic},
        page_scan::{EventEntries, EventIndex, is_last_event},
    },
};

const APPEND: &str = include_str!("../../../sql/sqlite/queries/audit.append.sql");
const PRUNE: &str = include_str!("../../../sql/sqlite/queries/audit.prune.sql");
const PAGE_BY_USER: &str = include_str!("../../../sql/sqlite/queries/audit.page_user.sql");
const PAGE_BY_ADDRESS: &str = include_str!("../../../sql/sqlite/queries/audit.page_address.sql");
const PAGE_BY_KIND: &str = include_str!("../../../sql/sqlite/queries/audit.page_kind.sql");
const PAGE_BY_TIME: &str = include_str!("../../../sql/sqlite/queries/audit.page_time.sql");
const STATISTICS: &str = include_str!("../../../sql/sqlite/queries/statistics.sql");

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append(&self, events: &[AuditEvent], time: &TimeBudget) -> Result<(), StoreError> {
        let events = events.to_vec();
        let write = move |transaction: &Transaction<'_>| {
            events.iter().try_for_each(|event| append(transaction, event).map(drop))
        };
        self.write(time, write).await
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
    async fn page(&self, query: &EventPageQuery, time: &TimeBudget) -> Result<EventPage, StoreError> {
        let query = query.clone();
        self.read(time, move |transaction| page(transaction, &query)).await
    }

    async fn statistics(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        time: &TimeBudget,
    ) -> Result<Vec<HourlyCount>, StoreError> {
        let [from, until] = [from, until].map(|time| unix_ms(round_up(time, 1_000_000)));
        self.read(time, move |transaction| statistics(transaction, from, until)).await
    }
}

/// Reads the entries of an index until the page is full or has examined as many as it may.
fn page(transaction: &Transaction<'_>, query: &EventPageQuery) -> Result<EventPage, StoreError> {
    let (from, before) = query.ids();
    let (from, before) = (from.0.as_bytes(), before.0.as_bytes());
    let (statement, key): (_, Option<Box<dyn ToSql>>) = match EventIndex::of(query) {
        EventIndex::User(user) => (PAGE_BY_USER, Some(Box::new(*user.0.as_bytes()))),
        EventIndex::Address(address) => (PAGE_BY_ADDRESS, Some(Box::new(address.to_string()))),
        EventIndex::Kind(kind) => (PAGE_BY_KIND, Some(Box::new(kind.name()))),
        EventIndex::Time => (PAGE_BY_TIME, None),
    };
    let mut statement = transaction.prepare_cached(statement)?;
    let mut rows = match key {
        Some(key) => statement.query(named_params! {":key": key, ":from": from, ":before": before})?,
        None => statement.query(named_params! {":from": from, ":before": before})?,
    };
    let (mut entries, mut examined) = (EventEntries::new(query.limit), 0);
    while !entries.is_full() {
        let Some(row) = rows.next()? else { break };
        examined += 1;
        let id = EventId(row.get(0).map(Uuid::from_bytes)?);
        // A newer version may have added the kind.
        let is_known = text(row, 2)?.parse::<EventKind>().is_ok();
        let event = if is_known { Some(event(row)?).filter(|event| query.accepts(event)) } else { None };
        if event.is_some() || is_last_event(examined) {
            entries.push(id, event, is_last_event(examined));
        }
    }
    Ok(entries.into_page())
}

fn statistics(transaction: &Transaction<'_>, from: i64, until: i64) -> Result<Vec<HourlyCount>, StoreError> {
    let mut statement = transaction.prepare_cached(STATISTICS)?;
    let mut rows = statement.query(named_params! {":from": from, ":until": until})?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let hour = stored_time(row.get(0)?)?;
        let events: i64 = row.get(2)?;
        // A newer version may have added the statistic.
        let counted = read_statistic(text(row, 1)?);
        counts.extend(counted.map(|statistic| HourlyCount { hour, statistic, events: events.unsigned_abs() }));
    }
    Ok(counts)
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

/// Reads the columns of all queries of pages, by their position.
fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    let id = |column: usize| row.get(column).map(|bytes: Option<_>| bytes.map(Uuid::from_bytes));
    let address = row.get::<_, Option<String>>(5)?.map(|address| address.parse()).transpose();
    Ok(AuditEvent {
        id: EventId(row.get(0).map(Uuid::from_bytes)?),
        at: stored_time(row.get(1)?)?,
        kind: read_event_kind(STORE, text(row, 2)?)?,
        subject: AuditSubject { user: id(3)?.map(UserId), session: id(4)?.map(SessionId), detail: row.get(9)? },
        origin: AuditOrigin {
            address: address.map_err(|error| StoreError::corrupt(STORE, &error))?,
            user_agent: row.get::<_, Option<String>>(6)?.as_deref().map(DisplayText::cleaned),
            request_id: row.get(7)?,
            actor: row.get(8)?,
        },
    })
}
