//! Pages of users: orders, cursors and limits.

use std::time::Duration;

use futures_util::future::join_all;
use postern::{
    clock::whole_milliseconds,
    model::{
        AccountStatus, AuditEvent, AuditOrigin, AuditSubject,
        Direction::{Ascending, Descending},
        Epoch, EventId, EventKind, NewPassword, Role, User, UserChange, UserFilter, UserId, UserOrder, UserPage,
        UserPageQuery, UserSummary,
    },
    store::{Insert, MAX_EXAMINED, MAX_EXAMINED_SCATTERED},
};
use time::{OffsetDateTime, macros::datetime};
use uuid::{NoContext, Timestamp, Uuid};

use super::suite::Fixture;
use crate::support::time;

/// The sign-up of the first user of a test.
pub const START: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

/// Returns a query for the first page of an order.
pub fn first(order: UserOrder) -> UserPageQuery {
    UserPageQuery { order, filter: UserFilter::default(), after: None, limit: 200 }
}

pub fn login(user: &User, at: OffsetDateTime) -> AuditEvent {
    event(EventKind::Login, Some(user.id), at)
}

pub fn event(kind: EventKind, user: Option<UserId>, at: OffsetDateTime) -> AuditEvent {
    let at = whole_milliseconds(at);
    let seconds = u64::try_from(at.unix_timestamp()).expect("a time after 1970");
    let id = EventId(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond())));
    AuditEvent { id, at, kind, subject: AuditSubject::from(user), origin: AuditOrigin::server() }
}

impl Fixture {
    pub async fn page(&self, query: &UserPageQuery) -> UserPage {
        let page = self.stores.directory.page(query, &time()).await.expect("a page");
        assert!(page.users.len() <= query.limit as usize);
        page
    }

    /// Returns the emails of all pages, without the domain, and the number of pages.
    pub async fn walked(&self, mut query: UserPageQuery) -> (Vec<String>, usize) {
        let mut names = Vec::new();
        for pages in 1..=100 {
            let page = self.page(&query).await;
            names.extend(local_parts(&page.users));
            let Some(next) = page.next else { return (names, pages) };
            assert!(next.fits(&query.order), "{next:?}");
            query.after = Some(next.to_string().parse().expect("a cursor"));
        }
        panic!("the pages do not end");
    }

    pub async fn named(&self, email: &str, name: &str) -> User {
        let name = name.parse().expect("a name");
        let user = User { name, created: START, ..self.user(email) };
        assert_eq!(self.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        user
    }

    /// Inserts users `u0000@example.org`, `u0001@example.org` and so on, a second apart.
    pub async fn filled(&self, count: u32, edit: impl Fn(u32, User) -> User) -> Vec<User> {
        let user = |number| {
            let created = START + Duration::from_secs(u64::from(number));
            let id = UserId::new(created);
            edit(number, User { id, created, ..self.user(&format!("u{number:04}@example.org")) })
        };
        let users: Vec<_> = (0..count).map(user).collect();
        for group in users.chunks(200) {
            let insert = async |user: &User| self.stores.users.insert(user, &time()).await;
            for outcome in join_all(group.iter().map(insert)).await {
                assert_eq!(outcome, Ok(Insert::Created));
            }
        }
        users
    }

    pub async fn logged_in(&self, logins: &[AuditEvent]) {
        self.stores.audit.append(logins, &time()).await.expect("a response");
    }
}

pub fn local_parts(users: &[UserSummary]) -> Vec<String> {
    let local = |user: &UserSummary| user.email.as_str().trim_end_matches("@example.org").to_owned();
    users.iter().map(local).collect()
}

fn all_orders() -> Vec<UserOrder> {
    let both = [Ascending, Descending];
    let orders = [UserOrder::Created, UserOrder::Email, UserOrder::LastLogin];
    let mut orders: Vec<_> = orders.iter().flat_map(|order| both.map(order)).collect();
    orders.extend([UserOrder::EmailPrefix("u".to_owned()), UserOrder::WordPrefix("ad".to_owned())]);
    orders
}

/// Nine users: three signed up at each of three times, and each third has not logged in; two logged in at once.
async fn users_with_equal_keys(fixture: &Fixture) -> Vec<UserSummary> {
    let edit = |number: u32, user: User| {
        let created = START + Duration::from_secs(u64::from(number / 3));
        User { id: UserId(Uuid::from_u128(u128::from((number * 7) % 9 + 1))), created, ..user }
    };
    let users = fixture.filled(9, edit).await;
    let last_login = |number: usize| {
        (!number.is_multiple_of(3)).then(|| START + Duration::from_hours(if number < 6 { 9 } else { number as u64 }))
    };
    let logins: Vec<_> =
        users.iter().enumerate().filter_map(|(n, user)| last_login(n).map(|at| login(user, at))).collect();
    fixture.logged_in(&logins).await;
    users.iter().enumerate().map(|(n, user)| UserSummary::of(user, last_login(n))).collect()
}

#[tokio::test]
async fn each_order_sorts_equal_values_by_id() {
    let fixture = Fixture::empty().await;
    let mut users = users_with_equal_keys(&fixture).await;

    for limit in [1, 2, 4, 9, 200] {
        for direction in [Ascending, Descending] {
            let sorted = |users: &mut Vec<UserSummary>| {
                if direction == Descending {
                    users.reverse();
                }
                local_parts(users)
            };
            let walked = async |order| fixture.walked(UserPageQuery { limit, ..first(order) }).await.0;

            users.sort_by_key(|user| (user.created, user.id.0));
            assert_eq!(walked(UserOrder::Created(direction)).await, sorted(&mut users), "{direction:?} {limit}");

            users.sort_by_key(|user| user.email.as_str().to_owned());
            assert_eq!(walked(UserOrder::Email(direction)).await, sorted(&mut users), "{direction:?} {limit}");

            // Those who have not logged in come last in both directions.
            users.sort_by_key(|user| {
                let is_last = user.last_login.is_none() != (direction == Descending);
                (is_last, user.last_login.unwrap_or(user.created), user.id.0)
            });
            assert_eq!(walked(UserOrder::LastLogin(direction)).await, sorted(&mut users), "{direction:?} {limit}");
        }
    }
}

#[tokio::test]
async fn page_has_the_users_with_their_last_login() {
    let fixture = Fixture::empty().await;
    let mut users = users_with_equal_keys(&fixture).await;

    for order in all_orders() {
        let mut found = fixture.page(&first(order)).await.users;

        found.sort_by_key(|user| user.id.0);
        users.sort_by_key(|user| user.id.0);
        assert_eq!(found, users);
    }
    for user in users {
        let found = fixture.stores.directory.summary(user.id, &time()).await;
        assert_eq!(found, Ok(Some(user)));
    }
    let nobody = UserId(Uuid::max());
    assert_eq!(fixture.stores.directory.summary(nobody, &time()).await, Ok(None));
}

#[tokio::test]
async fn each_order_shows_users_as_they_are_now() {
    let fixture = Fixture::empty().await;
    let ada = fixture.named("u@example.org", "Ada Lovelace").await;
    fixture.logged_in(&[login(&ada, START)]).await;
    let change = UserChange {
        name: Some("Ada King".parse().expect("a name")),
        email: Some("u2@example.org".parse().expect("an address")),
        email_verified: Some(true),
        role: Some(Role::Administrator),
        status: Some(AccountStatus::Inactive),
        password: Some(NewPassword::Disabled),
        epoch: Some(Epoch::random()),
    };

    fixture.changed(&ada, change).await;

    let now = UserSummary::of(&fixture.by_id(&ada).await, Some(START));
    assert!(!now.has_password && now.email_verified, "{now:?}");
    let (role, status) = (Some(Role::Administrator), Some(AccountStatus::Inactive));
    for filter in [UserFilter::default(), UserFilter { role, status, ..UserFilter::default() }] {
        for order in all_orders() {
            let page = fixture.page(&UserPageQuery { filter, ..first(order.clone()) }).await;
            assert_eq!(page.users, std::slice::from_ref(&now), "{order:?}");
        }
    }
}

#[tokio::test]
async fn full_last_page_has_no_next_one() {
    let fixture = Fixture::empty().await;
    users_with_equal_keys(&fixture).await;

    for order in all_orders() {
        for limit in [9, 200] {
            let page = fixture.page(&UserPageQuery { limit, ..first(order.clone()) }).await;
            assert_eq!((page.users.len(), page.next), (9, None), "{order:?}");
        }
        let page = fixture.page(&UserPageQuery { limit: 8, ..first(order.clone()) }).await;
        assert!(page.next.is_some(), "{order:?}");
    }
}

#[tokio::test]
async fn pages_list_lasting_users_once_while_others_come_and_go() {
    for order in all_orders() {
        let fixture = Fixture::empty().await;
        users_with_equal_keys(&fixture).await;
        let (whole, _) = fixture.walked(first(order.clone())).await;

        let (mut query, mut listed) = (UserPageQuery { limit: 2, ..first(order.clone()) }, Vec::new());
        for page_number in 0..40 {
            let page = fixture.page(&query).await;
            listed.extend(local_parts(&page.users).into_iter().filter(|name| whole.contains(name)));
            // The user at the cursor is deleted, and others appear before and after it.
            if let Some(last) = page.users.last() {
                fixture.deleted(last.id).await;
            }
            for prefix in ["t", "u0004a", "v"].into_iter().filter(|_| page_number < 4) {
                let new = fixture.named(&format!("{prefix}{page_number}@example.org"), "Ada Adams").await;
                fixture.logged_in(&[login(&new, START + Duration::from_hours(9))]).await;
            }
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }

        assert_eq!(listed, whole, "{order:?}");
    }
}

#[tokio::test]
async fn filters_apply_in_every_order() {
    let fixture = Fixture::empty().await;
    let users = users_with_equal_keys(&fixture).await;
    let (status, role) = (Some(AccountStatus::Inactive), Some(Role::Administrator));
    for number in [10, 11, 12, 13] {
        let user = User {
            created: START + Duration::from_millis(1500),
            status: if number < 12 { AccountStatus::Inactive } else { AccountStatus::Active },
            role: if number % 2 == 0 { Role::Administrator } else { Role::Member },
            ..fixture.user(&format!("u{number:04}@example.org"))
        };
        assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
    }
    let at = |milliseconds| Some(START + Duration::from_millis(milliseconds));
    let nanosecond = Duration::from_nanos(1);
    let none = UserFilter::default();
    for (filter, expected) in [
        (UserFilter { status, ..none }, vec!["u0010", "u0011"]),
        (UserFilter { role, ..none }, vec!["u0010", "u0012"]),
        (UserFilter { status, role, ..none }, vec!["u0010"]),
        (UserFilter { status: Some(AccountStatus::Active), role, ..none }, vec!["u0012"]),
        (UserFilter { status, created_from: at(1501), ..none }, vec![]),
        (UserFilter { role, created_before: at(1500), ..none }, vec![]),
        (UserFilter { created_from: at(2000), ..none }, vec!["u0006", "u0007", "u0008"]),
        (UserFilter { created_from: at(2000).map(|at| at + nanosecond), ..none }, vec![]),
        (UserFilter { created_before: at(0), ..none }, vec![]),
        (UserFilter { created_before: at(0).map(|at| at + nanosecond), ..none }, vec!["u0000", "u0001", "u0002"]),
        (UserFilter { created_from: at(1000), created_before: at(1500), ..none }, vec!["u0003", "u0004", "u0005"]),
        (UserFilter { created_from: at(1500), created_before: at(1000), ..none }, vec![]),
        (UserFilter { created_from: Some(datetime!(-9999-01-01 0:00 UTC)), status, ..none }, vec!["u0010", "u0011"]),
        (
            UserFilter { created_before: Some(datetime!(9999-12-31 23:59:59.999_999_999 UTC)), status, ..none },
            vec!["u0010", "u0011"],
        ),
    ] {
        for order in all_orders() {
            let (mut found, _) = fixture.walked(UserPageQuery { filter, limit: 1, ..first(order.clone()) }).await;
            found.sort();
            assert_eq!(found, expected, "{order:?} {filter:?}");
        }
    }
    let exact = UserOrder::ExactEmail(users[0].email.clone());
    assert_eq!(fixture.page(&first(exact.clone())).await.users, users[..1]);
    let filter = UserFilter { role, ..none };
    assert_eq!(fixture.page(&UserPageQuery { filter, ..first(exact) }).await.users, []);
}

#[tokio::test]
async fn filter_that_matches_nobody_makes_short_pages() {
    let fixture = Fixture::empty().await;
    let count = MAX_EXAMINED_SCATTERED + 100;
    let users = fixture.filled(count, |_, user| user).await;
    let logins: Vec<_> = users.iter().take(count as usize - 1).map(|user| login(user, user.created)).collect();
    fixture.logged_in(&logins).await;
    // The last user matches, whom the first page does not examine.
    let last = users.last().expect("users");
    let filter = UserFilter { created_from: Some(last.created), ..UserFilter::default() };

    for order in [
        UserOrder::Email(Ascending),
        UserOrder::EmailPrefix("u".to_owned()),
        UserOrder::WordPrefix("a".to_owned()),
        UserOrder::LastLogin(Ascending),
    ] {
        let query = UserPageQuery { filter, limit: 10, ..first(order.clone()) };
        let page = fixture.page(&query).await;
        assert!(page.users.is_empty() && page.next.is_some(), "{order:?}");
        let (found, pages) = fixture.walked(query).await;
        assert_eq!(found, local_parts(&[UserSummary::of(last, None)]), "{order:?}");
        // At the end of the logins, those who never logged in follow on the same page.
        assert!(pages <= 2, "{order:?}: {pages} pages");
    }
    // The range of sign-ups bounds what is examined.
    for direction in [Ascending, Descending] {
        assert_eq!(fixture.walked(UserPageQuery { filter, ..first(UserOrder::Created(direction)) }).await.1, 1);
    }
}

#[tokio::test]
async fn few_of_many_are_found_at_once() {
    let fixture = Fixture::empty().await;
    let edit = |number, user| match number {
        600 => User { role: Role::Administrator, ..user },
        601 => User { status: AccountStatus::Inactive, ..user },
        _ => user,
    };
    fixture.filled(2 * MAX_EXAMINED - 800, edit).await;

    for direction in [Ascending, Descending] {
        let none = UserFilter::default();
        for (filter, expected) in [
            (UserFilter { role: Some(Role::Administrator), ..none }, "u0600"),
            (UserFilter { status: Some(AccountStatus::Inactive), ..none }, "u0601"),
        ] {
            let page = fixture.page(&UserPageQuery { filter, ..first(UserOrder::Created(direction)) }).await;
            assert_eq!((local_parts(&page.users), page.next), (vec![expected.to_owned()], None));
        }
    }
}
