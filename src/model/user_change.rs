//! What administrators change of a user.

use super::{
    audit_event::EventKind,
    email::Email,
    id::Epoch,
    name::Name,
    user::{AccountStatus, PasswordHash, Role},
};

/// A change of a user by an administrator. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The new name.
    pub name: Option<Name>,
    /// The new email. If it is another one, it is not verified, unless `email_verified` says so.
    pub email: Option<Email>,
    /// Whether the email is verified.
    pub email_verified: Option<bool>,
    /// The new role.
    pub role: Option<Role>,
    /// The new status.
    pub status: Option<AccountStatus>,
    /// What becomes of the password.
    pub password: Option<NewPassword>,
    /// The new epoch, which ends every session of the user. Required with a new status and with a new password.
    pub epoch: Option<Epoch>,
}

/// What becomes of a password.
#[derive(Debug, Clone)]
pub enum NewPassword {
    /// It is replaced.
    Set(PasswordHash),
    /// It is removed, so that no password is accepted.
    Disabled,
}

/// Which users the caller may create and change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminReach {
    /// All users: for administrators and commands.
    AllUsers,
    /// Only members: an API key must not become an administrator by changing one.
    MembersOnly,
}

impl UserChange {
    /// Returns the names of the fields that change, as the audit event shows them.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Self { name, email, email_verified, role, status, password, epoch: _ } = self;
        let fields = [
            (name.is_some(), "name"),
            (email.is_some(), "email"),
            (email_verified.is_some(), "email_verified"),
            (role.is_some(), "role"),
            (status.is_some(), "status"),
            (password.is_some(), "password"),
        ];
        fields.into_iter().filter(|(changes, _)| *changes).map(|(_, field)| field).collect()
    }

    /// Returns whether the user may cease to be an administrator who can log in.
    #[must_use]
    pub fn may_remove_administrator(&self) -> bool {
        self.role == Some(Role::Member)
            || self.status == Some(AccountStatus::Inactive)
            || matches!(self.password, Some(NewPassword::Disabled))
    }

    /// Returns the kind of the audit event: a change of several fields has a kind of its own.
    #[must_use]
    pub fn event_kind(&self) -> EventKind {
        match (self.fields().as_slice(), self.status, &self.password) {
            ([], ..) => EventKind::AdminSessionsEnded,
            (["name"], ..) => EventKind::AdminUserRenamed,
            (["status"], Some(AccountStatus::Active), _) => EventKind::AdminUserActivated,
            (["status"], ..) => EventKind::AdminUserDeactivated,
            (["password"], _, Some(NewPassword::Set(_))) => EventKind::AdminPasswordSet,
            (["password"], ..) => EventKind::AdminPasswordDisabled,
            _ => EventKind::AdminUserChanged,
        }
    }
}
