//! The commands about users and their sessions.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::format::{Format, json};
use crate::{
    accounts::{NewUser, UserAdmin, UserAdminError, UserRef},
    clock::rfc3339,
    model::{AccountStatus, ControlEscape, Cursor, Email, Name, Role, User, UserQuery, escape_control},
    passwords::Password,
    store::TimeBudget,
};

/// How long a command waits for the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the one statement may take that changes every user.
const PATIENCE_FOR_ALL: Duration = Duration::from_mins(10);

/// What to do, and how to say what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCommand {
    /// What to do.
    pub action: UserAction,
    /// How to say it.
    pub format: Format,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserAction {
    /// Make a user.
    Create(Email, Name, Role),
    /// Show users.
    List(UserQuery),
    /// Show a user.
    Show(UserRef),
    /// Set a password.
    SetPassword(UserRef),
    /// Give another name.
    Rename(UserRef, Name),
    /// Close the account, or open it again.
    SetStatus(UserRef, AccountStatus),
    /// Delete the user.
    Delete(UserRef),
    /// End the user's sessions.
    EndSessions(UserRef),
    /// End all sessions of all users.
    EndAllSessions,
}

impl UserCommand {
    /// Whether it may be the first thing that is done in a place.
    #[must_use]
    pub fn makes_first_user(&self) -> bool {
        matches!(self.action, UserAction::Create(..))
    }

    /// Whether it takes a new password.
    #[must_use]
    pub fn asks_for_password(&self) -> bool {
        matches!(self.action, UserAction::Create(..) | UserAction::SetPassword(_))
    }

    /// Does it, and returns what to print.
    ///
    /// # Errors
    /// Where it could not be done.
    ///
    /// # Panics
    /// Without a new password, where [`UserCommand::asks_for_password`].
    pub async fn run(self, user_admin: &UserAdmin, password: Option<Password>) -> Result<String, UserAdminError> {
        let asked = || password.expect("it was asked for");
        let time = &TimeBudget::new(PATIENCE);
        let done = match self.action {
            UserAction::Create(email, name, role) => {
                let new = NewUser { email, name, role, password: asked() };
                Done { user: user_admin.create(new, time).await?, sentence: "has been created" }
            }
            UserAction::List(query) => {
                // One more tells whether there is a next page.
                let with_next = UserQuery { limit: query.limit + 1, ..query.clone() };
                let users = user_admin.list(&with_next, time).await?;
                return Ok(Page::new(query.limit, &users).said(self.format));
            }
            UserAction::Show(who) => {
                let user = user_admin.find(&who, time).await?;
                return Ok(view(&user, self.format));
            }
            UserAction::SetPassword(who) => {
                let user = user_admin.set_password(&who, asked(), time).await?;
                Done { user, sentence: "has a new password; every session has ended" }
            }
            UserAction::Rename(who, name) => {
                let user = user_admin.rename(&who, name, time).await?;
                Done { user, sentence: "has a new name" }
            }
            UserAction::SetStatus(who, status) => {
                let user = user_admin.set_status(&who, status, time).await?;
                let sentence = match status {
                    AccountStatus::Active => "is active",
                    AccountStatus::Inactive => "is inactive; every session has ended",
                };
                Done { user, sentence }
            }
            UserAction::Delete(who) => {
                let user = user_admin.delete(&who, time).await?;
                Done { user, sentence: "has been deleted; every session has ended" }
            }
            UserAction::EndSessions(who) => {
                let user = user_admin.end_sessions(&who, time).await?;
                Done { user, sentence: "has no session any more" }
            }
            UserAction::EndAllSessions => {
                let users = user_admin.end_all_sessions(&TimeBudget::new(PATIENCE_FOR_ALL)).await?;
                return Ok(format!("every session has ended, of {users} users"));
            }
        };
        Ok(done.said(self.format))
    }
}

/// What was done to a user.
struct Done {
    user: User,
    sentence: &'static str,
}

impl Done {
    fn said(&self, format: Format) -> String {
        match format {
            Format::Text => format!("{} ({}) {}", self.user.email.as_str(), self.user.id, self.sentence),
            Format::Json => view(&self.user, format),
        }
    }
}

/// A user, as programs see one.
#[derive(Serialize)]
struct UserView<'user> {
    id: String,
    email: &'user str,
    name: &'user str,
    role: &'static str,
    #[serde(rename = "standing")]
    status: &'static str,
    created: String,
}

impl<'user> UserView<'user> {
    fn of(user: &'user User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            name: user.name.as_str(),
            role: match user.role {
                Role::Member => "member",
                Role::Administrator => "administrator",
            },
            status: match user.status {
                AccountStatus::Active => "active",
                AccountStatus::Inactive => "inactive",
            },
            created: rfc3339(user.created),
        }
    }
}

fn view(user: &User, format: Format) -> String {
    let shown = UserView::of(user);
    match format {
        Format::Json => json(&shown),
        Format::Text => {
            let UserView { id, email, name, role, status, created } = shown;
            let name = escape_control(name, ControlEscape::Rust);
            format!(
                "id        {id}\nemail     {email}\nname      {name}\nrole      {role}\nstatus    {status}\ncreated   {created}"
            )
        }
    }
}

/// Some users, and where to go on.
#[derive(Serialize)]
struct Page<'users> {
    users: Vec<UserView<'users>>,
    /// `None` where there are no more.
    next: Option<String>,
}

impl<'users> Page<'users> {
    fn new(limit: u32, users: &'users [User]) -> Self {
        let shown = &users[..users.len().min(limit as usize)];
        let next = shown.last().filter(|_| shown.len() < users.len()).map(|user| Cursor::after(user).to_string());
        Self { users: shown.iter().map(UserView::of).collect(), next }
    }

    fn said(&self, format: Format) -> String {
        if format == Format::Json {
            return json(self);
        }
        let mut text = format!("{:<20}  {:<36}  {:<8}  {:<13}  EMAIL, NAME", "CREATED", "ID", "STANDING", "ROLE");
        for UserView { id, email, name, role, status, created } in &self.users {
            let _ = write!(
                text,
                "\n{created}  {id}  {status:<8}  {role:<13}  {email}, {}",
                escape_control(name, ControlEscape::Rust)
            );
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
    use crate::model::PasswordHash;

    #[test]
    fn printed_user_has_no_bidi_controls() {
        let name = Name::from_store("Zoë \u{202e}adA\u{2028}x".to_owned());
        let email = "zoe@example.org".parse().expect("an address");
        let user = User::new(email, name, PasswordHash::new(String::new()), time::OffsetDateTime::UNIX_EPOCH);

        let text = view(&user, Format::Text);

        assert!(text.contains("\nname      Zoë \\u{202e}adA\\u{2028}x\n"), "{text}");
    }
}
