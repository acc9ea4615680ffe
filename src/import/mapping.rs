//! Makes users of the rows of a source.

use time::{Duration, OffsetDateTime};

use super::{
    rows::{BrokenRow, Joined, SourceUser},
    text_values::{time, truth},
    user_id::imported_user_id,
};
use crate::{
    clock::whole_milliseconds,
    model::{AccountStatus, Email, Epoch, MAX_NAME_CHARACTERS, Name, PasswordHash, Role, User, UserId, is_plain},
    passwords::{ImportedHash, UnusableHash},
    store::{ImportDecision, StagedUser},
};

/// The longest id in the source, in characters.
const MAX_ID_CHARACTERS: usize = 255;

/// Marks an unusable password of Django.
const UNUSABLE: char = '!';

/// How far a time may be in the future: clocks differ.
const TOLERANCE: Duration = Duration::DAY;

/// How rows become users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The role of staff members. Superusers become administrators.
    pub staff_as: Role,
    /// The time of the import.
    pub now: OffsetDateTime,
}

impl Mapping {
    /// Makes a user of a row. A row without an id or a usable email is broken; any other user is staged, even if it is refused.
    pub(super) fn user(&self, source: SourceUser) -> Result<StagedUser, BrokenRow> {
        let (old_id, email) = match (old_id(source.id.as_deref()), email(source.email.as_deref())) {
            (Ok(id), Ok(email)) => (id, email),
            (Err(reason), _) | (_, Err(reason)) => {
                return Err(BrokenRow { row: source.row, id: source.id, email: source.email, reason });
            }
        };
        let mut remarks = Remarks::default();
        let joined = self.joined(&source.joined);
        if joined.is_none() && source.joined != Joined::NoColumn {
            remarks.note("the time of the sign-up is missing or out of range: replaced by the time of the import");
        }
        let (password, recipe) = password(source.password, &mut remarks);
        let user = User {
            id: imported_user_id(joined, &old_id),
            email_verified: source.is_address_verified || remarks.truth("verified column", source.verified.as_deref()),
            name: name(&source.names, source.username.as_deref(), &email, &mut remarks),
            password,
            status: if remarks.truth("is_active", source.active.as_deref()) {
                AccountStatus::Active
            } else {
                AccountStatus::Inactive
            },
            role: self.role(source.superuser.as_deref(), source.staff.as_deref(), &mut remarks),
            epoch: Epoch::random(),
            surviving_session: None,
            created: whole_milliseconds(joined.unwrap_or(self.now)),
            email,
        };
        let (decision, remark) = remarks.finish();
        Ok(StagedUser { row: source.row, old_id, user, recipe, decision, remark })
    }

    /// Returns what is staged of a broken row if its email is valid: the email counts as used in the source.
    pub(super) fn unreadable(&self, broken: &BrokenRow) -> Option<StagedUser> {
        let email = email(broken.email.as_deref()).ok()?;
        let user = User {
            id: UserId::new(self.now),
            email_verified: false,
            name: Name::from_store(String::new()),
            password: None,
            status: AccountStatus::Inactive,
            role: Role::Member,
            epoch: Epoch::random(),
            surviving_session: None,
            created: whole_milliseconds(self.now),
            email,
        };
        let (old_id, decision) = (String::new(), ImportDecision::Unreadable);
        Some(StagedUser { row: broken.row, old_id, user, recipe: None, decision, remark: None })
    }

    /// Returns the time of the sign-up, unless it is before 1970 or in the future.
    fn joined(&self, joined: &Joined) -> Option<OffsetDateTime> {
        let Joined::Text(text) = joined else { return None };
        let plausible = OffsetDateTime::UNIX_EPOCH..=self.now.saturating_add(TOLERANCE);
        time(text).filter(|joined| plausible.contains(joined))
    }

    fn role(&self, superuser: Option<&str>, staff: Option<&str>, remarks: &mut Remarks) -> Role {
        let is_superuser = remarks.truth("is_superuser", superuser);
        let is_staff = remarks.truth("is_staff", staff);
        match (is_superuser, is_staff) {
            (true, _) => Role::Administrator,
            (false, true) => self.staff_as,
            (false, false) => Role::Member,
        }
    }
}

/// What is reported about a user.
#[derive(Default)]
struct Remarks {
    refusals: Vec<String>,
    notes: Vec<String>,
}

impl Remarks {
    fn refuse(&mut self, reason: impl Into<String>) {
        self.refusals.push(reason.into());
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Reads a truth value, and refuses the user if it is none.
    fn truth(&mut self, column: &str, value: Option<&str>) -> bool {
        truth(value).unwrap_or_else(|| {
            self.refuse(format!("invalid {column}: expected true or false"));
            false
        })
    }

    /// Returns whether the user is refused, and the reasons of that or else the notes.
    fn finish(self) -> (ImportDecision, Option<String>) {
        let (decision, remarks) = if self.refusals.is_empty() {
            (ImportDecision::Insert, self.notes)
        } else {
            (ImportDecision::Refused, self.refusals)
        };
        (decision, (!remarks.is_empty()).then(|| remarks.join("; ")))
    }
}

fn old_id(id: Option<&str>) -> Result<String, String> {
    let id = id
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .ok_or("no id: expected one (dumpdata leaves it out with --natural-primary)")?;
    if !is_plain(id) || id.chars().count() > MAX_ID_CHARACTERS {
        return Err(format!("invalid id: expected at most {MAX_ID_CHARACTERS} visible characters"));
    }
    Ok(id.to_owned())
}

fn email(email: Option<&str>) -> Result<Email, String> {
    let email = email.filter(|email| !email.trim().is_empty()).ok_or("no email: it is needed for the login")?;
    Email::of_existing_account(email).map_err(|error| format!("invalid email: {error}"))
}

/// Returns the hash to keep and its recipe.
fn password(encoded: Option<String>, remarks: &mut Remarks) -> (Option<PasswordHash>, Option<String>) {
    let Some(encoded) = encoded.filter(|encoded| !encoded.is_empty() && !encoded.starts_with(UNUSABLE)) else {
        return (None, None);
    };
    let encoded = PasswordHash::new(encoded);
    let parsed = match encoded.as_phc() {
        // A hash that begins so would be taken for one of Postern.
        text if text.starts_with('$') => Err(UnusableHash::Algorithm),
        text if !is_plain(text) => Err(UnusableHash::Malformed),
        text => ImportedHash::parse(text),
    };
    match parsed {
        Ok(hash) => (Some(encoded), Some(hash.recipe().to_owned())),
        Err(error @ UnusableHash::Algorithm) => {
            remarks.note(format!("imported without a password: {error}"));
            (None, None)
        }
        Err(error) => {
            remarks.refuse(format!("password: {error}"));
            (None, None)
        }
    }
}

/// Returns the name: that of the columns, or else the user name, or else the local part of the email.
fn name(parts: &[String], username: Option<&str>, email: &Email, remarks: &mut Remarks) -> Name {
    let written = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    if let Ok(name) = written.parse() {
        return name;
    }
    let cleaned = cleaned(&written);
    if let Ok(name) = cleaned.parse() {
        remarks.note("the name was changed: too long, or with control characters");
        return name;
    }
    if !written.is_empty() {
        remarks.note("the name was replaced: it has no visible character");
    }
    let (local_part, _) = email.as_str().rsplit_once('@').unwrap_or((email.as_str(), ""));
    // A user name that is an address would only repeat the email.
    let username = username.filter(|name| !name.contains('@')).and_then(|name| name.parse().ok());
    username.unwrap_or_else(|| Name::from_store(local_part.to_owned()))
}

/// Replaces control characters by spaces, removes bidirectional formatting and U+FFFD, and cuts the name at its maximum length.
fn cleaned(name: &str) -> String {
    let is_removed =
        |character: char| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}');
    let is_space = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    let characters = name.chars().filter(|character| !is_removed(*character));
    let characters = characters.map(|character| if is_space(character) { ' ' } else { character });
    characters.take(MAX_NAME_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const HASH: &str = "pbkdf2_sha256$1000000$vfYvVNXFKqR9qGf0RtqmTz$2OeLhv3g1QHspbJAQbSB2Ww2YNaIM4xZVug1F2ofGkc=";

    fn source() -> SourceUser {
        let text = |text: &str| Some(text.to_owned());
        SourceUser {
            row: 1,
            id: text("1"),
            email: text("Ada@Example.org"),
            password: text(HASH),
            names: vec!["Ada".to_owned(), "Lovelace".to_owned()],
            username: text("ada"),
            joined: Joined::Text("2020-01-02 03:04:05.678901+00".to_owned()),
            active: text("true"),
            ..SourceUser::default()
        }
    }

    fn mapped(source: SourceUser) -> StagedUser {
        let mapping = Mapping { staff_as: Role::Member, now: datetime!(2026-11-29 12:00 UTC) };
        mapping.user(source).expect("an id and an email")
    }

    #[test]
    fn row_becomes_a_user_in_every_field() {
        let staged = mapped(SourceUser { verified: Some("t".to_owned()), ..source() });

        let user = &staged.user;
        assert_eq!(
            (user.email.as_str(), user.name.as_str(), user.email_verified),
            ("ada@example.org", "Ada Lovelace", true)
        );
        assert_eq!((user.status, user.role), (AccountStatus::Active, Role::Member));
        assert_eq!(user.created, datetime!(2020-01-02 03:04:05.678 UTC));
        assert_eq!(user.password.as_ref().map(PasswordHash::as_phc), Some(HASH));
        assert_eq!(
            (staged.recipe.as_deref(), staged.decision, staged.remark),
            (Some("pbkdf2_sha256$1000000"), ImportDecision::Insert, None)
        );
    }

    #[test]
    fn name_falls_back_to_the_user_name_and_the_local_part() {
        let name = |names: &[&str], username: &str| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let staged = mapped(SourceUser { names, username: Some(username.to_owned()), ..source() });
            (staged.user.name.as_str().to_owned(), staged.remark.is_some())
        };

        assert_eq!(name(&["", " "], "countess"), ("countess".to_owned(), false));
        assert_eq!(name(&[], "ada@example.org"), ("ada".to_owned(), false));
        assert_eq!(name(&["", "Lovelace "], "ada"), ("Lovelace".to_owned(), false));
        assert_eq!(name(&["\u{200b}\u{2060}"], "\u{1b}[31m"), ("ada".to_owned(), true));
        assert_eq!(name(&["A\u{202e}da\nL\0"], ""), ("Ada L".to_owned(), true));
        assert_eq!(name(&[&"ë".repeat(300)], ""), ("ë".repeat(255), true));
    }

    #[test]
    fn passwords_that_are_never_verified_are_not_kept() {
        let password = |password: &str| {
            let staged = mapped(SourceUser { password: Some(password.to_owned()), ..source() });
            assert!(staged.user.password.is_none() && staged.recipe.is_none(), "{password}");
            (staged.decision == ImportDecision::Refused, staged.remark.is_some())
        };

        for unusable in ["", "!", "!JJGoClGi2cjcCbLFpvWzQyqYxvSqIJIdGTP4SmYL"] {
            assert_eq!(password(unusable), (false, false), "{unusable}");
        }
        for insecure in ["md5$salt$0cc175b9c0f1b6a831c399e269772661", "0cc175b9c0f1b6a831c399e269772661", "plain"] {
            assert_eq!(password(insecure), (false, true), "{insecure}");
        }
        // A hash that begins so would be taken for one of Postern.
        assert_eq!(password("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"), (false, true));
        assert_eq!(password("pbkdf2_sha256$1000000$salt\0$hash"), (true, true));
    }

    #[test]
    fn invalid_ids_are_refused() {
        let mapping = Mapping { staff_as: Role::Member, now: datetime!(2026-11-29 12:00 UTC) };
        for id in [None, Some(" "), Some("1\n2"), Some("1\0"), Some(&*"1".repeat(256))] {
            let broken = mapping.user(SourceUser { id: id.map(str::to_owned), ..source() }).expect_err("no id");
            assert!(broken.reason.contains("id"), "{}", broken.reason);
        }
    }
}
