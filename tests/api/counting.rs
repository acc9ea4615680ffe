//! A real store whose calls are counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use postern::{
    accounts::{Email, NewSession, PasswordHash, Session, SessionId, User, UserId},
    store::{CompareAndSet, Insert, PasswordChange, Refresh, RefreshAttempt, Sessions, StoreError, StoreTime, Users},
};

/// Passes every call on, and counts it.
pub struct Counting {
    pub users: Arc<dyn Users>,
    pub sessions: Arc<dyn Sessions>,
    pub calls: AtomicU64,
}

impl Counting {
    pub fn new(users: Arc<dyn Users>, sessions: Arc<dyn Sessions>) -> Self {
        Self { users, sessions, calls: AtomicU64::new(0) }
    }

    fn users(&self) -> &dyn Users {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &*self.users
    }

    fn sessions(&self) -> &dyn Sessions {
        self.calls.fetch_add(1, Ordering::SeqCst);
        &*self.sessions
    }
}

#[async_trait]
impl Users for Counting {
    async fn insert(&self, user: &User, time: &StoreTime) -> Result<Insert, StoreError> {
        self.users().insert(user, time).await
    }

    async fn by_email(&self, email: &Email, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.users().by_email(email, time).await
    }

    async fn by_id(&self, id: UserId, time: &StoreTime) -> Result<Option<User>, StoreError> {
        self.users().by_id(id, time).await
    }

    async fn rehash(&self, user: &User, hash: &PasswordHash, time: &StoreTime) -> Result<CompareAndSet, StoreError> {
        self.users().rehash(user, hash, time).await
    }

    async fn change_password(
        &self,
        user: &User,
        change: &PasswordChange,
        time: &StoreTime,
    ) -> Result<CompareAndSet, StoreError> {
        self.users().change_password(user, change, time).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<(), StoreError> {
        self.users().ping(time).await
    }
}

#[async_trait]
impl Sessions for Counting {
    async fn open(&self, session: &NewSession, time: &StoreTime) -> Result<Session, StoreError> {
        self.sessions().open(session, time).await
    }

    async fn find(&self, user: UserId, id: SessionId, time: &StoreTime) -> Result<Option<Session>, StoreError> {
        self.sessions().find(user, id, time).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &StoreTime) -> Result<Refresh, StoreError> {
        self.sessions().refresh(attempt, time).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &StoreTime) -> Result<(), StoreError> {
        self.sessions().end(user, session, time).await
    }

    async fn end_others(&self, user: UserId, kept: SessionId, time: &StoreTime) -> Result<(), StoreError> {
        self.sessions().end_others(user, kept, time).await
    }

    async fn ping(&self, time: &StoreTime) -> Result<(), StoreError> {
        self.sessions().ping(time).await
    }
}
