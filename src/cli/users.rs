//! The commands about users and their sessions.

use std::time::Duration;

use super::{
    output::{Format, json},
    user_list,
    user_views::{UserSummaryView, named, render, render_deleted},
};
use crate::{
    accounts::{AdminCall, EditedUser, NewUser, UserAdmin, UserAdminError, UserEdit, UserRef},
    model::{AccountStatus, Email, Name, Role, User, UserPageQuery, UserSummary},
    passwords::Password,
    store::DeletionMode,
};

/// The time limit of the store for a command.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit of the statement that changes every user.
const STORE_TIMEOUT_FOR_ALL: Duration = Duration::from_mins(10);

/// A command about users or their sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCommand {
    /// The action with its arguments.
    pub action: UserAction,
    /// The format of the output.
    pub format: Format,
}

/// The action of a [`UserCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAction {
    /// Create a user.
    Create(UserToCreate),
    /// List users. The limit may be greater than that of a page.
    List(UserPageQuery),
    /// Show a user.
    Show(UserRef),
    /// Set the password, and end the sessions.
    SetPassword(UserRef),
    /// Remove the password, and end the sessions.
    DisablePassword(UserRef),
    /// Change the name.
    Rename(UserRef, Name),
    /// Change the email. Another one is unverified, unless this says that it is verified.
    SetEmail(UserRef, Email, EmailVerification),
    /// Set whether the email is verified.
    SetEmailVerification(UserRef, EmailVerification),
    /// Change the role.
    SetRole(UserRef, Role),
    /// Deactivate or activate the account.
    SetStatus(UserRef, AccountStatus),
    /// Delete users, all or none.
    Delete(Vec<UserRef>, DeletionMode),
    /// End the user's sessions.
    EndSessions(UserRef),
    /// End all sessions of all users.
    EndAllSessions,
}

/// The user of [`UserAction::Create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserToCreate {
    /// The email to log in with.
    pub email: Email,
    /// Whether the email is verified.
    pub verification: EmailVerification,
    /// The display name.
    pub name: Name,
    /// The role.
    pub role: Role,
    /// Whether the user has a password.
    pub password: InitialPassword,
}

/// Whether an email is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailVerification {
    /// It is.
    Verified,
    /// It is not.
    Unverified,
}

/// Whether a new user has a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialPassword {
    /// The command asks for it.
    Asked,
    /// None is accepted until one is set.
    None,
}

impl UserCommand {
    /// Returns whether the command creates a user, possibly the first one of a new store.
    #[must_use]
    pub fn creates_user(&self) -> bool {
        matches!(self.action, UserAction::Create(..))
    }

    /// Returns whether the command needs a new password.
    #[must_use]
    pub fn asks_for_password(&self) -> bool {
        match &self.action {
            UserAction::Create(new) => new.password == InitialPassword::Asked,
            action => matches!(action, UserAction::SetPassword(_)),
        }
    }

    /// Returns the time limit of the store calls of the command. A list has one for each page.
    #[must_use]
    pub fn store_timeout(&self) -> Duration {
        match self.action {
            UserAction::EndAllSessions => STORE_TIMEOUT_FOR_ALL,
            _ => STORE_TIMEOUT,
        }
    }

    /// Runs the command. Returns the text to print.
    ///
    /// # Errors
    /// Returns [`UserAdminError`] if the action fails.
    pub async fn run(
        self,
        user_admin: &UserAdmin,
        password: Option<Password>,
        call: &AdminCall<'_>,
    ) -> Result<String, UserAdminError> {
        match self.action {
            UserAction::List(query) => user_list::list(user_admin, query, self.format).await,
            UserAction::Show(user_ref) => {
                let id = user_admin.find(&user_ref, call.time).await?.id;
                Ok(render(&user_admin.summary(id, call.time).await?, self.format))
            }
            UserAction::Delete(user_refs, mode) => {
                let users = delete(user_admin, &user_refs, mode, call).await?;
                Ok(render_deleted(&users, mode, self.format))
            }
            UserAction::EndAllSessions => {
                let users = user_admin.end_all_sessions(call).await?;
                Ok(format!("ended every session of {users} users"))
            }
            action => {
                let (user, result) = change(user_admin, action, password, call).await?;
                Ok(match self.format {
                    Format::Text => format!("{} {result}", named(&user.email, user.id)),
                    Format::Json => json(&UserSummaryView::of(&user)),
                })
            }
        }
    }
}

/// Creates or changes one user. Returns the user now, and what has become of them.
async fn change(
    user_admin: &UserAdmin,
    action: UserAction,
    password: Option<Password>,
    call: &AdminCall<'_>,
) -> Result<(UserSummary, &'static str), UserAdminError> {
    let edit = async |user: UserRef, edit: UserEdit, result| {
        let EditedUser { user, is_changed } = user_admin.edit(&user, edit, call).await?;
        Ok::<_, UserAdminError>((user, if is_changed { result } else { "is unchanged" }))
    };
    Ok(match action {
        UserAction::Create(UserToCreate { email, verification, name, role, password: _ }) => {
            let email_verified = verification == EmailVerification::Verified;
            let status = AccountStatus::Active;
            let new = NewUser { email, email_verified, name, role, status, password };
            (user_admin.create(new, call).await?, "has been created")
        }
        UserAction::SetPassword(user) => {
            let password = password.unwrap_or_else(|| unreachable!("the caller has asked for the password"));
            let user = user_admin.set_password(&user, password, call).await?;
            (user, "has a new password; every session has ended")
        }
        UserAction::DisablePassword(user) => {
            (user_admin.disable_password(&user, call).await?, "has no password; every session has ended")
        }
        UserAction::Rename(user, name) => {
            edit(user, UserEdit { name: Some(name), ..UserEdit::default() }, "has a new name").await?
        }
        UserAction::SetEmail(user, email, verification) => {
            let email_verified = (verification == EmailVerification::Verified).then_some(true);
            let new = UserEdit { email: Some(email), email_verified, ..UserEdit::default() };
            edit(user, new, "has a new email").await?
        }
        UserAction::SetEmailVerification(user, verification) => {
            let is_verified = verification == EmailVerification::Verified;
            let result = if is_verified { "has a verified email" } else { "has an unverified email" };
            edit(user, UserEdit { email_verified: Some(is_verified), ..UserEdit::default() }, result).await?
        }
        UserAction::SetRole(user, role) => {
            let result = match role {
                Role::Member => "is a member",
                Role::Administrator => "is an administrator",
            };
            edit(user, UserEdit { role: Some(role), ..UserEdit::default() }, result).await?
        }
        UserAction::SetStatus(user, status) => {
            let result = match status {
                AccountStatus::Active => "is active",
                AccountStatus::Inactive => "is inactive; every session has ended",
            };
            edit(user, UserEdit { status: Some(status), ..UserEdit::default() }, result).await?
        }
        UserAction::EndSessions(user) => (user_admin.end_sessions(&user, call).await?, "has no sessions"),
        UserAction::List(_) | UserAction::Show(_) | UserAction::Delete(..) | UserAction::EndAllSessions => {
            unreachable!("these change no single user")
        }
    })
}

/// Deletes users, all or none: if one of them does not exist, none is deleted.
async fn delete(
    user_admin: &UserAdmin,
    user_refs: &[UserRef],
    mode: DeletionMode,
    call: &AdminCall<'_>,
) -> Result<Vec<User>, UserAdminError> {
    let mut ids = Vec::new();
    for user_ref in user_refs {
        ids.push(user_admin.find(user_ref, call.time).await?.id);
    }
    Ok(user_admin.delete(ids, mode, call).await?.deleted)
}
