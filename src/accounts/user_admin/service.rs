//! The user administration, and its changes of one user.

use std::sync::Arc;

use super::{error::UserAdminError, user_ref::UserRef};
use crate::{
    accounts::sessions::remove_ended_sessions,
    audit::Trail,
    clock::Clock,
    model::{
        AccountStatus, AdminReach, AuditOrigin, AuditSubject, Email, Epoch, EventKind, Name, NewPassword, Role, User,
        UserChange, UserId, UserPage, UserPageQuery, UserSummary,
    },
    passwords::{AcceptedPassword, Hasher, Password, Policy, WorkPermit},
    store::{AdminTarget, AdminWrite, AuditReader, SessionStore, TimeBudget, UserAdminStore, UserDirectory, UserStore},
};

/// The user administration: its methods are the use cases.
///
/// The deciding write of each change is its one statement in the user store, which inserts the audit event too. A new epoch
/// ends sessions; afterwards, they are removed from the session store.
pub struct UserAdmin {
    /// Stores users.
    pub users: Arc<dyn UserStore>,
    /// Finds users.
    pub directory: Arc<dyn UserDirectory>,
    /// Changes users.
    pub changes: Arc<dyn UserAdminStore>,
    /// Reads audit events and statistics.
    pub events: Arc<dyn AuditReader>,
    /// Stores sessions. Commands do without: a new epoch ends sessions too.
    pub sessions: Option<Arc<dyn SessionStore>>,
    /// Hashes and validates passwords.
    pub hasher: Arc<Hasher>,
    /// The rules for new passwords.
    pub policy: Policy,
    /// The clock for the sign-up time.
    pub clock: Arc<dyn Clock>,
    /// Records audit events.
    pub audit: Trail,
}

/// The context of a call.
pub struct AdminCall<'call> {
    /// The origin of its audit events, with the actor.
    pub origin: AuditOrigin,
    /// Which users the caller may create and change.
    pub reach: AdminReach,
    /// Permits its work on the hashing threads.
    pub permit: WorkPermit,
    /// The time that its store calls may take together.
    pub time: &'call TimeBudget,
}

impl<'call> AdminCall<'call> {
    /// Returns the context of a caller who may create and change all users.
    #[must_use]
    pub fn of_administrator(origin: AuditOrigin, permit: WorkPermit, time: &'call TimeBudget) -> Self {
        Self { origin, reach: AdminReach::AllUsers, permit, time }
    }

    /// Checks whether the caller may create and change users with this role.
    ///
    /// # Errors
    /// Returns [`UserAdminError::MembersOnly`] if not.
    pub(super) fn check_reach(&self, role: Role) -> Result<(), UserAdminError> {
        match (self.reach, role) {
            (AdminReach::MembersOnly, Role::Administrator) => Err(UserAdminError::MembersOnly),
            _ => Ok(()),
        }
    }
}

/// The data of a user to create.
#[derive(Debug)]
pub struct NewUser {
    /// The email to log in with.
    pub email: Email,
    /// Whether the email is verified.
    pub email_verified: bool,
    /// The display name.
    pub name: Name,
    /// The role.
    pub role: Role,
    /// The status.
    pub status: AccountStatus,
    /// The password, not yet validated; `None` if none is accepted.
    pub password: Option<Password>,
}

/// New values of a user. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default)]
pub struct UserEdit {
    /// The name.
    pub name: Option<Name>,
    /// The email. Another one is not verified, unless `email_verified` says so.
    pub email: Option<Email>,
    /// Whether the email is verified.
    pub email_verified: Option<bool>,
    /// The role.
    pub role: Option<Role>,
    /// The status. Another one ends every session.
    pub status: Option<AccountStatus>,
}

/// A user after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedUser {
    /// The user now.
    pub user: UserSummary,
    /// Whether the edit changed anything.
    pub is_changed: bool,
}

impl UserEdit {
    /// Returns what the edit changes of a user.
    fn change_of(self, user: &User) -> UserChange {
        let Self { name, email, email_verified, role, status } = self;
        let email = email.filter(|email| *email != user.email);
        let email_verified = match (&email, email_verified) {
            // The statement unverifies another email, also if the former one has been verified meanwhile.
            (Some(_), Some(true)) => Some(true),
            (Some(_), _) => user.email_verified.then_some(false),
            (None, verified) => verified.filter(|verified| *verified != user.email_verified),
        };
        let status = status.filter(|status| *status != user.status);
        UserChange {
            name: name.filter(|name| *name != user.name),
            email,
            email_verified,
            role: role.filter(|role| *role != user.role),
            status,
            password: None,
            epoch: status.map(|_| Epoch::random()),
        }
    }
}

impl UserAdmin {
    /// Creates a user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::EmailTaken`] if another user has the email, [`UserAdminError::MembersOnly`] if the caller may
    /// not create administrators, [`UserAdminError::PolicyViolations`] if the policy rejects the password,
    /// [`UserAdminError::Overloaded`] or [`UserAdminError::Store`].
    pub async fn create(&self, new: NewUser, call: &AdminCall<'_>) -> Result<UserSummary, UserAdminError> {
        let NewUser { email, email_verified, name, role, status, password } = new;
        call.check_reach(role)?;
        if self.users.by_email(&email, call.time).await?.is_some() {
            return Err(UserAdminError::EmailTaken);
        }
        let hash = match password {
            Some(password) => {
                let accepted = self.validated(password, (&name, &email), call).await?;
                Some(self.hasher.hash(&call.permit, accepted.password()).await?)
            }
            None => None,
        };
        let user = User { email_verified, status, role, ..User::new(email, name, hash, self.clock.now()) };
        let event = self.audit.event(EventKind::AdminUserCreated, &user, call.origin.clone());
        done(self.changes.create(&user, &event, call.time).await?, user.id)?;
        self.audit.record_inserted(&event);
        Ok(UserSummary::of(&user, None))
    }

    /// Returns a page of users.
    ///
    /// # Errors
    /// Returns [`UserAdminError::Store`] if the user store fails.
    pub async fn page(&self, query: &UserPageQuery, time: &TimeBudget) -> Result<UserPage, UserAdminError> {
        Ok(self.directory.page(query, time).await?)
    }

    /// Returns the user, as administrators see them.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn summary(&self, id: UserId, time: &TimeBudget) -> Result<UserSummary, UserAdminError> {
        self.directory.summary(id, time).await?.ok_or(UserAdminError::NoSuchUser(UserRef::Id(id)))
    }

    /// Returns the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, or [`UserAdminError::Store`].
    pub async fn find(&self, user_ref: &UserRef, time: &TimeBudget) -> Result<User, UserAdminError> {
        let found = match user_ref {
            UserRef::Email(email) => self.users.by_email(email, time).await?,
            UserRef::Id(id) => self.users.by_id(*id, time).await?,
        };
        found.ok_or_else(|| UserAdminError::NoSuchUser(user_ref.clone()))
    }

    /// Changes a user, and returns the user after it. Values that are already set are no change; an edit without a change
    /// writes nothing.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::EmailTaken`],
    /// [`UserAdminError::LastAdministrator`], [`UserAdminError::MembersOnly`] or [`UserAdminError::Store`].
    pub async fn edit(
        &self,
        user_ref: &UserRef,
        edit: UserEdit,
        call: &AdminCall<'_>,
    ) -> Result<EditedUser, UserAdminError> {
        let user = self.find(user_ref, call.time).await?;
        call.check_reach(user.role)?;
        call.check_reach(edit.role.unwrap_or(user.role))?;
        let change = edit.change_of(&user);
        if change.fields().is_empty() {
            return Ok(EditedUser { user: self.summary(user.id, call.time).await?, is_changed: false });
        }
        Ok(EditedUser { user: self.change(user.id, &change, call).await?, is_changed: true })
    }

    /// Sets a password, and ends every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::PolicyViolations`] if the policy
    /// rejects the password, [`UserAdminError::MembersOnly`], [`UserAdminError::Overloaded`] or [`UserAdminError::Store`].
    pub async fn set_password(
        &self,
        user_ref: &UserRef,
        password: Password,
        call: &AdminCall<'_>,
    ) -> Result<UserSummary, UserAdminError> {
        let user = self.find(user_ref, call.time).await?;
        call.check_reach(user.role)?;
        let accepted = self.validated(password, (&user.name, &user.email), call).await?;
        let hash = self.hasher.hash(&call.permit, accepted.password()).await?;
        self.change(user.id, &ends_sessions(Some(NewPassword::Set(hash))), call).await
    }

    /// Removes the password, so that none is accepted, and ends every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::LastAdministrator`],
    /// [`UserAdminError::MembersOnly`] or [`UserAdminError::Store`].
    pub async fn disable_password(
        &self,
        user_ref: &UserRef,
        call: &AdminCall<'_>,
    ) -> Result<UserSummary, UserAdminError> {
        let user = self.find(user_ref, call.time).await?;
        self.change(user.id, &ends_sessions(Some(NewPassword::Disabled)), call).await
    }

    /// Ends every session of the user.
    ///
    /// # Errors
    /// Returns [`UserAdminError::NoSuchUser`] if there is no such user, [`UserAdminError::MembersOnly`] or
    /// [`UserAdminError::Store`].
    pub async fn end_sessions(&self, user_ref: &UserRef, call: &AdminCall<'_>) -> Result<UserSummary, UserAdminError> {
        let user = self.find(user_ref, call.time).await?;
        self.change(user.id, &ends_sessions(None), call).await
    }

    /// Ends every session of every user, and returns the number of users.
    ///
    /// # Errors
    /// Returns [`UserAdminError::MembersOnly`] or [`UserAdminError::Store`].
    pub async fn end_all_sessions(&self, call: &AdminCall<'_>) -> Result<u64, UserAdminError> {
        call.check_reach(Role::Administrator)?;
        let mut event = self.audit.event(EventKind::AdminAllSessionsEnded, None, call.origin.clone());
        let users = self.changes.end_all_sessions(Epoch::random(), &event, call.time).await?;
        event.subject = event.subject.with_detail(format!("users: {users}"));
        self.audit.record_inserted(&event);
        Ok(users)
    }

    async fn change(
        &self,
        id: UserId,
        change: &UserChange,
        call: &AdminCall<'_>,
    ) -> Result<UserSummary, UserAdminError> {
        let mut subject = AuditSubject::from(Some(id));
        if !change.fields().is_empty() {
            subject = subject.with_detail(format!("changed: {}", change.fields().join(", ")));
        }
        let event = self.audit.event(change.event_kind(), subject, call.origin.clone());
        let target = AdminTarget { id, reach: call.reach };
        let changed = done(self.changes.change(target, change, &event, call.time).await?, id)?;
        self.audit.record_inserted(&event);
        if change.epoch.is_some() {
            self.remove_ended_sessions(&changed.former, call.time).await;
        }
        Ok(UserSummary::of(&changed.user, changed.last_login))
    }

    /// Removes the sessions that a new epoch or the deletion of `former` has ended.
    pub(super) async fn remove_ended_sessions(&self, former: &User, time: &TimeBudget) {
        if let Some(sessions) = &self.sessions {
            remove_ended_sessions(&**sessions, former, None, time).await;
        }
    }

    async fn validated(
        &self,
        password: Password,
        (name, email): (&Name, &Email),
        call: &AdminCall<'_>,
    ) -> Result<AcceptedPassword, UserAdminError> {
        let candidate = self.policy.check(password, Some(name), Some(email));
        let accepted = self.hasher.accept(&call.permit, candidate).await?;
        accepted.map_err(UserAdminError::PolicyViolations)
    }
}

/// Returns a change that ends every session.
fn ends_sessions(password: Option<NewPassword>) -> UserChange {
    UserChange { password, epoch: Some(Epoch::random()), ..UserChange::default() }
}

/// Returns the result of a write that took place.
pub(super) fn done<T>(write: AdminWrite<T>, id: UserId) -> Result<T, UserAdminError> {
    match write {
        AdminWrite::Done(result) => Ok(result),
        AdminWrite::NotFound => Err(UserAdminError::NoSuchUser(UserRef::Id(id))),
        AdminWrite::EmailTaken => Err(UserAdminError::EmailTaken),
        AdminWrite::LastAdministrator => Err(UserAdminError::LastAdministrator),
        AdminWrite::MembersOnly => Err(UserAdminError::MembersOnly),
    }
}
