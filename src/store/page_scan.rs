//! How pages are read: the ranges of indexes that they scan, and the page that the examined entries make.

use std::net::IpAddr;

use time::OffsetDateTime;
use uuid::Uuid;

use super::user_directory::{MAX_EXAMINED, MAX_EXAMINED_SCATTERED};
use crate::model::{
    AccountStatus, AuditEvent, CursorKey, Direction, Email, EventId, EventKind, EventPage, EventPageQuery, Role,
    UserCursor, UserFilter, UserId, UserOrder, UserPage, UserPageQuery, UserSummary,
};

/// A range of an index of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UserScan {
    /// Users by the time of their sign-up.
    Created(CreatedIndex, Direction, TimeRange),
    /// The same, without those who have logged in.
    NeverLoggedIn(Direction, TimeRange),
    /// Users by their last login.
    Logins(Direction, TimeRange),
    /// Users by email.
    Email(Direction, TextRange),
    /// Words of names.
    Words(WordRange),
    /// The user with this email.
    ExactEmail(Email),
}

/// Which users an index by the time of the sign-up has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CreatedIndex {
    All,
    Administrators,
    Inactive,
}

/// The positions between two others, which are not part of the range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TimeRange {
    pub after: Option<(OffsetDateTime, Uuid)>,
    pub before: Option<(OffsetDateTime, Uuid)>,
}

/// The texts from one, which is part of the range, until another, which is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextRange {
    pub from: String,
    pub until: String,
}

/// The words that begin with a prefix and follow a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WordRange {
    pub prefix: String,
    pub after: (String, Uuid),
    pub until: String,
}

impl UserScan {
    /// Returns whether an entry is the last that a page may examine, by its number from 1.
    pub fn is_last(&self, examined: i64) -> bool {
        let max = match self {
            Self::Created(..) | Self::NeverLoggedIn(..) => MAX_EXAMINED,
            Self::Logins(..) | Self::Email(..) | Self::Words(_) | Self::ExactEmail(_) => MAX_EXAMINED_SCATTERED,
        };
        examined >= i64::from(max)
    }

    /// Returns the ranges that the query reads, one after the other.
    pub fn of(query: &UserPageQuery) -> Vec<Self> {
        let after = query.after.as_ref();
        match &query.order {
            UserOrder::Created(direction) => {
                let range = created_range(&query.filter, *direction, after);
                vec![Self::Created(CreatedIndex::of(&query.filter), *direction, range)]
            }
            UserOrder::Email(direction) => {
                vec![Self::Email(*direction, TextRange::of_prefix("").beyond(*direction, after))]
            }
            UserOrder::LastLogin(direction) => last_login(&query.filter, *direction, after),
            UserOrder::ExactEmail(email) => vec![Self::ExactEmail(email.clone())],
            // No stored text contains NUL, and PostgreSQL accepts none that does.
            UserOrder::EmailPrefix(prefix) | UserOrder::WordPrefix(prefix) if prefix.contains('\0') => Vec::new(),
            UserOrder::EmailPrefix(prefix) => {
                let range = TextRange::of_prefix(&prefix.to_lowercase());
                vec![Self::Email(Direction::Ascending, range.beyond(Direction::Ascending, after))]
            }
            UserOrder::WordPrefix(prefix) => {
                let prefix = prefix.to_ascii_lowercase();
                let after = match after {
                    Some(UserCursor { key: CursorKey::Word(word), id }) => (word.clone(), id.0),
                    _ => (prefix.clone(), Uuid::nil()),
                };
                vec![Self::Words(WordRange { until: end_of_prefix(&prefix), prefix, after })]
            }
        }
    }
}

impl CreatedIndex {
    fn of(filter: &UserFilter) -> Self {
        match (filter.role, filter.status) {
            (Some(Role::Administrator), _) => Self::Administrators,
            (_, Some(AccountStatus::Inactive)) => Self::Inactive,
            _ => Self::All,
        }
    }
}

impl TextRange {
    fn of_prefix(prefix: &str) -> Self {
        Self { from: prefix.to_owned(), until: end_of_prefix(prefix) }
    }

    /// Returns the part of the range that follows the email of a cursor.
    fn beyond(self, direction: Direction, after: Option<&UserCursor>) -> Self {
        let Some(UserCursor { key: CursorKey::Email(email), .. }) = after else { return self };
        match direction {
            // The lowest text that is greater, because no stored text contains NUL.
            Direction::Ascending => Self { from: format!("{email}\u{1}"), ..self },
            Direction::Descending => Self { until: email.clone(), ..self },
        }
    }
}

/// First the users who have logged in, then the others.
fn last_login(filter: &UserFilter, direction: Direction, after: Option<&UserCursor>) -> Vec<UserScan> {
    let never = |after| UserScan::NeverLoggedIn(direction, created_range(filter, direction, after));
    let logins = match after {
        Some(UserCursor { key: CursorKey::NeverLoggedIn(_), .. }) => return vec![never(after)],
        Some(UserCursor { key: CursorKey::LastLogin(at), id }) => {
            TimeRange::default().beyond(direction, Some((*at, id.0)))
        }
        _ => TimeRange::default(),
    };
    vec![UserScan::Logins(direction, logins), never(None)]
}

/// Returns the range of sign-ups that the filter accepts and that follow the cursor.
fn created_range(filter: &UserFilter, direction: Direction, after: Option<&UserCursor>) -> TimeRange {
    let first_of = |time| (time, Uuid::nil());
    let range = TimeRange { after: filter.created_from.map(first_of), before: filter.created_before.map(first_of) };
    let position = after.and_then(|after| match after.key {
        CursorKey::Created(at) | CursorKey::NeverLoggedIn(at) => Some((at, after.id.0)),
        _ => None,
    });
    range.beyond(direction, position)
}

impl TimeRange {
    /// Returns the part of the range that follows a position.
    fn beyond(self, direction: Direction, position: Option<(OffsetDateTime, Uuid)>) -> Self {
        let Some(position) = position else { return self };
        match direction {
            Direction::Ascending => Self { after: self.after.max(Some(position)), ..self },
            Direction::Descending => {
                Self { before: Some(self.before.map_or(position, |before| before.min(position))), ..self }
            }
        }
    }
}

/// Returns the lowest text, in the order of code points, that is greater than all texts with the prefix.
fn end_of_prefix(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return end;
        }
    }
    // Longer than any word, so greater than all of them; emails are ASCII.
    char::MAX.to_string().repeat(65)
}

/// An entry of an index that was examined: a user that matches, or the last entry that a page may examine.
pub(super) struct ExaminedUser {
    /// The position of the entry.
    pub cursor: UserCursor,
    /// The user, if they match.
    pub user: Option<UserSummary>,
    /// Whether the page has examined as many entries as it may.
    pub is_last: bool,
}

/// The entries of a page, in the order of the query. They are read until [`UserEntries::wanted`] is 0.
pub(super) struct UserEntries {
    limit: usize,
    entries: Vec<ExaminedUser>,
}

impl UserEntries {
    pub fn new(limit: u32) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), entries: Vec::new() }
    }

    /// Returns how many entries are missing: one more than the page has users shows whether there is a next page.
    pub fn wanted(&self) -> usize {
        if self.entries.last().is_some_and(|last| last.is_last) {
            return 0;
        }
        (self.limit + 1).saturating_sub(self.entries.len())
    }

    pub fn push(&mut self, entry: ExaminedUser) {
        self.entries.push(entry);
    }

    pub fn into_page(self) -> UserPage {
        let (mut users, mut position) = (Vec::new(), None);
        for entry in self.entries {
            if users.len() == self.limit {
                return UserPage { users, next: position };
            }
            users.extend(entry.user);
            position = Some(entry.cursor);
            if entry.is_last {
                return UserPage { users, next: position };
            }
        }
        UserPage { users, next: None }
    }
}

/// The index that a page of events scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventIndex {
    User(UserId),
    Address(IpAddr),
    Kind(EventKind),
    Time,
}

impl EventIndex {
    /// Returns the index with the fewest events for the query.
    pub fn of(query: &EventPageQuery) -> Self {
        match *query {
            EventPageQuery { user: Some(user), .. } => Self::User(user),
            EventPageQuery { address: Some(address), .. } => Self::Address(address),
            EventPageQuery { kind: Some(kind), .. } => Self::Kind(kind),
            _ => Self::Time,
        }
    }
}

/// The entries of a page of events, newest first.
pub(super) struct EventEntries {
    limit: usize,
    events: Vec<AuditEvent>,
    /// Whether an event follows those of the page.
    has_more: bool,
    /// The last entry that the page may examine.
    last: Option<EventId>,
}

impl EventEntries {
    pub fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, events: Vec::new(), has_more: false, last: None }
    }

    /// Returns whether the page needs no more entries.
    pub fn is_full(&self) -> bool {
        self.has_more || self.last.is_some()
    }

    /// Adds an entry and its event, if that matches.
    pub fn push(&mut self, id: EventId, event: Option<AuditEvent>, is_last: bool) {
        if self.events.len() == self.limit {
            self.has_more = true;
            return;
        }
        self.events.extend(event);
        self.last = is_last.then_some(id);
    }

    pub fn into_page(self) -> EventPage {
        let end = self.events.last().filter(|_| self.has_more).map(|event| event.id);
        EventPage { next: self.last.or(end), events: self.events }
    }
}

/// Returns whether an event is the last that a page may examine, by its number from 1.
pub(super) fn is_last_event(examined: i64) -> bool {
    examined >= i64::from(MAX_EXAMINED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_of_pages_examine_the_documented_number_of_entries() {
        let mut pages = 0;
        for store in ["postgres", "sqlite"] {
            for file in std::fs::read_dir(format!("sql/{store}/queries")).expect("a directory") {
                let path = file.expect("a file").path();
                let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
                if !name.contains(".page_") || name.contains("exact") {
                    continue;
                }
                let is_scattered =
                    ["email", "logins", "words"].iter().any(|order| name.contains(&format!("page_{order}")));
                let max = if is_scattered { MAX_EXAMINED_SCATTERED } else { MAX_EXAMINED };
                let query = std::fs::read_to_string(&path).expect("a text");
                let trimmed = query.lines().map(str::trim_start).fold("\n".to_owned(), |text, line| text + line + "\n");
                assert!(trimmed.contains(&format!("\nLIMIT {max}\n")), "{name}");
                assert!(!query.contains("OFFSET"), "{name}");
                if store == "postgres" {
                    assert!(trimmed.contains(&format!("examined = {max}\n")), "{name}");
                }
                pages += 1;
            }
        }
        assert_eq!(pages, 32);
    }

    proptest! {
        #[test]
        fn end_of_prefix_bounds_the_texts_that_begin_with_it(prefix in ".{0,3}", text in ".{0,5}") {
            let end = end_of_prefix(&prefix);

            let is_within = text >= prefix && text < end;
            prop_assert_eq!(is_within, text.starts_with(&prefix), "{:?}", end);
            let longer = prefix + &text;
            prop_assert!(longer < end, "{:?} {:?}", longer, end);
        }
    }

    #[test]
    fn end_of_prefix_carries_over_the_highest_character() {
        assert_eq!(end_of_prefix("ad"), "ae");
        assert_eq!(end_of_prefix("a\u{d7ff}"), "a\u{e000}");
        assert_eq!(end_of_prefix("a\u{10ffff}\u{10ffff}"), "b");
        assert!(end_of_prefix("") > "\u{10ffff}".repeat(64));
    }
}
