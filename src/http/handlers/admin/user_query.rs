//! The query of the list of users.

use super::parameters::{limit, time};
use crate::{
    http::query::Query,
    model::{
        AccountStatus, CursorKey, Direction, Email, MAX_EMAIL_CHARACTERS, MAX_WORD_CHARACTERS, Role, UserCursor,
        UserFilter, UserOrder, UserPageQuery,
    },
};

/// The parameters that determine the order.
const ORDERS: [&str; 4] = ["order", "email", "email_prefix", "name_word"];

/// Takes the query of a page of users.
pub fn user_page_query(query: &mut Query) -> UserPageQuery {
    let order = user_order(query);
    let filter = UserFilter {
        status: query.choice("status", &AccountStatus::ALL, AccountStatus::name),
        role: query.choice("role", &Role::ALL, Role::name),
        created_from: time(query, "created_from"),
        created_before: time(query, "created_before"),
    };
    let after = query.optional("after", |text| {
        let cursor: Option<UserCursor> = text.parse().ok();
        cursor
            .filter(|cursor| cursor.fits(&order) && can_be_stored(&cursor.key))
            .ok_or("Expected the cursor of a page in the same order.")
    });
    UserPageQuery { filter, after, limit: limit(query), order }
}

/// Returns whether PostgreSQL can compare the value: it has no time before 4714 BC.
fn can_be_stored(key: &CursorKey) -> bool {
    match key {
        CursorKey::Created(time) | CursorKey::LastLogin(time) | CursorKey::NeverLoggedIn(time) => time.year() >= 0,
        CursorKey::Email(_) | CursorKey::Word(_) => true,
    }
}

fn user_order(query: &mut Query) -> UserOrder {
    let mut given = ORDERS.into_iter().filter(|name| query.has(name));
    if let (Some(_), Some(second)) = (given.next(), given.next()) {
        query.add_error(second, format!("Give at most one of: {}.", ORDERS.join(", ")));
    }
    let order = query.optional("order", order);
    let email = query.optional("email", exact_email).map(UserOrder::ExactEmail);
    let email_prefix = query.optional("email_prefix", email_prefix);
    let name_word = query.optional("name_word", name_word);
    order.or(email).or(email_prefix).or(name_word).unwrap_or(UserOrder::Created(Direction::Descending))
}

/// The orders by their names: a `-` begins the descending ones.
fn order(text: &str) -> Result<UserOrder, &'static str> {
    let (name, direction) = match text.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (text, Direction::Ascending),
    };
    match name {
        "created" => Ok(UserOrder::Created(direction)),
        "email" => Ok(UserOrder::Email(direction)),
        "last_login" => Ok(UserOrder::LastLogin(direction)),
        _ => Err("Choose one of: created, -created, email, -email, last_login, -last_login."),
    }
}

fn exact_email(text: &str) -> Result<Email, &'static str> {
    Email::of_existing_account(text).map_err(|_| "Enter a valid email address.")
}

fn email_prefix(text: &str) -> Result<UserOrder, String> {
    UserOrder::email_prefix(text)
        .ok_or_else(|| format!("Enter at most {MAX_EMAIL_CHARACTERS} visible ASCII characters."))
}

fn name_word(text: &str) -> Result<UserOrder, String> {
    UserOrder::word_prefix(text)
        .ok_or_else(|| format!("Enter the beginning of one word, of at most {MAX_WORD_CHARACTERS} characters."))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::parameters::finished, *};
    use crate::model::UserId;

    fn parsed(query: &str) -> Result<UserPageQuery, Vec<String>> {
        let mut query = Query::parse(query);
        let page = user_page_query(&mut query);
        finished(query, page)
    }

    #[test]
    fn newest_users_come_first_by_default() {
        let expected = UserPageQuery {
            order: UserOrder::Created(Direction::Descending),
            filter: UserFilter::default(),
            after: None,
            limit: 50,
        };

        assert_eq!(parsed(""), Ok(expected));
    }

    #[test]
    fn each_order_and_search_is_parsed() {
        let ada: Email = "ada@example.org".parse().expect("an address");
        for (query, order) in [
            ("order=created", UserOrder::Created(Direction::Ascending)),
            ("order=-email", UserOrder::Email(Direction::Descending)),
            ("order=last_login", UserOrder::LastLogin(Direction::Ascending)),
            ("email=Ada%40example.org", UserOrder::ExactEmail(ada)),
            ("email=root%40localhost", UserOrder::ExactEmail(Email::from_store("root@localhost".to_owned()))),
            ("email_prefix=ADA%2Bx@", UserOrder::EmailPrefix("ada+x@".to_owned())),
            ("name_word=Zoe%CC%88", UserOrder::WordPrefix("zoë".to_owned())),
            ("name_word=%C3%84r", UserOrder::WordPrefix("Är".to_owned())),
        ] {
            assert_eq!(parsed(query).map(|page| page.order), Ok(order), "{query}");
        }
    }

    #[test]
    fn filters_are_parsed() {
        let page = parsed(
            "status=inactive&role=administrator&created_from=2027-01-01T02:00:00.5%2B02:00&created_before=2027-02-01T00:00:00Z&limit=200",
        );

        let expected = UserFilter {
            status: Some(AccountStatus::Inactive),
            role: Some(Role::Administrator),
            created_from: Some(datetime!(2027-01-01 00:00:00.5 UTC)),
            created_before: Some(datetime!(2027-02-01 00:00 UTC)),
        };
        assert_eq!(page.map(|page| (page.filter, page.limit)), Ok((expected, 200)));
    }

    #[test]
    fn invalid_parameter_is_named() {
        let word = format!("name_word={}", "a".repeat(65));
        let prefix = format!("email_prefix={}", "a".repeat(255));
        for (query, field) in [
            ("order=name", "order"),
            ("order=--email", "order"),
            ("email=ada", "email"),
            ("email=%27%20OR%201%3D1;--", "email"),
            ("email_prefix=a%20b", "email_prefix"),
            ("email_prefix=%C3%BC", "email_prefix"),
            (&prefix, "email_prefix"),
            ("name_word=Ada%20L", "name_word"),
            ("name_word=Jean-L", "name_word"),
            ("name_word=%E2%80%AE", "name_word"),
            (&word, "name_word"),
            ("status=deleted", "status"),
            ("role=Administrator", "role"),
            ("created_from=2027-01-01", "created_from"),
            ("created_before=9999-12-31T23:59:59-01:00", "created_before"),
            ("limit=0", "limit"),
            ("after=AAAA", "after"),
            ("search=ada", "query"),
            ("order=email&email_prefix=a", "email_prefix"),
            ("email=ada%40example.org&name_word=a", "name_word"),
        ] {
            assert_eq!(parsed(query).expect_err(query), [field], "{query}");
        }
    }

    #[test]
    fn cursor_of_another_order_is_an_error() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);
        let cursor = |key| UserCursor { key, id }.to_string();
        let (created, email) = (
            cursor(CursorKey::Created(datetime!(2027-01-01 00:00 UTC))),
            cursor(CursorKey::Email("ada@example.org".to_owned())),
        );

        for query in ["order=-created", "order=created", ""] {
            assert!(parsed(&format!("{query}&after={created}")).is_ok(), "{query}");
            assert!(parsed(&format!("{query}&after={email}")).is_err(), "{query}");
        }
        for query in ["order=email", "email_prefix=ad"] {
            assert!(parsed(&format!("{query}&after={email}")).is_ok(), "{query}");
            assert!(parsed(&format!("{query}&after={created}")).is_err(), "{query}");
        }
        assert!(parsed(&format!("email_prefix=b&after={email}")).is_err());
        assert!(parsed(&format!("email=ada%40example.org&after={email}")).is_err());
    }

    #[test]
    fn cursor_with_a_value_that_no_store_holds_is_an_error() {
        let id = UserId::new(time::OffsetDateTime::UNIX_EPOCH);
        let nul = UserCursor { key: CursorKey::Email("a\0".to_owned()), id };
        let ancient = UserCursor { key: CursorKey::Created(datetime!(-5000-01-01 00:00 UTC)), id };

        assert!(parsed(&format!("order=email&after={nul}")).is_err());
        assert!(parsed(&format!("order=created&after={ancient}")).is_err());
    }
}
