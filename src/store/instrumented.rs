//! Stores whose calls are counted and timed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    attempts::{Attempts, Bucket, Reservation, Tag},
    error::StoreError,
    health::Pong,
    sessions::{Opened, Refresh, RefreshAttempt, Sessions},
    time_budget::StoreTime,
    users::{CompareAndSet, Edit, Insert, PasswordChange, Users},
};
use crate::{
    metrics::Calls,
    model::{Email, Epoch, NewSession, PasswordHash, Session, SessionId, User, UserId, UserQuery},
};

/// The same users, with each call counted and timed.
#[must_use]
pub fn counted_users(users: Arc<dyn Users>, calls: Calls) -> Arc<dyn Users> {
    Arc::new(Counted { store: users, calls })
}

/// The same sessions, with each call counted and timed.
#[must_use]
pub fn counted_sessions(sessions: Arc<dyn Sessions>, calls: Calls) -> Arc<dyn Sessions> {
    Arc::new(Counted { store: sessions, calls })
}

/// The same attempts, with each call counted and timed.
#[must_use]
pub fn counted_attempts(attempts: Arc<dyn Attempts>, calls: Calls) -> Arc<dyn Attempts> {
    Arc::new(Counted { store: attempts, calls })
}

/// Passes each call on to the store, and counts what becomes of it.
pub struct Counted<S: ?Sized> {
    pub store: Arc<S>,
    pub calls: Calls,
}

impl<S: ?Sized> Counted<S> {
    async fn count<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.calls.counted(operation, call, StoreError::label).await
    }
}

#[async_trait]
impl Users for Counted<dyn Users> {
    async fn insert(&self, user: &User, time: &StoreTime) -> Result<Insert, StoreError> {
        self.count("users.insert", self.store.insert(user, time)).await
    }

    async fn by_email(&self, email: &Email, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.count("users.by_email", self.store.by_email(email, time)).await
    }

    async fn by_id(&self, id: UserId, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.count("users.by_id", self.store.by_id(id, time)).await
    }

    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &StoreTime,
    ) -> Result<CompareAndSet, StoreError> {
        self.count("users.rehash", self.store.rehash(verified, hash, time)).await
    }

    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &StoreTime,
    ) -> Result<CompareAndSet, StoreError> {
        self.count("users.change_password", self.store.change_password(verified, change, time)).await
    }

    async fn list(&self, query: &UserQuery, time: &StoreTime) -> Result<Vec<User>, StoreError> {
        self.count("users.list", self.store.list(query, time)).await
    }

    async fn edit(&self, id: UserId, edit: &Edit, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.count("users.edit", self.store.edit(id, edit, time)).await
    }

    async fn delete(&self, id: UserId, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.count("users.delete", self.store.delete(id, time)).await
    }

    async fn delete_verified(&self, verified: &User, time: &StoreTime) -> Result<CompareAndSet, StoreError> {
        self.count("users.delete_verified", self.store.delete_verified(verified, time)).await
    }

    async fn end_all_sessions(&self, epoch: Epoch, time: &StoreTime) -> Result<u64, StoreError> {
        self.count("users.end_all_sessions", self.store.end_all_sessions(epoch, time)).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<Pong, StoreError> {
        self.count("users.ping", self.store.ping(time)).await
    }
}

#[async_trait]
impl Attempts for Counted<dyn Attempts> {
    async fn reserve(&self, bucket: &Bucket, time: &StoreTime) -> Result<Reservation, StoreError> {
        self.count("attempts.reserve", self.store.reserve(bucket, time)).await
    }

    async fn give_back(&self, bucket: &Bucket, charge: Duration, time: &StoreTime) -> Result<(), StoreError> {
        self.count("attempts.give_back", self.store.give_back(bucket, charge, time)).await
    }

    async fn clear(&self, bucket: &Bucket, time: &StoreTime) -> Result<(), StoreError> {
        self.count("attempts.clear", self.store.clear(bucket, time)).await
    }

    async fn knows(&self, device: &Tag, time: &StoreTime) -> Result<bool, StoreError> {
        self.count("attempts.knows", self.store.knows(device, time)).await
    }

    async fn remember(&self, device: &Tag, time: &StoreTime) -> Result<(), StoreError> {
        self.count("attempts.remember", self.store.remember(device, time)).await
    }
}

#[async_trait]
impl Sessions for Counted<dyn Sessions> {
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Opened, StoreError> {
        self.count("sessions.open", self.store.open(session, time)).await
    }

    async fn resume(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError> {
        self.count("sessions.resume", self.store.resume(user, session, time)).await
    }

    async fn list(&self, user: UserId, time: &StoreTime) -> Result<Vec<Session>, StoreError> {
        self.count("sessions.list", self.store.list(user, time)).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError> {
        self.count("sessions.refresh", self.store.refresh(attempt, time)).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<u64, StoreError> {
        self.count("sessions.end", self.store.end(user, session, time)).await
    }

    async fn remove_ended(&self, former: &User, kept: Option<SessionId>, time: &StoreTime) -> Result<u64, StoreError> {
        self.count("sessions.remove_ended", self.store.remove_ended(former, kept, time)).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<Pong, StoreError> {
        self.count("sessions.ping", self.store.ping(time)).await
    }
}
