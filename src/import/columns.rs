//! Finds the table and the columns of users.

use super::error::ImportError;
use crate::logging::print_lines;

/// The table and the columns that the command line names; `None` for those to find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnOptions {
    /// The table, with or without its schema, or the label of the model in a dump.
    pub table: Option<String>,
    /// The column of the id.
    pub id: Option<String>,
    /// The column of the email.
    pub email: Option<String>,
    /// The columns of the name, joined by `+`.
    pub name: Option<String>,
    /// The column that tells whether the email is verified.
    pub verified: Option<String>,
    /// The column of the time of the sign-up.
    pub joined: Option<String>,
}

/// The columns to read. In a dump, the id may be the key beside the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) names: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) joined: Option<String>,
    pub(super) active: Option<String>,
    pub(super) staff: Option<String>,
    pub(super) superuser: Option<String>,
    pub(super) verified: Option<String>,
}

/// A table that may be that of the users.
pub(super) struct Candidate<'source> {
    /// The names that stand for it, the one to print first.
    pub(super) names: Vec<String>,
    pub(super) columns: &'source [String],
    /// Whether it is found without being named.
    pub(super) eligibility: Eligibility,
}

/// Whether a table is found without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Eligibility {
    /// It is, before all others.
    First,
    /// It is if there is no other.
    Second,
    /// It is not.
    Never,
}

const PASSWORD: &str = "password";

/// The names of the column of the time of the sign-up, in the order of preference.
const JOINED: [&str; 8] =
    ["date_joined", "creation_date", "created_at", "created", "joined_at", "date_created", "created_on", "joined"];

const FULL_NAMES: [&str; 4] = ["name", "full_name", "fullname", "display_name"];

const NAME_PARTS: [&str; 2] = ["first_name", "last_name"];

/// How many names an error lists.
const MAX_LISTED: usize = 60;

impl Candidate<'_> {
    /// Returns whether Django's `AbstractBaseUser` has made the table: every user of it has a password and a last login.
    fn is_table_of_users(&self, options: &ColumnOptions) -> bool {
        let has = |name: &str| self.columns.iter().any(|column| column == name);
        let email = options.email.as_deref().unwrap_or("email");
        let is_named_so = self.names.iter().any(|name| name.ends_with("_user"));
        self.eligibility != Eligibility::Never && has(PASSWORD) && has(email) && (has("last_login") || is_named_so)
    }
}

/// Returns the position of the table of users.
pub(super) fn find_table(candidates: &[Candidate<'_>], options: &ColumnOptions) -> Result<usize, ImportError> {
    let is_named = |candidate: &Candidate<'_>| match &options.table {
        Some(table) => candidate.names.iter().any(|name| name == table),
        None => candidate.is_table_of_users(options),
    };
    let all: Vec<_> = candidates.iter().enumerate().collect();
    let mut found: Vec<_> = all.iter().filter(|(_, candidate)| is_named(candidate)).collect();
    let first = found.iter().map(|(_, candidate)| candidate.eligibility).min();
    if options.table.is_none() {
        found.retain(|(_, candidate)| Some(candidate.eligibility) == first);
    }
    if let [(position, _)] = found.as_slice() {
        return Ok(*position);
    }
    let names = |candidates: &[&(usize, &Candidate<'_>)]| {
        listed(candidates.iter().filter_map(|(_, candidate)| candidate.names.first().map(String::as_str)))
    };
    let message = match (&options.table, found.is_empty()) {
        (Some(_), true) => format!("invalid --table: expected one of {}", names(&all.iter().collect::<Vec<_>>())),
        (Some(_), false) => format!("ambiguous --table: expected one of {}", names(&found)),
        (None, true) => format!(
            "found no table with the columns {PASSWORD}, {} and last_login: expected --table, and --email-column if the email has \
             another name; the tables are {}",
            options.email.as_deref().unwrap_or("email"),
            names(&all.iter().collect::<Vec<_>>())
        ),
        (None, false) => format!("found several tables of users: expected --table with one of {}", names(&found)),
    };
    Err(ImportError::Layout(message))
}

/// The columns of a table, to find some of them.
struct Available<'table>(&'table [String]);

impl Available<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|column| column == name)
    }

    /// Returns the first of these names that is one of a column.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find(|name| self.has(name)).map(|name| (*name).to_owned())
    }

    /// Returns the column that an option names, if it does.
    fn named(&self, given: Option<&str>, option: &str) -> Result<Option<String>, ImportError> {
        match given.map(str::trim) {
            Some(name) if self.has(name) => Ok(Some(name.to_owned())),
            Some(name) => Err(self.missing(option, name)),
            None => Ok(None),
        }
    }

    fn missing(&self, option: &str, name: &str) -> ImportError {
        ImportError::Layout(format!("no column `{name}`: expected {option} with one of {}", self.listed()))
    }

    fn listed(&self) -> String {
        listed(self.0.iter().map(String::as_str))
    }

    /// Returns the columns of the name, perhaps none.
    fn of_name(&self, given: Option<&str>) -> Result<Vec<String>, ImportError> {
        if let Some(given) = given {
            let parts = given.split('+').map(|part| self.named(Some(part), "--name-column"));
            return parts.filter_map(Result::transpose).collect();
        }
        if let Some(name) = self.first(&FULL_NAMES) {
            return Ok(vec![name]);
        }
        Ok(NAME_PARTS.into_iter().filter(|part| self.has(part)).map(str::to_owned).collect())
    }
}

impl Columns {
    /// Finds the columns among those of a table whose primary key is `key`.
    pub(super) fn find(columns: &[String], key: Option<&str>, options: &ColumnOptions) -> Result<Self, ImportError> {
        let available = Available(columns);
        let id = available.named(options.id.as_deref(), "--id-column")?;
        let id = id.or_else(|| key.map(str::to_owned)).or_else(|| available.first(&["id", "pk"]));
        let email =
            available.named(options.email.as_deref(), "--email-column")?.or_else(|| available.first(&["email"]));
        let no_password = || {
            let reason =
                format!("no column `{PASSWORD}`: expected a table of users; its columns are {}", available.listed());
            ImportError::Layout(reason)
        };
        let joined = available.named(options.joined.as_deref(), "--joined-column")?;
        Ok(Self {
            id: id.ok_or_else(|| available.missing("--id-column", "id"))?,
            email: email.ok_or_else(|| available.missing("--email-column", "email"))?,
            password: available.first(&[PASSWORD]).ok_or_else(no_password)?,
            names: available.of_name(options.name.as_deref())?,
            username: available.first(&["username"]),
            joined: joined.or_else(|| available.first(&JOINED)),
            active: available.first(&["is_active", "active"]),
            staff: available.first(&["is_staff", "staff"]),
            superuser: available.first(&["is_superuser", "superuser", "is_admin", "admin"]),
            verified: available.named(options.verified.as_deref(), "--verified-column")?,
        })
    }

    /// Prints a note if all accounts become active because no column tells otherwise.
    pub(super) fn print_note(&self) {
        if self.active.is_none() {
            print_lines("postern: no column `is_active` or `active`: every imported account becomes active");
        }
    }

    /// Returns the names of all columns, each once.
    pub(super) fn all(&self) -> Vec<&str> {
        let optional = [&self.username, &self.joined, &self.active, &self.staff, &self.superuser, &self.verified];
        let optional = optional.into_iter().flatten().chain(&self.names);
        let mut all = Vec::new();
        for name in [&self.id, &self.email, &self.password].into_iter().chain(optional) {
            if !all.contains(&name.as_str()) {
                all.push(name.as_str());
            }
        }
        all
    }
}

fn listed<'name>(names: impl Iterator<Item = &'name str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return "(there are none)".to_owned();
    }
    let more = if names.len() > MAX_LISTED { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(MAX_LISTED)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &str) -> Vec<String> {
        names.split(' ').map(str::to_owned).collect()
    }

    fn find(names: &str, options: &ColumnOptions) -> Result<Columns, ImportError> {
        Columns::find(&columns(names), None, options)
    }

    #[test]
    fn columns_of_the_standard_model_are_found() {
        let standard =
            "id password last_login is_superuser username first_name last_name email is_staff is_active date_joined";

        let found = find(standard, &ColumnOptions::default()).expect("all columns");

        assert_eq!(
            (found.id.as_str(), found.email.as_str(), found.names),
            ("id", "email", columns("first_name last_name"))
        );
        assert_eq!((found.joined.as_deref(), found.active.as_deref()), (Some("date_joined"), Some("is_active")));
    }

    #[test]
    fn flags_of_custom_models_are_found() {
        let found = find("id email password active staff is_admin", &ColumnOptions::default()).expect("all columns");

        let flags = [found.active, found.staff, found.superuser];
        assert_eq!(flags.map(Option::unwrap_or_default), ["active", "staff", "is_admin"]);
    }

    #[test]
    fn missing_optional_columns_are_no_error() {
        let found =
            find("pk email password creation_date name", &ColumnOptions::default()).expect("the columns needed");

        assert_eq!((found.id.as_str(), found.names), ("pk", columns("name")));
        assert_eq!((found.joined.as_deref(), found.active, found.verified), (Some("creation_date"), None, None));
    }

    #[test]
    fn named_columns_must_exist() {
        let option = |name: &str| Some(name.to_owned());
        let all = "id email password a b";
        let named = ColumnOptions { name: option("a + b"), email: option("a"), ..ColumnOptions::default() };
        let found = find(all, &named).expect("the columns named");
        assert_eq!((found.email.as_str(), found.names), ("a", columns("a b")));

        for options in [
            ColumnOptions { name: option("a+c"), ..ColumnOptions::default() },
            ColumnOptions { verified: option("c"), ..ColumnOptions::default() },
            ColumnOptions { joined: option("c"), ..ColumnOptions::default() },
        ] {
            let error = find(all, &options).expect_err("no such column").to_string();
            assert!(
                error.starts_with("no column `c`: expected --") && error.ends_with("id, email, password, a, b"),
                "{error}"
            );
        }
    }

    #[test]
    fn table_of_users_is_the_one_with_a_last_login() {
        let (users, own, other) =
            (columns("id email password last_login"), columns("id email password"), columns("id"));
        let candidate =
            |name: &str, columns, eligibility| Candidate { names: vec![name.to_owned()], columns, eligibility };
        let found = |candidates: &[Candidate<'_>]| find_table(candidates, &ColumnOptions::default());

        let table = candidate("people", &users, Eligibility::Second);
        assert!(
            found(&[candidate("users", &own, Eligibility::First), candidate("x", &other, Eligibility::First), table])
                .is_ok_and(|found| found == 2)
        );
        let view = candidate("view_user", &users, Eligibility::Never);
        assert!(found(&[view]).is_err());
        let visible = candidate("people", &users, Eligibility::First);
        let hidden = candidate("old.people", &users, Eligibility::Second);
        assert!(found(&[hidden, visible]).is_ok_and(|found| found == 1));
    }
}
