//! The command that writes all users to standard output.

use std::{
    io, iter, mem,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use clap::{ValueEnum, builder::PossibleValue};
use serde::Serialize;

use super::{
    output::{OutputReader, json},
    user_views::{UserView, escaped},
};
use crate::{
    model::{PasswordHash, User, UserId, neutralised_cell},
    store::{StoreError, TimeBudget, UserStore},
};

/// The users of a page: about 300 KB of output. Each page is one statement, so neither a long transaction nor a long statement
/// delays a server.
const PAGE: u32 = 1000;

/// The time limit of the store for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The columns of CSV. The last one is present only with hashes.
const COLUMNS: [&str; 8] = ["id", "email", "email_verified", "name", "role", "standing", "created", "password"];

/// The command `user export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserExport {
    /// The format of the output.
    pub format: ExportFormat,
    /// Whether the output contains password hashes.
    pub with_hashes: bool,
}

/// The format of exported users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A JSON object on each line.
    Jsonl,
    /// CSV with a header (RFC 4180), whose lines end with a line feed.
    Csv,
}

impl ValueEnum for ExportFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Jsonl, Self::Csv]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }))
    }
}

/// An error in the middle of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error("failed to write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl UserExport {
    /// Writes all users by `write`, in the order of their ids, and adds them to `begun`, a page before it is written. Reads a page while the one before is
    /// written, and keeps no more than two in memory. Ends early, with [`OutputReader::Gone`], if the output has no reader.
    ///
    /// Each user is written at most once. A user who is created, changed or deleted meanwhile is written as they are when
    /// their page is read, if they exist then.
    ///
    /// # Errors
    /// Returns [`ExportError`] if the store or the output fails; then the output is incomplete.
    pub async fn run<W>(
        self,
        users: &dyn UserStore,
        begun: &AtomicU64,
        mut write: W,
    ) -> Result<OutputReader, ExportError>
    where
        W: AsyncFnMut(Vec<u8>) -> io::Result<OutputReader>,
    {
        let mut text = self.header();
        let mut next = read_page(users, None).await?;
        loop {
            let page = next;
            text.extend(self.lines(&page));
            let last = page.last().map(|user| user.id).filter(|_| page.len() >= PAGE as usize);
            let reading = async {
                match last {
                    Some(last) => read_page(users, Some(last)).await,
                    None => Ok(Vec::new()),
                }
            };
            // Before it is written: of an incomplete output, nobody knows how much was read.
            begun.fetch_add(u64::try_from(page.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
            let (reader, read) = tokio::join!(write(mem::take(&mut text)), reading);
            if reader? == OutputReader::Gone {
                return Ok(OutputReader::Gone);
            }
            next = read?;
            if next.is_empty() {
                return Ok(OutputReader::Open);
            }
        }
    }

    fn header(self) -> Vec<u8> {
        match self.format {
            ExportFormat::Jsonl => Vec::new(),
            ExportFormat::Csv => csv_lines(iter::once(COLUMNS[..self.columns()].to_vec())),
        }
    }

    fn columns(self) -> usize {
        COLUMNS.len() - usize::from(!self.with_hashes)
    }

    fn lines(self, users: &[User]) -> Vec<u8> {
        match self.format {
            ExportFormat::Jsonl => {
                let lines = users.iter().map(|user| self.json_line(user));
                lines.collect::<String>().into_bytes()
            }
            ExportFormat::Csv => csv_lines(users.iter().map(|user| self.cells(user))),
        }
    }

    fn json_line(self, user: &User) -> String {
        let (view, password) = (UserView::of(user), user.password.as_ref().map(PasswordHash::as_phc));
        let line = if self.with_hashes { json(&UserWithHash { user: view, password }) } else { json(&view) };
        format!("{line}\n")
    }

    fn cells(self, user: &User) -> Vec<String> {
        let UserView { id, email, email_verified, name, role, status, created } = UserView::of(user);
        let verified = if email_verified { "true" } else { "false" };
        let password = user.password.as_ref().map_or("", PasswordHash::as_phc);
        let cells = [&id, email, verified, name, role, status, &created, password];
        cells[..self.columns()].iter().map(|cell| neutralised_cell(&escaped(cell))).collect()
    }
}

async fn read_page(users: &dyn UserStore, after: Option<UserId>) -> Result<Vec<User>, StoreError> {
    users.list_by_id(after, PAGE, &TimeBudget::new(PAGE_TIMEOUT)).await
}

/// A user with the stored hash, as JSON.
#[derive(Serialize)]
struct UserWithHash<'user> {
    #[serde(flatten)]
    user: UserView<'user>,
    password: Option<&'user str>,
}

fn csv_lines<C: AsRef<[u8]>>(rows: impl Iterator<Item = Vec<C>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        let written = writer.write_record(row);
        written.unwrap_or_else(|_| unreachable!("writing to memory does not fail, and the rows are equally long"));
    }
    writer.into_inner().unwrap_or_else(|_| unreachable!("writing to memory does not fail"))
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::model::{Email, Name};

    fn user(name: &str, password: Option<&str>) -> User {
        let email = Email::from_store("ada@example.org".to_owned());
        let created = OffsetDateTime::UNIX_EPOCH;
        let user = User::new(email, Name::from_store(name.to_owned()), PasswordHash::new(String::new()), created);
        User { password: password.map(|text| PasswordHash::new(text.to_owned())), email_verified: true, ..user }
    }

    fn line(format: ExportFormat, with_hashes: bool, user: &User) -> String {
        let text = UserExport { format, with_hashes }.lines(std::slice::from_ref(user));
        String::from_utf8(text).expect("UTF-8").replace(&user.id.to_string(), "ID")
    }

    #[test]
    fn line_of_json_has_the_hash_on_request_only() {
        let ada = user("Ada", Some("$argon2id$x"));

        let plain = line(ExportFormat::Jsonl, false, &ada);
        let with_hash = line(ExportFormat::Jsonl, true, &ada);

        insta::assert_snapshot!(plain, @r#"{"id":"ID","email":"ada@example.org","email_verified":true,"name":"Ada","role":"member","standing":"active","created":"1970-01-01T00:00:00Z"}"#);
        assert!(
            with_hash.ends_with("\"created\":\"1970-01-01T00:00:00Z\",\"password\":\"$argon2id$x\"}\n"),
            "{with_hash}"
        );
        assert!(line(ExportFormat::Jsonl, true, &user("Ada", None)).ends_with(",\"password\":null}\n"));
    }

    #[test]
    fn line_of_csv_has_as_many_cells_as_the_header() {
        let ada = user("Lovelace, \"Ada\"", Some("$argon2id$x"));

        let lines = [false, true].map(|with_hashes| line(ExportFormat::Csv, with_hashes, &ada));

        let cells = "ID,ada@example.org,true,\"Lovelace, \"\"Ada\"\"\",member,active,1970-01-01T00:00:00Z";
        assert_eq!(lines, [format!("{cells}\n"), format!("{cells},$argon2id$x\n")]);
        let header = |with_hashes| UserExport { format: ExportFormat::Csv, with_hashes }.header();
        assert_eq!(header(false), b"id,email,email_verified,name,role,standing,created\n");
        assert_eq!(header(true), b"id,email,email_verified,name,role,standing,created,password\n");
        assert!(line(ExportFormat::Csv, true, &user("Ada", None)).ends_with("Z,\n"));
    }

    #[test]
    fn exported_text_has_no_control_characters() {
        let stored = user("Ada\n=1+1\u{1b}[31m\u{202e}", None);

        let (csv, json) = (line(ExportFormat::Csv, false, &stored), line(ExportFormat::Jsonl, false, &stored));

        assert!(csv.contains(r"Ada\u{a}=1+1\u{1b}[31m\u{202e}"), "{csv}");
        assert!(json.contains(r"Ada\n=1+1\u001b[31m\u202e"), "{json}");
    }
}
