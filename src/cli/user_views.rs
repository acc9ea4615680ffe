//! Users in the output of commands.

use serde::Serialize;

use super::output::{Format, json};
use crate::{
    clock::rfc3339,
    model::{ControlEscape, Email, User, UserId, UserSummary, escape_control},
    store::DeletionMode,
};

/// Returns the email and the id.
pub(super) fn named(email: &Email, id: UserId) -> String {
    format!("{} ({id})", escaped(email.as_str()))
}

/// An exported or deleted user as JSON.
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

/// A user as JSON, as administrators see them.
#[derive(Serialize)]
pub(super) struct UserSummaryView<'user> {
    pub id: String,
    pub email: &'user str,
    pub email_verified: bool,
    pub name: &'user str,
    pub role: &'static str,
    #[serde(rename = "standing")]
    pub status: &'static str,
    pub created: String,
    pub has_password: bool,
    pub last_login: Option<String>,
}

impl<'user> UserSummaryView<'user> {
    pub fn of(user: &'user UserSummary) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            email_verified: user.email_verified,
            name: user.name.as_str(),
            role: user.role.name(),
            status: user.status.name(),
            created: rfc3339(user.created),
            has_password: user.has_password,
            last_login: user.last_login.map(rfc3339),
        }
    }
}

/// Deleted users as JSON.
#[derive(Serialize)]
struct DeletedUsersView<'users> {
    users: Vec<UserView<'users>>,
    dry_run: bool,
}

/// Escapes control characters of a stored text, which another program may have written.
pub(super) fn escaped(stored: &str) -> String {
    escape_control(stored, ControlEscape::Rust)
}

pub(super) fn render(user: &UserSummary, format: Format) -> String {
    let user = UserSummaryView::of(user);
    if format == Format::Json {
        return json(&user);
    }
    let (email, name) = (escaped(user.email), escaped(user.name));
    let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    let rows = [
        ("id", user.id.clone()),
        ("email", email),
        ("verified", yes_or_no(user.email_verified)),
        ("name", name),
        ("role", user.role.to_owned()),
        ("status", user.status.to_owned()),
        ("password", yes_or_no(user.has_password)),
        ("created", user.created.clone()),
        ("last login", user.last_login.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    rows.map(|(label, value)| format!("{label:<10}  {value}")).join("\n")
}

pub(super) fn render_deleted(users: &[User], mode: DeletionMode, format: Format) -> String {
    let is_dry_run = mode == DeletionMode::DryRun;
    if format == Format::Json {
        return json(&DeletedUsersView { users: users.iter().map(UserView::of).collect(), dry_run: is_dry_run });
    }
    let result = if is_dry_run { "would be deleted" } else { "has been deleted; every session has ended" };
    users.iter().map(|user| format!("{} {result}", named(&user.email, user.id))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Email, Name, PasswordHash};

    #[test]
    fn printed_user_has_no_control_characters() {
        let name = "Zoë \u{202e}adA\u{2028}x\u{9b}";
        let stored = Name::from_store(name.to_owned());
        let email = Email::from_store("zoe\u{9b}@example.org".to_owned());
        let user = User::new(email, stored, PasswordHash::new(String::new()), time::OffsetDateTime::UNIX_EPOCH);
        let summary = UserSummary::of(&user, None);

        let (text, json) = (render(&summary, Format::Text), render(&summary, Format::Json));
        let deleted = render_deleted(&[user], DeletionMode::DryRun, Format::Text);

        assert!(text.contains("\nemail       zoe\\u{9b}@example.org\n"), "{text}");
        assert!(text.contains("\nname        Zoë \\u{202e}adA\\u{2028}x\\u{9b}\n"), "{text}");
        assert!(text.ends_with("\ncreated     1970-01-01T00:00:00Z\nlast login  -"), "{text}");
        assert!(json.contains(r#""name":"Zoë \u202eadA\u2028x\u009b""#), "{json}");
        assert!(
            deleted.starts_with("zoe\\u{9b}@example.org (") && deleted.ends_with(") would be deleted"),
            "{deleted}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&parsed["name"], &parsed["has_password"]), (&name.into(), &true.into()));
    }
}
