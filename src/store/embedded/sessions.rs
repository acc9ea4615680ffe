//! Sessions in SQLite.

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{EmbeddedStore, STORE, execute};
use crate::{
    accounts::{Client, Epoch, FIRST_HELD, FIRST_SUCCESSOR, KeyTag, NewSession, Session, SessionId, UserId},
    clock::{from_unix_ms, unix_ms},
    store::{LAST_USED_RESOLUTION, Refresh, RefreshAttempt, Sessions, StoreError, StoreTime},
};

const OPEN: &str = include_str!("../../../sql/embedded/queries/sessions.open.sql");
const FIND: &str = include_str!("../../../sql/embedded/queries/sessions.find.sql");
const USE: &str = include_str!("../../../sql/embedded/queries/sessions.use.sql");
const END: &str = include_str!("../../../sql/embedded/queries/sessions.end.sql");
const END_OTHERS: &str = include_str!("../../../sql/embedded/queries/sessions.end_others.sql");
const PRUNE: &str = include_str!("../../../sql/embedded/queries/sessions.prune.sql");

#[async_trait]
impl Sessions for EmbeddedStore {
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Session, StoreError> {
        let session = opened(session.clone(), self.now());
        self.write(time, move |transaction| open(transaction, session)).await
    }

    async fn find(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError> {
        let now = self.now();
        self.read(time, move |transaction| find(transaction, user, session, now)).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError> {
        let (attempt, now) = (attempt.clone(), self.now());
        self.write(time, move |transaction| refresh(transaction, &attempt, now)).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<u64, StoreError> {
        let now = unix_ms(self.now());
        let write = move |transaction: &Transaction<'_>| {
            let params = named_params! {":user": user.0.as_bytes(), ":id": session.0.as_bytes(), ":now": now};
            execute(transaction, END, params)
        };
        self.write(time, write).await
    }

    async fn end_others(&self, user: UserId, kept: SessionId, time: &StoreTime) -> Result<u64, StoreError> {
        let now = unix_ms(self.now());
        let write = move |transaction: &Transaction<'_>| {
            let params = named_params! {":user": user.0.as_bytes(), ":kept": kept.0.as_bytes(), ":now": now};
            execute(transaction, END_OTHERS, params)
        };
        self.write(time, write).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<(), StoreError> {
        crate::store::Users::ping(self, time).await
    }
}

fn opened(session: NewSession, now: OffsetDateTime) -> Session {
    Session {
        id: session.id,
        user: session.user,
        epoch: session.epoch,
        held: FIRST_HELD,
        successor: FIRST_SUCCESSOR,
        successor_key: session.successor_key,
        rotated: now,
        created: now,
        expires: now + session.lifetime,
        last_used: now,
        client: session.client,
    }
}

fn open(transaction: &Transaction<'_>, session: Session) -> Result<Session, StoreError> {
    execute(transaction, PRUNE, named_params! {":now": unix_ms(session.created)})?;
    let params = named_params! {
        ":user": session.user.0.as_bytes(),
        ":id": session.id.0.as_bytes(),
        ":epoch": session.epoch.0,
        ":held": session.held.cast_signed(),
        ":successor": session.successor.cast_signed(),
        ":successor_key": session.successor_key.0,
        ":rotated": unix_ms(session.rotated),
        ":created": unix_ms(session.created),
        ":expires": unix_ms(session.expires),
        ":last_used": unix_ms(session.last_used),
        ":address": session.client.address.to_string(),
        ":user_agent": session.client.user_agent,
    };
    execute(transaction, OPEN, params)?;
    Ok(session)
}

/// The refresh table of the README for a service that does not rotate, row by row.
fn refresh(
    transaction: &Transaction<'_>,
    attempt: &RefreshAttempt,
    now: OffsetDateTime,
) -> Result<Refresh, StoreError> {
    let found = find(transaction, attempt.user.id, attempt.session, now)?;
    let in_force = found.filter(|session| attempt.user.keeps_in_force(session.id, session.epoch));
    let Some(mut session) = in_force else { return Ok(Refresh::NotInForce) };
    if attempt.counter != session.held && attempt.counter < session.successor {
        return Ok(Refresh::Replaced);
    }
    if now - session.last_used >= LAST_USED_RESOLUTION {
        session.last_used = now;
        let params = named_params! {
            ":user": session.user.0.as_bytes(), ":id": session.id.0.as_bytes(), ":now": unix_ms(now),
        };
        execute(transaction, USE, params)?;
    }
    Ok(Refresh::Granted(session))
}

fn find(
    transaction: &Transaction<'_>,
    user: UserId,
    session: SessionId,
    now: OffsetDateTime,
) -> Result<Option<Session>, StoreError> {
    let params = named_params! {":user": user.0.as_bytes(), ":id": session.0.as_bytes(), ":now": unix_ms(now)};
    let found = transaction
        .prepare_cached(FIND)
        .and_then(|mut statement| statement.query_row(params, |row| Ok(read_session(row))).optional());
    found?.transpose()
}

fn read_session(row: &Row<'_>) -> Result<Session, StoreError> {
    let id = |column: &str| row.get(column).map(Uuid::from_bytes).map_err(StoreError::from);
    let counter = |column: &str| row.get(column).map(i64::cast_unsigned).map_err(StoreError::from);
    let time = |column: &str| {
        let milliseconds = row.get(column)?;
        from_unix_ms(milliseconds).ok_or_else(|| StoreError::corrupt(STORE, "a time out of range"))
    };
    let address: String = row.get("address")?;
    Ok(Session {
        id: SessionId(id("id")?),
        user: UserId(id("user")?),
        epoch: Epoch(row.get("epoch")?),
        held: counter("held")?,
        successor: counter("successor")?,
        successor_key: KeyTag(row.get("successor_key")?),
        rotated: time("rotated")?,
        created: time("created")?,
        expires: time("expires")?,
        last_used: time("last_used")?,
        client: Client {
            address: address.parse().map_err(|error| StoreError::corrupt(STORE, &error))?,
            user_agent: row.get("user_agent")?,
        },
    })
}
