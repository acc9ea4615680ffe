//! Wrappers that count and time the calls of stores.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{
    attempts::{AttemptStore, Bucket, Device, ReserveOutcome},
    audit_events::AuditReader,
    error::StoreError,
    health::StoreHealth,
    sessions::{Opened, Refresh, RefreshAttempt, SessionStore},
    time_budget::TimeBudget,
    user_admin::{AdminTarget, AdminWrite, ChangedUser, UserAdminStore, UserDeletion},
    user_directory::UserDirectory,
    users::{CompareAndSet, ImportedHashStats, Insert, OwnDeletion, PasswordChange, UserStore, UserUpdate},
};
use crate::{
    metrics::{CallMetrics, Operation},
    model::{
        AuditEvent, Email, Epoch, EventPage, EventPageQuery, HourlyCount, LiveSession, NewSession, PasswordHash,
        Session, SessionId, User, UserChange, UserId, UserPage, UserPageQuery, UserSummary,
    },
};

/// Returns a store that counts and times each call of `users`.
#[must_use]
pub fn instrumented_users(users: Arc<dyn UserStore>, calls: CallMetrics) -> Arc<dyn UserStore> {
    Arc::new(Instrumented { store: users, calls })
}

/// Returns a store that counts and times each call of `sessions`.
#[must_use]
pub fn instrumented_sessions(sessions: Arc<dyn SessionStore>, calls: CallMetrics) -> Arc<dyn SessionStore> {
    Arc::new(Instrumented { store: sessions, calls })
}

/// Returns a store that counts and times each call of `attempts`.
#[must_use]
pub fn instrumented_attempts(attempts: Arc<dyn AttemptStore>, calls: CallMetrics) -> Arc<dyn AttemptStore> {
    Arc::new(Instrumented { store: attempts, calls })
}

/// Returns a reader that counts and times each call of `events`.
#[must_use]
pub fn instrumented_audit_reader(events: Arc<dyn AuditReader>, calls: CallMetrics) -> Arc<dyn AuditReader> {
    Arc::new(Instrumented { store: events, calls })
}

/// Returns a store that counts and times each call of `directory`.
#[must_use]
pub fn instrumented_directory(directory: Arc<dyn UserDirectory>, calls: CallMetrics) -> Arc<dyn UserDirectory> {
    Arc::new(Instrumented { store: directory, calls })
}

/// Returns a store that counts and times each call of `user_admin`.
#[must_use]
pub fn instrumented_user_admin(user_admin: Arc<dyn UserAdminStore>, calls: CallMetrics) -> Arc<dyn UserAdminStore> {
    Arc::new(Instrumented { store: user_admin, calls })
}

/// A store that forwards each call to another one, and counts its outcome and duration.
struct Instrumented<S: ?Sized> {
    store: Arc<S>,
    calls: CallMetrics,
}

impl<S: ?Sized> Instrumented<S> {
    async fn count<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.calls.counted(operation, call, StoreError::label).await
    }
}

#[async_trait]
impl UserStore for Instrumented<dyn UserStore> {
    async fn insert(&self, user: &User, time: &TimeBudget) -> Result<Insert, StoreError> {
        self.count(const { Operation::named("users.insert") }, self.store.insert(user, time)).await
    }

    async fn by_email(&self, email: &Email, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.count(const { Operation::named("users.by_email") }, self.store.by_email(email, time)).await
    }

    async fn by_id(&self, id: UserId, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.count(const { Operation::named("users.by_id") }, self.store.by_id(id, time)).await
    }

    async fn rehash(
        &self,
        verified: &User,
        hash: &PasswordHash,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        self.count(const { Operation::named("users.rehash") }, self.store.rehash(verified, hash, time)).await
    }

    async fn change_password(
        &self,
        verified: &User,
        change: &PasswordChange,
        time: &TimeBudget,
    ) -> Result<CompareAndSet, StoreError> {
        self.count(
            const { Operation::named("users.change_password") },
            self.store.change_password(verified, change, time),
        )
        .await
    }

    async fn list_by_id(&self, after: Option<UserId>, limit: u32, time: &TimeBudget) -> Result<Vec<User>, StoreError> {
        self.count(const { Operation::named("users.list_by_id") }, self.store.list_by_id(after, limit, time)).await
    }

    async fn update(&self, id: UserId, update: &UserUpdate, time: &TimeBudget) -> Result<Option<User>, StoreError> {
        self.count(const { Operation::named("users.update") }, self.store.update(id, update, time)).await
    }

    async fn delete_verified(&self, verified: &User, time: &TimeBudget) -> Result<OwnDeletion, StoreError> {
        self.count(const { Operation::named("users.delete_verified") }, self.store.delete_verified(verified, time))
            .await
    }

    async fn imported_hashes(&self, time: &TimeBudget) -> Result<Option<ImportedHashStats>, StoreError> {
        self.count(const { Operation::named("users.imported_hashes") }, self.store.imported_hashes(time)).await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        self.count(const { Operation::named("users.ping") }, self.store.ping(time)).await
    }
}

#[async_trait]
impl AttemptStore for Instrumented<dyn AttemptStore> {
    async fn reserve(&self, bucket: &Bucket, time: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        self.count(const { Operation::named("attempts.reserve") }, self.store.reserve(bucket, time)).await
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError> {
        self.count(const { Operation::named("attempts.refund") }, self.store.refund(bucket, charge, time)).await
    }

    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError> {
        self.count(const { Operation::named("attempts.clear") }, self.store.clear(bucket, time)).await
    }

    async fn knows(&self, device: &Device, time: &TimeBudget) -> Result<bool, StoreError> {
        self.count(const { Operation::named("attempts.knows") }, self.store.knows(device, time)).await
    }

    async fn remember(&self, device: &Device, time: &TimeBudget) -> Result<(), StoreError> {
        self.count(const { Operation::named("attempts.remember") }, self.store.remember(device, time)).await
    }
}

#[async_trait]
impl SessionStore for Instrumented<dyn SessionStore> {
    async fn open(&self, session: &NewSession, time: &TimeBudget) -> Result<Opened, StoreError> {
        self.count(const { Operation::named("sessions.open") }, self.store.open(session, time)).await
    }

    async fn touch(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<LiveSession>, StoreError> {
        self.count(const { Operation::named("sessions.touch") }, self.store.touch(user, session, time)).await
    }

    async fn record_authentication(
        &self,
        user: UserId,
        session: SessionId,
        time: &TimeBudget,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        self.count(
            const { Operation::named("sessions.record_authentication") },
            self.store.record_authentication(user, session, time),
        )
        .await
    }

    async fn list(&self, user: UserId, time: &TimeBudget) -> Result<Vec<Session>, StoreError> {
        self.count(const { Operation::named("sessions.list") }, self.store.list(user, time)).await
    }

    async fn refresh(&self, attempt: &RefreshAttempt, time: &TimeBudget) -> Result<Refresh, StoreError> {
        self.count(const { Operation::named("sessions.refresh") }, self.store.refresh(attempt, time)).await
    }

    async fn end(&self, user: UserId, session: SessionId, time: &TimeBudget) -> Result<u64, StoreError> {
        self.count(const { Operation::named("sessions.end") }, self.store.end(user, session, time)).await
    }

    async fn remove_ended(
        &self,
        former: &User,
        survivor: Option<SessionId>,
        time: &TimeBudget,
    ) -> Result<u64, StoreError> {
        self.count(const { Operation::named("sessions.remove_ended") }, self.store.remove_ended(former, survivor, time))
            .await
    }

    async fn ping(&self, time: &TimeBudget) -> Result<StoreHealth, StoreError> {
        self.count(const { Operation::named("sessions.ping") }, self.store.ping(time)).await
    }
}

#[async_trait]
impl AuditReader for Instrumented<dyn AuditReader> {
    async fn page(&self, query: &EventPageQuery, time: &TimeBudget) -> Result<EventPage, StoreError> {
        self.count(const { Operation::named("audit.page") }, self.store.page(query, time)).await
    }

    async fn statistics(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
        time: &TimeBudget,
    ) -> Result<Vec<HourlyCount>, StoreError> {
        self.count(const { Operation::named("audit.statistics") }, self.store.statistics(from, until, time)).await
    }
}

#[async_trait]
impl UserDirectory for Instrumented<dyn UserDirectory> {
    async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, StoreError> {
        self.count(const { Operation::named("directory.page") }, self.store.page(query, time)).await
    }

    async fn summary(&self, id: UserId, time: &TimeBudget) -> Result<Option<UserSummary>, StoreError> {
        self.count(const { Operation::named("directory.summary") }, self.store.summary(id, time)).await
    }

    async fn estimated_users(&self, time: &TimeBudget) -> Result<Option<u64>, StoreError> {
        self.count(const { Operation::named("directory.estimated_users") }, self.store.estimated_users(time)).await
    }
}

#[async_trait]
impl UserAdminStore for Instrumented<dyn UserAdminStore> {
    async fn create(&self, user: &User, event: &AuditEvent, time: &TimeBudget) -> Result<AdminWrite<()>, StoreError> {
        self.count(const { Operation::named("user_admin.create") }, self.store.create(user, event, time)).await
    }

    async fn change(
        &self,
        target: AdminTarget,
        change: &UserChange,
        event: &AuditEvent,
        time: &TimeBudget,
    ) -> Result<AdminWrite<ChangedUser>, StoreError> {
        self.count(const { Operation::named("user_admin.change") }, self.store.change(target, change, event, time))
            .await
    }

    async fn delete(&self, deletion: &UserDeletion, time: &TimeBudget) -> Result<AdminWrite<Vec<User>>, StoreError> {
        self.count(const { Operation::named("user_admin.delete") }, self.store.delete(deletion, time)).await
    }

    async fn end_all_sessions(&self, epoch: Epoch, event: &AuditEvent, time: &TimeBudget) -> Result<u64, StoreError> {
        let call = self.store.end_all_sessions(epoch, event, time);
        self.count(const { Operation::named("user_admin.end_all_sessions") }, call).await
    }
}
