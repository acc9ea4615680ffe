//! What is read of a store, and the requests for it.

use std::time::Duration;

use postern::model::{
    AccountStatus, AuditEvent, CursorKey,
    Direction::{Ascending, Descending},
    EventKind, EventPageQuery, Role, User, UserCursor, UserFilter, UserId, UserOrder, UserPageQuery,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::data::{START, busy_user, event, mixed, user};

const LIMIT: u32 = 50;

/// What is read.
pub enum Read {
    Users(UserPageQuery),
    Details(UserId),
    Events(EventPageQuery),
    Statistics(OffsetDateTime, OffsetDateTime),
}

impl Read {
    /// Returns the path and the query of the request.
    pub fn target(&self) -> String {
        let (path, query) = match self {
            Self::Users(query) => ("users/".to_owned(), user_parameters(query)),
            Self::Details(id) => (format!("users/{id}/"), Vec::new()),
            Self::Events(query) => ("audit-events/".to_owned(), event_parameters(query)),
            Self::Statistics(from, until) => {
                ("statistics/".to_owned(), [("from", rfc3339(*from)), ("until", rfc3339(*until))].into())
            }
        };
        let query: Vec<_> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("/admin/api/{path}?{}", query.join("&")).trim_end_matches('?').to_owned()
    }
}

type Parameters = Vec<(&'static str, String)>;

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).expect("a year of four digits")
}

fn user_parameters(query: &UserPageQuery) -> Parameters {
    let order =
        |name: &str, direction| ("order", if direction == Descending { format!("-{name}") } else { name.into() });
    let filter = &query.filter;
    let parameters = [
        Some(match &query.order {
            UserOrder::Created(direction) => order("created", *direction),
            UserOrder::Email(direction) => order("email", *direction),
            UserOrder::LastLogin(direction) => order("last_login", *direction),
            UserOrder::ExactEmail(email) => ("email", email.as_str().to_owned()),
            UserOrder::EmailPrefix(prefix) => ("email_prefix", prefix.clone()),
            UserOrder::WordPrefix(prefix) => ("name_word", prefix.clone()),
        }),
        filter.status.map(|status| ("status", status.name().to_owned())),
        filter.role.map(|role| ("role", role.name().to_owned())),
        filter.created_from.map(|time| ("created_from", rfc3339(time))),
        filter.created_before.map(|time| ("created_before", rfc3339(time))),
        query.after.as_ref().map(|cursor| ("after", cursor.to_string())),
        Some(("limit", query.limit.to_string())),
    ];
    parameters.into_iter().flatten().collect()
}

fn event_parameters(query: &EventPageQuery) -> Parameters {
    let parameters = [
        query.user.map(|user| ("user", user.to_string())),
        query.kind.map(|kind| ("kind", kind.name().to_owned())),
        query.address.map(|address| ("address", address.to_string())),
        query.until.map(|time| ("until", rfc3339(time))),
        query.before.map(|event| ("after", event.0.to_string())),
        Some(("limit", query.limit.to_string())),
    ];
    parameters.into_iter().flatten().collect()
}

pub type Reads = Vec<(&'static str, Read)>;

/// Returns what is read of a store of `count` users in a round, by its name.
pub fn reads(round: u64, count: u64) -> Reads {
    let number = mixed(round) % (count * 8 / 10) + count / 10;
    let middle = user(number, count);
    let mut reads = by_sign_up(&middle, &user(1, count));
    reads.extend(by_email_and_login(&middle));
    reads.extend(searches(&middle));
    reads.extend(of_events(busy_user(number, count).id, &event(number, count)));
    reads
}

fn users(order: UserOrder, filter: UserFilter, after: Option<UserCursor>) -> Read {
    Read::Users(UserPageQuery { order, filter, after, limit: LIMIT })
}

fn first(order: UserOrder) -> Read {
    users(order, UserFilter::default(), None)
}

fn after(order: UserOrder, key: CursorKey, user: &User) -> Read {
    users(order, UserFilter::default(), Some(UserCursor { key, id: user.id }))
}

fn with(status: Option<AccountStatus>, role: Option<Role>) -> UserFilter {
    UserFilter { status, role, ..UserFilter::default() }
}

const INACTIVE: Option<AccountStatus> = Some(AccountStatus::Inactive);
const ADMINISTRATOR: Option<Role> = Some(Role::Administrator);

fn by_sign_up(middle: &User, second: &User) -> Reads {
    let created_before = Some(middle.created + Duration::from_hours(1));
    let range = UserFilter { created_from: Some(middle.created), created_before, ..UserFilter::default() };
    vec![
        ("newest users", first(UserOrder::Created(Descending))),
        ("oldest users", first(UserOrder::Created(Ascending))),
        (
            "… after a user in the middle",
            after(UserOrder::Created(Descending), CursorKey::Created(middle.created), middle),
        ),
        ("… after the second user (the end)", {
            after(UserOrder::Created(Descending), CursorKey::Created(second.created), second)
        }),
        ("administrators", users(UserOrder::Created(Descending), with(None, ADMINISTRATOR), None)),
        ("inactive users", users(UserOrder::Created(Descending), with(INACTIVE, None), None)),
        ("users who signed up in an hour", users(UserOrder::Created(Descending), range, None)),
    ]
}

fn by_email_and_login(middle: &User) -> Reads {
    let email = CursorKey::Email(middle.email.as_str().to_owned());
    let login = CursorKey::LastLogin(middle.created);
    vec![
        ("by email", first(UserOrder::Email(Ascending))),
        ("… after a user in the middle", after(UserOrder::Email(Ascending), email.clone(), middle)),
        ("… descending, after a user in the middle", after(UserOrder::Email(Descending), email, middle)),
        ("by email, inactive", users(UserOrder::Email(Ascending), with(INACTIVE, None), None)),
        ("by email, inactive administrators", {
            users(UserOrder::Email(Ascending), with(INACTIVE, ADMINISTRATOR), None)
        }),
        ("latest logins", first(UserOrder::LastLogin(Descending))),
        ("oldest logins", first(UserOrder::LastLogin(Ascending))),
        ("… after a login in the middle", after(UserOrder::LastLogin(Descending), login, middle)),
        ("never logged in", after(UserOrder::LastLogin(Ascending), CursorKey::NeverLoggedIn(START), middle)),
        ("latest logins, inactive", users(UserOrder::LastLogin(Descending), with(INACTIVE, None), None)),
        ("latest logins, inactive administrators", {
            users(UserOrder::LastLogin(Descending), with(INACTIVE, ADMINISTRATOR), None)
        }),
    ]
}

fn searches(middle: &User) -> Reads {
    let local_part = middle.email.as_str().split('@').next().expect("a local part").to_owned();
    let word = middle.name.as_str().rsplit(' ').next().expect("a word").to_owned();
    vec![
        ("exact email", first(UserOrder::ExactEmail(middle.email.clone()))),
        ("email begins with `ada.`", first(UserOrder::EmailPrefix("ada.".to_owned()))),
        ("email begins with a whole local part", first(UserOrder::EmailPrefix(local_part))),
        ("a word begins with `ad`", first(UserOrder::WordPrefix("ad".to_owned()))),
        ("a word of one user", first(UserOrder::WordPrefix(word))),
        ("no word begins with it", first(UserOrder::WordPrefix("qqq".to_owned()))),
        ("a word begins with `k`, inactive administrators", {
            users(UserOrder::WordPrefix("k".to_owned()), with(INACTIVE, ADMINISTRATOR), None)
        }),
        ("details of a user", Read::Details(middle.id)),
    ]
}

fn of_events(user: UserId, event: &AuditEvent) -> Reads {
    let events = |query| Read::Events(EventPageQuery { limit: LIMIT, ..query });
    let all = EventPageQuery::default();
    vec![
        ("newest events", events(all.clone())),
        ("… before an event in the middle", events(EventPageQuery { before: Some(event.id), ..all.clone() })),
        ("events of a user", events(EventPageQuery { user: Some(user), ..all.clone() })),
        ("events of an address", events(EventPageQuery { address: event.origin.address, ..all.clone() })),
        ("logins", events(EventPageQuery { kind: Some(EventKind::Login), ..all.clone() })),
        ("changes of keys (60)", events(EventPageQuery { kind: Some(EventKind::KeysChanged), ..all.clone() })),
        ("failed logins before a time", {
            events(EventPageQuery { kind: Some(EventKind::LoginFailed), until: Some(event.at), ..all.clone() })
        }),
        ("logouts of an address", {
            let kind = Some(EventKind::Logout);
            events(EventPageQuery { kind, address: event.origin.address, ..all })
        }),
        ("statistics of a day", Read::Statistics(event.at - Duration::from_hours(24), event.at)),
    ]
}
