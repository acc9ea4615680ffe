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
    /// Returns the names of the fields that change, as the audit event shows them: of the role, with the new value.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Self { name, email, email_verified, role, status, password, epoch: _ } = self;
        let fields = [
            (name.is_some(), "name"),
            (email.is_some(), "email"),
            (email_verified.is_some(), "email_verified"),
            (*role == Some(Role::Member), "role (member)"),
            (*role == Some(Role::Administrator), "role (administrator)"),
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

    /// Returns the kind of the audit event. Of several fields, one whose change ends sessions decides, so that other fields do
    /// not hide a deactivation; otherwise, several fields have a kind of their own.
    #[must_use]
    pub fn event_kind(&self) -> EventKind {
        match (self.fields().as_slice(), self.status, &self.password) {
            ([], ..) => EventKind::AdminSessionsEnded,
            (_, Some(AccountStatus::Inactive), _) => EventKind::AdminUserDeactivated,
            (_, _, Some(NewPassword::Set(_))) => EventKind::AdminPasswordSet,
            (_, _, Some(NewPassword::Disabled)) => EventKind::AdminPasswordDisabled,
            (_, Some(AccountStatus::Active), _) => EventKind::AdminUserActivated,
            (["name"], ..) => EventKind::AdminUserRenamed,
            _ => EventKind::AdminUserChanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_fields_do_not_hide_a_change_that_ends_sessions() {
        let name = UserChange { name: Some("Ada".parse().expect("a name")), ..UserChange::default() };
        let with_status = |status| UserChange { status: Some(status), ..name.clone() };
        let disabled = UserChange { password: Some(NewPassword::Disabled), ..name.clone() };
        let verified = UserChange { email_verified: Some(true), ..name.clone() };

        assert_eq!(with_status(AccountStatus::Inactive).event_kind(), EventKind::AdminUserDeactivated);
        assert_eq!(with_status(AccountStatus::Active).event_kind(), EventKind::AdminUserActivated);
        assert_eq!(disabled.event_kind(), EventKind::AdminPasswordDisabled);
        assert_eq!(name.event_kind(), EventKind::AdminUserRenamed);
        assert_eq!(verified.event_kind(), EventKind::AdminUserChanged);
    }
}
