//! Sessions in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    error::STORE,
    session_uses::log_unrecorded,
    store::{SqliteStore, execute, stored_time, text},
};
use crate::{
    clock::{unix_ms, whole_milliseconds},
    model::{
        Client, Epoch, FIRST_CURRENT, FIRST_NEXT, KeyTag, LiveSession, NewSession, RefreshOutcome, RefreshedSession,
        Session, SessionId, User, UserId,
    },
    store::{
        LAST_USED_RESOLUTION, OTHER_EPOCH_GRACE, Opened, Refresh, RefreshAttempt, SessionStore, StoreError,
        StoreHealth, TimeBudget,
    },
};

const OPEN: &str = include_str!("../../../sql/sqlite/queries/sessions.open.sql");
const FIND: &str = include_str!("../../../sql/sqlite/queries/sessions.find.sql");
const LIST: &str = include_str!("../../../sql/sqlite/queries/sessions.list.sql");
const RECORD_USE: &str = include_str!("../../../sql/sqlite/queries/sessions.record_use.sql");
const RECORD_AUTHENTICATION: &str = include_str!("../../../sql/sqlite/queries/sessions.record_authentication.sql");
const ROTATE: &str = include_str!("../../../sql/sqlite/queries/sessions.rotate.sql");
const END: &str = include_str!("../../../sql/sqlite/queries/sessions.end.sql");
const REMOVE_ENDED: &str = include_str!("../../../sql/sqlite/queries/sessions.remove_ended.sql");
const END_OLDEST: &str = include_str!("../../../sql/sqlite/queries/sessions.end_oldest.sql");
const PRUNE: &str = include_str!("../../../sql/sqlite/queries/sessions.prune.sql");

#[async_trait]
impl SessionStore for SqliteStore {
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError> {
        let (session, now) = (session.clone(), self.now());
        self.write(time, move |transaction| open(transaction, session, now)).await
    }

    async fn touch(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<LiveSession>, StoreError> {
        let now = self.now();
        let found = self.read(time, move |transaction| find(transaction, user, session, now)).await?;
        let Some(session) = found else { return Ok(None) };
        if !must_record_use(&session, now) {
            return Ok(Some(LiveSession::from(&session)));
        }
        let touched = Session { last_used: now, ..session };
        if touched.idle.is_none() {
            self.queue_use(&touched);
            return Ok(Some(LiveSession::from(&touched)));
        }
        let touched = self.record_use(touched, time).await?;
        Ok(touched.as_ref().map(LiveSession::from))
    }

    async fn record_authentication(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let now = self.now();
        let write = move |transaction: &Transaction<'_>| {
            let (user, id) = (user.0.as_bytes(), session.0.as_bytes());
            execute(transaction, RECORD_AUTHENTICATION, named_params! {":user": user, ":id": id, ":now": unix_ms(now)})
        };
        Ok((self.write(time, write).await? > 0).then_some(now))
    }

    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError> {
        let now = unix_ms(self.now());
        let read = move |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached(LIST)?;
            let params = named_params! {":user": user.0.as_bytes(), ":now": now};
            let rows = statement.query_map(params, |row| Ok(read_session(row)))?;
            rows.map(|row| row?).collect()
        };
        self.read(time, read).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError> {
        let (attempt, now) = (attempt.clone(), self.now());
        self.write(time, move |transaction| refresh(transaction, &attempt, now)).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError> {
        let now = unix_ms(self.now());
        self.write(time, move |transaction| end(transaction, user, session, now)).await
    }

    async fn remove_ended(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        time: &TimeBudget,
    ) -> Result<u64, StoreError> {
        let (user, former_epoch, now) = (former.id, former.epoch.0, unix_ms(self.now()));
        let [former_surviving, survivor] =
            [former.surviving_session, survivor].map(|session| session.map(|id| *id.0.as_bytes()));
        let write = move |transaction: &Transaction<'_>| {
            let params = named_params! {
                ":user": user.0.as_bytes(),
                ":former_epoch": former_epoch,
                ":former_kept": former_surviving,
                ":kept": survivor,
                ":now": now,
            };
            execute(transaction, REMOVE_ENDED, params)
        };
        self.write(time, write).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        crate::store::UserStore::ping(self, time).await
    }
}

impl SqliteStore {
    /// Records the use of a session with an idle limit, which must not end because a use is not recorded yet. Returns
    /// `None` if the session has ended since it was read.
    async fn record_use(&self, touched: Session, time: &TimeBudget) -> Result<Option<Session>, StoreError> {
        let (user, session, clock) = (touched.user, touched.id, self.clock());
        let write = {
            let touched = touched.clone();
            move |transaction: &Transaction<'_>| {
                let now = whole_milliseconds(clock.now());
                record_use(transaction, &touched, now)?;
                find(transaction, user, session, now)
            }
        };
        self.write(time, write).await.or_else(|error| {
            log_unrecorded(&error, session);
            Ok(Some(touched))
        })
    }

    /// Queues a write that records the use of a session, and does not wait for it.
    fn queue_use(&self, touched: &Session) {
        let Some(queued) = self.uses().begin(touched.id) else { return };
        let (session, touched, clock) = (touched.id, touched.clone(), self.clock());
        let write =
            move |transaction: &Transaction<'_>| record_use(transaction, &touched, whole_milliseconds(clock.now()));
        if let Err(error) = self.queue_write(write, queued) {
            log_unrecorded(&error, session);
        }
    }
}

fn new_session(session: NewSession, now: OffsetDateTime) -> Session {
    Session {
        id: session.id,
        user: session.user,
        epoch: session.epoch,
        current: FIRST_CURRENT,
        next: FIRST_NEXT,
        next_key: session.next_key,
        rotated: now,
        created: now,
        expires: now + session.lifetime,
        last_used: now,
        idle: session.idle,
        authenticated: now,
        client: session.client,
    }
}

fn open(transaction: &Transaction<'_>, new: NewSession, now: OffsetDateTime) -> Result<Opened, StoreError> {
    let (user, id, time) = (*new.user.0.as_bytes(), *new.id.0.as_bytes(), unix_ms(now));
    execute(transaction, PRUNE, named_params! {":user": user, ":now": time})?;
    let params = named_params! {
        ":user": user,
        ":id": id,
        ":valid_epoch": new.valid_epoch.0,
        ":kept_session": new.surviving_session.map(|session| *session.0.as_bytes()),
        ":max_sessions": new.max_sessions,
        ":grace_start": unix_ms(now - OTHER_EPOCH_GRACE),
        ":now": time,
    };
    let were_valid: Vec<Option<bool>> = transaction
        .prepare_cached(END_OLDEST)
        .and_then(|mut statement| statement.query_map(params, |row| row.get(0))?.collect())?;
    let ended = were_valid.into_iter().filter(|was_valid| *was_valid == Some(true)).count();
    let session = new_session(new, now);
    let params = named_params! {
        ":user": user,
        ":id": id,
        ":epoch": session.epoch.0,
        ":held": session.current.cast_signed(),
        ":successor": session.next.cast_signed(),
        ":successor_key": session.next_key.0,
        ":rotated": unix_ms(session.rotated),
        ":created": unix_ms(session.created),
        ":expires": unix_ms(session.expires),
        ":last_used": unix_ms(session.last_used),
        ":idle": session.idle.map(|idle| i64::try_from(idle.as_millis()).unwrap_or(i64::MAX)),
        ":address": session.client.address.to_string(),
        ":user_agent": session.client.user_agent.as_str(),
    };
    execute(transaction, OPEN, params)?;
    Ok(Opened { session, ended: u64::try_from(ended).unwrap_or(u64::MAX) })
}

fn refresh(
    transaction: &Transaction<'_>,
    attempt: &RefreshAttempt,
    now: OffsetDateTime,
) -> Result<Refresh, StoreError> {
    let found = find(transaction, attempt.user.id, attempt.session, now)?;
    let valid = found.filter(|session| attempt.user.is_session_valid(session.id, session.epoch));
    let Some(mut session) = valid else { return Ok(Refresh::NotValid) };
    let before = session.clone();
    let outcome = session.apply_refresh(attempt.counter, attempt.rotation, now);
    if outcome.is_reuse() {
        end(transaction, session.user, session.id, unix_ms(now))?;
        return Ok(Refresh::Decided(outcome, RefreshedSession::from(&session)));
    }
    if session != before {
        rotate(transaction, &session)?;
    }
    if outcome != RefreshOutcome::Outdated && must_record_use(&session, now) {
        session.last_used = now;
        record_use(transaction, &session, now)?;
    }
    Ok(Refresh::Decided(outcome, RefreshedSession::from(&session)))
}

fn rotate(transaction: &Transaction<'_>, session: &Session) -> Result<u64, StoreError> {
    let params = named_params! {
        ":user": session.user.0.as_bytes(),
        ":id": session.id.0.as_bytes(),
        ":held": session.current.cast_signed(),
        ":successor": session.next.cast_signed(),
        ":successor_key": session.next_key.0,
        ":rotated": unix_ms(session.rotated),
    };
    execute(transaction, ROTATE, params)
}

fn must_record_use(session: &Session, now: OffsetDateTime) -> bool {
    now - session.last_used >= LAST_USED_RESOLUTION
}

/// Records the use of a session at its `last_used`, unless it has ended by `now` or a later use is recorded.
pub(super) fn record_use(
    transaction: &Transaction<'_>,
    session: &Session,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let params = named_params! {
        ":user": session.user.0.as_bytes(),
        ":id": session.id.0.as_bytes(),
        ":used": unix_ms(session.last_used),
        ":now": unix_ms(now),
    };
    execute(transaction, RECORD_USE, params)
}

fn end(transaction: &Transaction<'_>, user: UserId, session: SessionId, now: i64) -> Result<u64, StoreError> {
    let (user, id) = (user.0.as_bytes(), session.0.as_bytes());
    execute(transaction, END, named_params! {":user": user, ":id": id, ":now": now})
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

/// Reads the columns of `sessions.find` and `sessions.list`, by their position.
fn read_session(row: &Row<'_>) -> Result<Session, StoreError> {
    let id = |column| row.get(column).map(Uuid::from_bytes).map_err(StoreError::from);
    let counter = |column| row.get(column).map(i64::cast_unsigned).map_err(StoreError::from);
    let time = |column| stored_time(row.get(column)?);
    let address = text(row, 11)?.parse().map_err(|error| StoreError::corrupt(STORE, &error))?;
    Ok(Session {
        user: UserId(id(0)?),
        id: SessionId(id(1)?),
        epoch: Epoch(row.get(2)?),
        current: counter(3)?,
        next: counter(4)?,
        next_key: KeyTag(row.get(5)?),
        rotated: time(6)?,
        created: time(7)?,
        expires: time(8)?,
        last_used: time(9)?,
        idle: row.get::<_, Option<i64>>(10)?.map(|idle| Duration::from_millis(idle.unsigned_abs())),
        authenticated: time(13)?,
        client: Client::new(address, text(row, 12)?),
    })
}
