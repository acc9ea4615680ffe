//! Users, as the admin API shows them.

use serde::{Serialize, Serializer};

use crate::{
    accounts::DeletedUsers,
    clock::rfc3339,
    model::{User, UserPage, UserSummary},
    store::DeletionMode,
};

/// A user, with all that is kept of them except the epoch and the hash of the password.
#[derive(Serialize)]
pub struct UserView<'user> {
    id: String,
    email: &'user str,
    email_verified: bool,
    name: &'user str,
    role: &'static str,
    status: &'static str,
    has_password: bool,
    created: String,
    last_login: Option<String>,
}

impl<'user> From<&'user UserSummary> for UserView<'user> {
    fn from(user: &'user UserSummary) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            email_verified: user.email_verified,
            name: user.name.as_str(),
            role: user.role.name(),
            status: user.status.name(),
            has_password: user.has_password,
            created: rfc3339(user.created),
            last_login: user.last_login.map(rfc3339),
        }
    }
}

/// A user, shown as [`UserView`] does.
pub struct OwnedUserView(pub UserSummary);

impl Serialize for OwnedUserView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        UserView::from(&self.0).serialize(serializer)
    }
}

/// A page of users.
#[derive(Serialize)]
pub struct UserPageView<'page> {
    users: Vec<UserView<'page>>,
    next: Option<String>,
}

impl<'page> From<&'page UserPage> for UserPageView<'page> {
    fn from(page: &'page UserPage) -> Self {
        Self {
            users: page.users.iter().map(UserView::from).collect(),
            next: page.next.as_ref().map(ToString::to_string),
        }
    }
}

/// What a deletion removed, or would remove.
#[derive(Serialize)]
pub struct DeletionView<'deletion> {
    dry_run: bool,
    deleted: Vec<DeletedUserView<'deletion>>,
    not_found: Vec<String>,
}

/// A deleted user, with what tells people who it was.
#[derive(Serialize)]
struct DeletedUserView<'user> {
    id: String,
    email: &'user str,
    name: &'user str,
    role: &'static str,
}

impl<'deletion> DeletionView<'deletion> {
    pub fn of(deletion: &'deletion DeletedUsers, mode: DeletionMode) -> Self {
        let view = |user: &'deletion User| DeletedUserView {
            id: user.id.to_string(),
            email: user.email.as_str(),
            name: user.name.as_str(),
            role: user.role.name(),
        };
        Self {
            dry_run: mode == DeletionMode::DryRun,
            deleted: deletion.deleted.iter().map(view).collect(),
            not_found: deletion.not_found.iter().map(ToString::to_string).collect(),
        }
    }
}
