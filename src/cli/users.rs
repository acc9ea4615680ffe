//! The commands about users and their sessions.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::format::{Format, json};
use crate::{
    accounts::{Administration, AdministrationError, NewUser, Who},
    clock::rfc3339,
    model::{Cursor, Email, Name, Role, Standing, User, UserQuery},
    passwords::Password,
    store::StoreTime,
};

/// How long a command waits for the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the one statement may take that changes every user.
const PATIENCE_FOR_ALL: Duration = Duration::from_mins(10);

/// What to do, and how to say what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTask {
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
    Show(Who),
    /// Set a password.
    SetPassword(Who),
    /// Give another name.
    Rename(Who, Name),
    /// Close the account, or open it again.
    SetStanding(Who, Standing),
    /// Delete the user.
    Delete(Who),
    /// End the user's sessions.
    EndSessions(Who),
    /// End all sessions of all users.
    EndAllSessions,
}

impl UserTask {
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
    /// Without a new password, where [`UserTask::asks_for_password`].
    pub async fn perform(
        self,
        administration: &Administration,
        password: Option<Password>,
    ) -> Result<String, AdministrationError> {
        let asked = || password.expect("it was asked for");
        let time = &StoreTime::of(PATIENCE);
        let done = match self.action {
            UserAction::Create(email, name, role) => {
                let new = NewUser { email, name, role, password: asked() };
                Done { user: administration.create(new, time).await?, sentence: "has been created" }
            }
            UserAction::List(query) => {
                // One more tells whether there is a next page.
                let with_next = UserQuery { limit: query.limit + 1, ..query.clone() };
                let users = administration.list(&with_next, time).await?;
                return Ok(Page::new(query.limit, &users).said(self.format));
            }
            UserAction::Show(who) => {
                let user = administration.find(&who, time).await?;
                return Ok(shown(&user, self.format));
            }
            UserAction::SetPassword(who) => {
                let user = administration.set_password(&who, asked(), time).await?;
                Done { user, sentence: "has a new password; every session has ended" }
            }
            UserAction::Rename(who, name) => {
                let user = administration.rename(&who, name, time).await?;
                Done { user, sentence: "has a new name" }
            }
            UserAction::SetStanding(who, standing) => {
                let user = administration.set_standing(&who, standing, time).await?;
                let sentence = match standing {
                    Standing::Active => "is active",
                    Standing::Inactive => "is inactive; every session has ended",
                };
                Done { user, sentence }
            }
            UserAction::Delete(who) => {
                let user = administration.delete(&who, time).await?;
                Done { user, sentence: "has been deleted; every session has ended" }
            }
            UserAction::EndSessions(who) => {
                let user = administration.end_sessions(&who, time).await?;
                Done { user, sentence: "has no session any more" }
            }
            UserAction::EndAllSessions => {
                let users = administration.end_all_sessions(&StoreTime::of(PATIENCE_FOR_ALL)).await?;
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
            Format::Json => shown(&self.user, format),
        }
    }
}

/// A user, as programs see one.
#[derive(Serialize)]
struct ShownUser<'user> {
    id: String,
    email: &'user str,
    name: &'user str,
    role: &'static str,
    standing: &'static str,
    created: String,
}

impl<'user> ShownUser<'user> {
    fn of(user: &'user User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            name: user.name.as_str(),
            role: match user.role {
                Role::Member => "member",
                Role::Administrator => "administrator",
            },
            standing: match user.standing {
                Standing::Active => "active",
                Standing::Inactive => "inactive",
            },
            created: rfc3339(user.created),
        }
    }
}

fn shown(user: &User, format: Format) -> String {
    let shown = ShownUser::of(user);
    match format {
        Format::Json => json(&shown),
        Format::Text => {
            let ShownUser { id, email, name, role, standing, created } = shown;
            let name = harmless(name);
            format!(
                "id        {id}\nemail     {email}\nname      {name}\nrole      {role}\nstanding  {standing}\ncreated   {created}"
            )
        }
    }
}

/// Some users, and where to go on.
#[derive(Serialize)]
struct Page<'users> {
    users: Vec<ShownUser<'users>>,
    /// `None` where there are no more.
    next: Option<String>,
}

impl<'users> Page<'users> {
    fn new(limit: u32, users: &'users [User]) -> Self {
        let shown = &users[..users.len().min(limit as usize)];
        let next = shown.last().filter(|_| shown.len() < users.len()).map(|user| Cursor::after(user).to_string());
        Self { users: shown.iter().map(ShownUser::of).collect(), next }
    }

    fn said(&self, format: Format) -> String {
        if format == Format::Json {
            return json(self);
        }
        let mut text = format!("{:<20}  {:<36}  {:<8}  {:<13}  EMAIL, NAME", "CREATED", "ID", "STANDING", "ROLE");
        for ShownUser { id, email, name, role, standing, created } in &self.users {
            let _ = write!(text, "\n{created}  {id}  {standing:<8}  {role:<13}  {email}, {}", harmless(name));
        }
        if let Some(next) = &self.next {
            let _ = write!(text, "\n\nFor the next page: --after {next}");
        }
        text
    }
}

/// A name as a terminal may show it: what turns the direction of writing or breaks lines is written out, so that nobody's
/// row looks like another's (Unicode Technical Report 36, section 2.4).
fn harmless(name: &str) -> String {
    let shown = |character| match character {
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            character.escape_unicode().to_string()
        }
        _ => character.to_string(),
    };
    name.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_turns_the_direction_of_its_row() {
        assert_eq!(harmless("Zoë \u{202e}adA\u{2028}x"), "Zoë \\u{202e}adA\\u{2028}x");
    }
}
