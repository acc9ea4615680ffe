//! The commands about users and their sessions.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::output::{Format, json};
use crate::{
    accounts::{AdminCall, NewUser, UserAdmin, UserAdminError, UserEdit, UserRef},
    clock::rfc3339,
    model::{
        AccountStatus, AuditOrigin, ControlEscape, Email, Name, Role, User, UserPage, UserPageQuery, escape_control,
    },
    passwords::Password,
    store::{DeletionMode, TimeBudget},
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
    Create(Email, Name, Role),
    /// List users.
    List(UserPageQuery),
    /// Show a user.
    Show(UserRef),
    /// Set the password, and end the sessions.
    SetPassword(UserRef),
    /// Change the name.
    Rename(UserRef, Name),
    /// Deactivate or activate the account.
    SetStatus(UserRef, AccountStatus),
    /// Delete the user.
    Delete(UserRef),
    /// End the user's sessions.
    EndSessions(UserRef),
    /// End all sessions of all users.
    EndAllSessions,
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
        matches!(self.action, UserAction::Create(..) | UserAction::SetPassword(_))
    }

    /// Runs the command. Returns the text to print.
    ///
    /// # Errors
    /// Returns [`UserAdminError`] if the action fails.
    ///
    /// # Panics
    /// Panics without a new password if [`UserCommand::asks_for_password`] returns `true`.
    pub async fn run(
        self,
        user_admin: &UserAdmin,
        password: Option<Password>,
        origin: AuditOrigin,
    ) -> Result<String, UserAdminError> {
        let password = || password.expect("the caller has asked for the password");
        let time = &TimeBudget::new(STORE_TIMEOUT);
        let call = &AdminCall::command_line(origin.clone(), time);
        let (user, result) = match self.action {
            UserAction::Create(email, name, role) => {
                let new = NewUser { email, email_verified: false, name, role, password: Some(password()) };
                (user_admin.create(new, call).await?, "has been created")
            }
            UserAction::List(query) => {
                let page = user_admin.page(&query, time).await?;
                return Ok(UserListView::of(&page).render(self.format));
            }
            UserAction::Show(user) => return Ok(render(&user_admin.find(&user, time).await?, self.format)),
            UserAction::SetPassword(user) => {
                let user = user_admin.set_password(&user, password(), call).await?;
                (user, "has a new password; every session has ended")
            }
            UserAction::Rename(user, name) => {
                let edit = UserEdit { name: Some(name), ..UserEdit::default() };
                (user_admin.edit(&user, edit, call).await?, "has a new name")
            }
            UserAction::SetStatus(user, status) => {
                let result = match status {
                    AccountStatus::Active => "is active",
                    AccountStatus::Inactive => "is inactive; every session has ended",
                };
                let edit = UserEdit { status: Some(status), ..UserEdit::default() };
                (user_admin.edit(&user, edit, call).await?, result)
            }
            UserAction::Delete(user) => {
                let user = user_admin.find(&user, time).await?;
                user_admin.delete(vec![user.id], DeletionMode::Real, call).await?;
                (user, "has been deleted; every session has ended")
            }
            UserAction::EndSessions(user) => (user_admin.end_sessions(&user, call).await?, "has no sessions"),
            UserAction::EndAllSessions => {
                let time = TimeBudget::new(STORE_TIMEOUT_FOR_ALL);
                let users = user_admin.end_all_sessions(&AdminCall::command_line(origin, &time)).await?;
                return Ok(format!("ended every session of {users} users"));
            }
        };
        Ok(match self.format {
            Format::Text => format!("{} ({}) {result}", escaped(user.email.as_str()), user.id),
            Format::Json => render(&user, self.format),
        })
    }
}

/// A user as JSON.
#[derive(Serialize)]
pub(super) struct UserView<'user> {
    pub id: String,
    pub email: &'user str,
    pub email_verified: bool,
    pub name: &'user str,
    pub role: &'static str,
    #[serde(rename = "standing")]
    pub status: &'static str,
    pub created: String,
}

impl<'user> UserView<'user> {
    pub fn of(user: &'user User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            email_verified: user.email_verified,
            name: user.name.as_str(),
            role: user.role.name(),
            status: user.status.name(),
            created: rfc3339(user.created),
        }
    }
}

/// Escapes control characters of a stored text, which another program may have written.
pub(super) fn escaped(stored: &str) -> String {
    escape_control(stored, ControlEscape::Rust)
}

fn render(user: &User, format: Format) -> String {
    let view = UserView::of(user);
    match format {
        Format::Json => json(&view),
        Format::Text => {
            let UserView { id, email, name, role, status, created, .. } = view;
            let (email, name) = (escaped(email), escaped(name));
            format!(
                "id        {id}\nemail     {email}\nname      {name}\nrole      {role}\nstatus    {status}\ncreated   {created}"
            )
        }
    }
}

/// A page of users as JSON.
#[derive(Serialize)]
struct UserListView<'users> {
    users: Vec<UserView<'users>>,
    /// The cursor of the next page, if any.
    next: Option<String>,
}

impl<'users> UserListView<'users> {
    fn of(page: &'users UserPage) -> Self {
        let users = page.users.iter().map(|found| UserView::of(&found.user)).collect();
        Self { users, next: page.next.as_ref().map(ToString::to_string) }
    }

    fn render(&self, format: Format) -> String {
        if format == Format::Json {
            return json(self);
        }
        let mut text = format!("{:<20}  {:<36}  {:<8}  {:<13}  EMAIL, NAME", "CREATED", "ID", "STATUS", "ROLE");
        for UserView { id, email, name, role, status, created, .. } in &self.users {
            let (email, name) = (escaped(email), escaped(name));
            let _ = write!(text, "\n{created}  {id}  {status:<8}  {role:<13}  {email}, {name}");
        }
        if let Some(next) = &self.next {
            let _ = write!(text, "\n\nFor the next page: --after {next}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PasswordHash, UserDetails};

    #[test]
    fn printed_user_has_no_control_characters() {
        let name = "Zoë \u{202e}adA\u{2028}x\u{9b}";
        let stored = Name::from_store(name.to_owned());
        let email = Email::from_store("zoe\u{9b}@example.org".to_owned());
        let user = User::new(email, stored, PasswordHash::new(String::new()), time::OffsetDateTime::UNIX_EPOCH);

        let (text, json) = (render(&user, Format::Text), render(&user, Format::Json));
        let page = UserPage { users: vec![UserDetails { user, last_login: None }], next: None };
        let list = UserListView::of(&page).render(Format::Text);

        assert!(list.ends_with("  zoe\\u{9b}@example.org, Zoë \\u{202e}adA\\u{2028}x\\u{9b}"), "{list}");
        assert!(text.contains("\nemail     zoe\\u{9b}@example.org\n"), "{text}");
        assert!(text.contains("\nname      Zoë \\u{202e}adA\\u{2028}x\\u{9b}\n"), "{text}");
        assert!(json.contains(r#""name":"Zoë \u202eadA\u2028x\u009b""#), "{json}");
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(parsed["name"], name);
    }
}
