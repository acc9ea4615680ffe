//! Real stores whose calls are counted and can be made to fail.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use postern::{
    model::{Email, LiveSession, NewSession, PasswordHash, Session, SessionId, User, UserId},
    store::{
        CompareAndSet, ImportedHashStats, Insert, Opened, OwnDeletion, PasswordChange, Refresh, RefreshAttempt,
        SessionStore, StoreError, StoreHealth, TimeBudget, UserStore, UserUpdate,
    },
};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::{LONG, eventually};

/// What happens to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every call panics.
    Panic,
    /// Every call hangs until the fault is cleared.
    Hang,
    /// These calls hang until the fault is cleared.
    HangOn(&'static str),
    /// These calls fail as if the store were unavailable.
    FailOn(&'static str),
}

/// Forwards every call, and records it.
pub struct CountingStores {
    pub users: Arc<dyn UserStore>,
    pub sessions: Arc<dyn SessionStore>,
    calls: Mutex<Vec<&'static str>>,
    fault: watch::Sender<Fault>,
}

impl CountingStores {
    pub fn new(users: Arc<dyn UserStore>, sessions: Arc<dyn SessionStore>) -> Self {
        Self { users, sessions, calls: Mutex::default(), fault: watch::Sender::new(Fault::None) }
    }

    pub fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Returns every call since the start, in order: `users.by_id`.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().expect("nobody panics with the lock").clone()
    }

    /// Waits until this call has been made.
    pub async fn called(&self, call: &'static str) {
        eventually(LONG, call, async || self.calls().contains(&call)).await;
    }

    async fn pass(&self, call: &'static str) -> Result<(), StoreError> {
        self.calls.lock().expect("nobody panics with the lock").push(call);
        let fault = *self.fault.borrow();
        match fault {
            Fault::Panic => panic!("a panic on purpose, with hunter2 in it"),
            Fault::FailOn(failing) if failing == call => {
                Err(StoreError::Unavailable { store: "store", reason: "a fault on purpose".to_owned() })
            }
            _ => {
                let goes_on = |fault: &Fault| *fault != Fault::Hang && *fault != Fault::HangOn(call);
                self.fault.subscribe().wait_for(goes_on).await.expect("the fault is there");
                Ok(())
            }
        }
    }
}

#[async_trait]
impl UserStore for CountingStores {
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError> {
        self.pass("users.insert").await?;
        self.users.insert(user, time).await
    }

    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.pass("users.by_email").await?;
        self.users.by_email(email, time).await
    }

    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.pass("users.by_id").await?;
        self.users.by_id(id, time).await
    }

    async fn rehash(&self, user: &User, hash: &PasswordHash, time: &TimeBudget) -> Result<CompareAndSet, StoreError> {
        self.pass("users.rehash").await?;
        self.users.rehash(user, hash, time).await
    }

    async fn change_password(
        &self,
        user: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        self.pass("users.change_password").await?;
        self.users.change_password(user, change, time).await
    }

    async fn list_by_id(&self, after: Option<UserId>, limit: u32, time: &TimeBudget) -> Result<Vec<User>, StoreError> {
        self.pass("users.list_by_id").await?;
        self.users.list_by_id(after, limit, time).await
    }

    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.pass("users.update").await?;
        self.users.update(id, update, time).await
    }

    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<OwnDeletion, StoreError> {
        self.pass("users.delete_verified").await?;
        self.users.delete_verified(verified, time).await
    }

    async fn imported_hashes(&self, time: &TimeBudget) -> Result<Option<ImportedHashStats>, StoreError> {
        self.pass("users.imported_hashes").await?;
        self.users.imported_hashes(time).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        self.pass("users.ping").await?;
        self.users.ping(time).await
    }
}

#[async_trait]
impl SessionStore for CountingStores {
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError> {
        self.pass("sessions.open").await?;
        self.sessions.open(session, time).await
    }

    async fn touch(&self, user: UserId, id: SessionId, time: &TimeBudget) -> Result<Option<LiveSession>, StoreError> {
        self.pass("sessions.touch").await?;
        self.sessions.touch(user, id, time).await
    }

    async fn record_authentication(
        &self,
        user: UserId,
        id: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        self.pass("sessions.record_authentication").await?;
        self.sessions.record_authentication(user, id, time).await
    }

    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError> {
        self.pass("sessions.list").await?;
        self.sessions.list(user, time).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError> {
        self.pass("sessions.refresh").await?;
        self.sessions.refresh(attempt, time).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError> {
        self.pass("sessions.end").await?;
        self.sessions.end(user, session, time).await
    }

    async fn remove_ended(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        time: &TimeBudget,
    ) -> Result<u64, StoreError> {
        self.pass("sessions.remove_ended").await?;
        self.sessions.remove_ended(former, survivor, time).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        self.pass("sessions.ping").await?;
        self.sessions.ping(time).await
    }
}
