//! The command that lists users.

use std::{fmt::Write as _, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Command, ValueEnum, builder::PossibleValue, value_parser};
use serde::Serialize;
use time::{Date, OffsetDateTime, macros::format_description};

use super::{
    output::{Format, json},
    user_views::{UserSummaryView, escaped},
};
use crate::{
    accounts::{UserAdmin, UserAdminError},
    clock::parse_rfc3339,
    model::{
        AccountStatus, Direction, MAX_EMAIL_CHARACTERS, MAX_PAGE, MAX_WORD_CHARACTERS, Role, UserCursor, UserFilter,
        UserOrder, UserPageQuery, UserSummary, trimmed,
    },
    store::TimeBudget,
};

/// The default number of users of `user list`.
const LIMIT: &str = "50";

/// The time limit of the store for a page. A filter that matches few users reads many pages.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The value of `--order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Created,
    Email,
    LastLogin,
}

impl ValueEnum for Order {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Created, Self::Email, Self::LastLogin]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Created => "created",
            Self::Email => "email",
            Self::LastLogin => "last-login",
        }))
    }
}

/// Returns the definition of the command.
pub(super) fn user_list() -> Command {
    let value = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let time = "an RFC 3339 time or a date, whose day begins at midnight UTC";
    Command::new("list")
        .about("List users, newest first")
        .arg(
            value("order", "ORDER")
                .value_parser(value_parser!(Order))
                .help("The order: created (default, newest first), email (A to Z) or last-login (latest first)"),
        )
        .arg(Arg::new("reverse").long("reverse").action(ArgAction::SetTrue).help("Reverse the order"))
        .arg(
            value("email-prefix", "TEXT")
                .value_parser(email_prefix)
                .conflicts_with_all(["order", "reverse", "name-word"])
                .help("Only users whose email begins with this text, A to Z"),
        )
        .arg(
            value("name-word", "TEXT")
                .value_parser(name_word)
                .conflicts_with_all(["order", "reverse"])
                .help("Only users of whose name a word begins with this text, by word; ASCII letters in any case"),
        )
        .arg(value("status", "STATUS").value_parser(status).help("Only users with this status: active or inactive"))
        .arg(value("role", "ROLE").value_parser(role).help("Only users with this role: member or administrator"))
        .arg(
            value("created-from", "TIME")
                .value_parser(parse_time)
                .help(format!("Only users who signed up at this time or later: {time}")),
        )
        .arg(
            value("created-before", "TIME")
                .value_parser(parse_time)
                .help(format!("Only users who signed up before this time: {time}")),
        )
        .arg(
            value("limit", "NUMBER")
                .default_value(LIMIT)
                .value_parser(value_parser!(u32).range(1..=1000))
                .help("Maximum number of users (1 to 1000)"),
        )
        .arg(
            value("after", "CURSOR")
                .value_parser(|text: &str| trimmed(text).parse::<UserCursor>())
                .help("Start after this cursor, which the previous page in the same order ended with"),
        )
}

/// Returns the query of the arguments. Its limit may be greater than that of a page.
///
/// # Errors
/// Returns the error of an argument that does not fit the others.
pub(super) fn query(list: &ArgMatches) -> Result<UserPageQuery, String> {
    let query = UserPageQuery {
        order: order(list),
        filter: UserFilter {
            status: list.get_one("status").copied(),
            role: list.get_one("role").copied(),
            created_from: list.get_one("created-from").copied(),
            created_before: list.get_one("created-before").copied(),
        },
        after: list.get_one("after").cloned(),
        limit: list.get_one("limit").copied().unwrap_or_else(|| unreachable!("the limit has a default")),
    };
    match &query.after {
        Some(after) if !after.fits(&query.order) => {
            Err("invalid value for `--after`: expected the cursor of a page in the same order".to_owned())
        }
        _ => Ok(query),
    }
}

fn order(list: &ArgMatches) -> UserOrder {
    if let Some(prefix) = ["email-prefix", "name-word"].into_iter().find_map(|name| list.get_one::<UserOrder>(name)) {
        return prefix.clone();
    }
    let is_reversed = list.get_flag("reverse");
    let latest_first = if is_reversed { Direction::Ascending } else { Direction::Descending };
    match list.get_one("order").copied().unwrap_or(Order::Created) {
        Order::Created => UserOrder::Created(latest_first),
        Order::LastLogin => UserOrder::LastLogin(latest_first),
        Order::Email if is_reversed => UserOrder::Email(Direction::Descending),
        Order::Email => UserOrder::Email(Direction::Ascending),
    }
}

fn email_prefix(text: &str) -> Result<UserOrder, String> {
    UserOrder::email_prefix(trimmed(text))
        .ok_or_else(|| format!("expected at most {MAX_EMAIL_CHARACTERS} visible ASCII characters"))
}

fn name_word(text: &str) -> Result<UserOrder, String> {
    UserOrder::word_prefix(trimmed(text))
        .ok_or_else(|| format!("expected the beginning of one word, of at most {MAX_WORD_CHARACTERS} characters"))
}

fn status(text: &str) -> Result<AccountStatus, &'static str> {
    let named = [AccountStatus::Active, AccountStatus::Inactive].into_iter().find(|status| status.name() == text);
    named.ok_or("expected one of: active, inactive")
}

pub(super) fn role(text: &str) -> Result<Role, &'static str> {
    let named = [Role::Member, Role::Administrator].into_iter().find(|role| role.name() == text);
    named.ok_or("expected one of: member, administrator")
}

fn parse_time(text: &str) -> Result<OffsetDateTime, &'static str> {
    let midnight = || {
        let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
        Some(date.midnight().assume_utc())
    };
    parse_rfc3339(text).or_else(midnight).ok_or("expected a time such as 2026-01-31T09:30:00Z, or a date")
}

/// Reads pages until there are `query.limit` users, or no more. Returns the text to print.
pub(super) async fn list(
    user_admin: &UserAdmin,
    mut query: UserPageQuery,
    format: Format,
) -> Result<String, UserAdminError> {
    let (mut users, mut missing) = (Vec::new(), query.limit);
    let next = loop {
        query.limit = missing.min(MAX_PAGE);
        let page = user_admin.page(&query, &TimeBudget::new(PAGE_TIMEOUT)).await?;
        missing = missing.saturating_sub(u32::try_from(page.users.len()).unwrap_or(u32::MAX));
        users.extend(page.users);
        if missing == 0 || page.next.is_none() {
            break page.next;
        }
        query.after = page.next;
    };
    Ok(render(&users, next.as_ref(), format))
}

/// A list of users as JSON.
#[derive(Serialize)]
struct UserListView<'users> {
    users: Vec<UserSummaryView<'users>>,
    /// The cursor of the next page, if any.
    next: Option<String>,
}

fn render(users: &[UserSummary], next: Option<&UserCursor>, format: Format) -> String {
    let users = users.iter().map(UserSummaryView::of).collect();
    let view = UserListView { users, next: next.map(ToString::to_string) };
    if format == Format::Json {
        return json(&view);
    }
    let mut text =
        format!("{:<20}  {:<20}  {:<36}  {:<8}  {:<13}  EMAIL, NAME", "CREATED", "LAST LOGIN", "ID", "STATUS", "ROLE");
    for user in &view.users {
        let (email, name, last_login) =
            (escaped(user.email), escaped(user.name), user.last_login.as_deref().unwrap_or("-"));
        let (created, id, status, role) = (&user.created, &user.id, user.status, user.role);
        let _ = write!(text, "\n{created}  {last_login:<20}  {id}  {status:<8}  {role:<13}  {email}, {name}");
    }
    if let Some(next) = &view.next {
        let _ = write!(text, "\n\nFor the next page: --after {next}");
    }
    text
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;

    use super::*;
    use crate::model::{CursorKey, Email, Name, User, UserId};

    fn parsed(arguments: &[&str]) -> Result<UserPageQuery, String> {
        let matches = user_list().try_get_matches_from([&["list"], arguments].concat());
        matches.map_err(|error| error.to_string()).and_then(|matches| query(&matches))
    }

    fn order_of(arguments: &[&str]) -> UserOrder {
        parsed(arguments).expect("valid arguments").order
    }

    #[test]
    fn each_order_has_a_natural_direction() {
        use Direction::{Ascending, Descending};

        assert_eq!(order_of(&[]), UserOrder::Created(Descending));
        assert_eq!(order_of(&["--reverse"]), UserOrder::Created(Ascending));
        assert_eq!(order_of(&["--order", "email"]), UserOrder::Email(Ascending));
        assert_eq!(order_of(&["--order", "email", "--reverse"]), UserOrder::Email(Descending));
        assert_eq!(order_of(&["--order", "last-login"]), UserOrder::LastLogin(Descending));
        assert_eq!(order_of(&["--email-prefix", "Ada@"]), UserOrder::EmailPrefix("ada@".to_owned()));
        assert_eq!(order_of(&["--name-word", " zoe\u{308} "]), UserOrder::WordPrefix("zo\u{eb}".to_owned()));
    }

    #[test]
    fn invalid_or_conflicting_arguments_are_rejected() {
        let (word, prefix) = ("a".repeat(65), "a".repeat(255));
        for arguments in [
            &["--order", "name"][..],
            &["--status", "gone"],
            &["--role", "root"],
            &["--created-from", "yesterday"],
            &["--email-prefix", "ü"],
            &["--email-prefix", ""],
            &["--email-prefix", &prefix],
            &["--name-word", "ada king"],
            &["--name-word", &word],
            &["--name-word", "x", "--email-prefix", "x"],
            &["--name-word", "x", "--order", "email"],
            &["--email-prefix", "x", "--reverse"],
            &["--limit", "1001"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn filters_are_parsed() {
        let query = parsed(&[
            "--status=inactive",
            "--role=administrator",
            "--created-from=2027-01-31",
            "--created-before=2027-02-01T02:00:00.5+02:00",
            "--limit=1000",
        ]);

        let filter = UserFilter {
            status: Some(AccountStatus::Inactive),
            role: Some(Role::Administrator),
            created_from: Some(datetime!(2027-01-31 00:00 UTC)),
            created_before: Some(datetime!(2027-02-01 00:00:00.5 UTC)),
        };
        assert_eq!(query.map(|query| (query.filter, query.limit)), Ok((filter, 1000)));
    }

    #[test]
    fn cursor_of_another_order_is_rejected() {
        let key = CursorKey::Email("ada@example.org".to_owned());
        let cursor = UserCursor { key, id: UserId::new(OffsetDateTime::UNIX_EPOCH) }.to_string();

        assert!(parsed(&["--order", "email", "--after", &cursor]).is_ok());
        let error = parsed(&["--after", &cursor]).expect_err("another order");
        assert!(error.contains("expected the cursor of a page in the same order"), "{error}");
    }

    #[test]
    fn printed_list_has_no_control_characters() {
        let name = Name::from_store("Zoë \u{202e}adA\u{2028}x\u{9b}".to_owned());
        let email = Email::from_store("zoe\u{9b}@example.org".to_owned());
        let user = User::new(email, name, None, OffsetDateTime::UNIX_EPOCH);

        let list = render(&[UserSummary::of(&user, None)], None, Format::Text);

        assert!(list.ends_with("  zoe\\u{9b}@example.org, Zoë \\u{202e}adA\\u{2028}x\\u{9b}"), "{list}");
        assert!(list.contains("\n1970-01-01T00:00:00Z  -  "), "{list}");
    }
}
