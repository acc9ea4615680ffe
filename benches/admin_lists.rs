//! Compares pages of users, pages of events and statistics in a store of 1,000 users with those in one of 1,000,000 users.
//!
//!     scripts/measure-admin-lists
//!
//! Prints a row for each kind of page: the median time in both stores, and their ratio. Both stores are asked in turns, each time
//! at another position, by calls of the store contracts. `-- --users NUMBER` makes the larger store smaller; `-- --test` makes both
//! small.

use std::{
    env,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use postern::{
    clock::{Clock, ManualClock},
    model::{
        AccountStatus, AuditEvent, AuditOrigin, AuditSubject, CursorKey,
        Direction::{Ascending, Descending},
        Email, Epoch, EventId, EventKind, EventPageQuery, Name, PasswordHash, Role, User, UserCursor, UserFilter,
        UserId, UserOrder, UserPageQuery,
    },
    store::{ImportDecision, StagedUser, UserImport, postgres::PostgresUserImport, sqlite::DataDirectory},
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Builder;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests")]
mod support;

use support::{Backend as _, Embedded, PostgresRedis, Stores, postgres_client, time};

/// The first sign-up; one follows every 30 seconds, and an event every 20.
const START: OffsetDateTime = datetime!(2024-01-01 0:00 UTC);

const LIMIT: u32 = 50;

/// How often each page is read of each store. The first [`WARM_UP`] times do not count.
const ROUNDS: u64 = 220;
const WARM_UP: usize = 20;

const FIRST_NAMES: [&str; 24] = [
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Margaret",
    "Ken",
    "Dennis",
    "Frances",
    "Jean-Luc",
    "Joan",
    "Mary",
    "Katherine",
    "Dorothy",
    "Hedy",
    "Zo\u{eb}",
    "Niklaus",
    "Tony",
    "Leslie",
    "Shafi",
    "Silvio",
    "Adele",
    "Karen",
];
const SYLLABLES: [&str; 16] =
    ["lo", "ve", "la", "hop", "per", "tu", "ring", "dijk", "stra", "lis", "kov", "knu", "th", "ham", "il", "ton"];

/// Spreads numbers evenly over all values (SplitMix64 of Steele, Lea and Flood).
fn mixed(number: u64) -> u64 {
    let mut value = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn chosen<'item>(items: &[&'item str], number: u64) -> &'item str {
    items[usize::try_from(number % items.len() as u64).expect("a small number")]
}

fn created(number: u64) -> OffsetDateTime {
    START + Duration::from_secs(number * 30)
}

fn uuid(at: OffsetDateTime, number: u64) -> uuid::Uuid {
    let milliseconds = u64::try_from(at.unix_timestamp()).expect("a time after 1970") * 1000;
    let random = [mixed(number).to_be_bytes().as_slice(), &[0; 2]].concat();
    Builder::from_unix_timestamp_millis(milliseconds, &random.try_into().expect("ten bytes")).into_uuid()
}

/// Returns a user of a store of `count` users: one of 20 is inactive, and 60 are administrators.
fn user(number: u64, count: u64) -> User {
    let random = mixed(number);
    let first = chosen(&FIRST_NAMES, random);
    let syllables = [10, 18, 26].map(|bits| chosen(&SYLLABLES, random >> bits));
    let email = format!("{}.{}.{number}@example.org", first.to_lowercase().replace('\u{eb}', "e"), syllables.concat());
    User {
        id: UserId(uuid(created(number), number)),
        email: Email::from_store(email),
        email_verified: !random.is_multiple_of(3),
        name: Name::from_store(format!("{first} {}", syllables.concat())),
        password: Some(PasswordHash::new(format!(
            "$argon2id$v=19$m=19456,t=2,p=1${random:x}{random:x}${random:0>43x}"
        ))),
        status: if number % 20 == 7 { AccountStatus::Inactive } else { AccountStatus::Active },
        role: if number.is_multiple_of(count.div_ceil(60)) { Role::Administrator } else { Role::Member },
        epoch: Epoch(random.cast_signed()),
        surviving_session: None,
        created: created(number),
    }
}

/// Returns an event of a store of `count` events. One of ten users never logs in, and 60 events change keys.
fn event(number: u64, count: u64) -> AuditEvent {
    let at = START + Duration::from_secs(number * 20);
    let about = mixed(number) % count;
    let about = if about % 10 == 3 { about / 10 * 10 } else { about };
    let kinds = [EventKind::Login, EventKind::Logout, EventKind::LoginFailed, EventKind::RefreshTokenReused];
    let kind = if number.is_multiple_of(count.div_ceil(60)) {
        EventKind::KeysChanged
    } else {
        // Every user has an event of a login.
        kinds[usize::try_from(mixed(number) >> 62).expect("at most 3")]
    };
    AuditEvent {
        id: EventId(uuid(at, number)),
        at,
        kind,
        subject: AuditSubject::from(Some(user(about, count).id)),
        origin: AuditOrigin { address: Some(address(number, count)), ..AuditOrigin::default() },
    }
}

/// Each address has about a hundred events, whatever their number.
fn address(number: u64, count: u64) -> IpAddr {
    let client = u32::try_from(mixed(number ^ 7) % count.div_ceil(100)).expect("few");
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + client))
}

/// A filled store.
struct Filled {
    stores: Stores,
    count: u64,
}

async fn filled(stores: Stores, mut import: Box<dyn UserImport>, count: u64) -> Filled {
    for first in (0..count).step_by(1000) {
        let staged = |number: u64| StagedUser {
            row: number + 1,
            old_id: number.to_string(),
            user: user(number, count),
            recipe: None,
            decision: ImportDecision::Insert,
            remark: None,
        };
        import.stage((first..count.min(first + 1000)).map(staged).collect()).await.expect("staged");
    }
    import.decide().await.expect("decided");
    while import.merge().await.expect("merged").is_some() {}
    import.finish().await.expect("finished");
    for first in (0..count).step_by(2000) {
        let events: Vec<_> = (first..count.min(first + 2000)).map(|number| event(number, count)).collect();
        stores.audit.append(&events, &time()).await.expect("a response");
    }
    Filled { stores, count }
}

async fn filled_sqlite(count: u64) -> (Filled, Embedded) {
    let (backend, clock) = (Embedded::empty().await, Arc::new(ManualClock::default()));
    let stores = backend.open(Arc::clone(&clock)).await;
    let directory = DataDirectory::existing(backend.0.path()).expect("a store");
    let store = directory.store_beside_server(clock as Arc<dyn Clock>).expect("the store opens");
    let import = Box::new(store.user_import().expect("an import").expect("no other import"));
    (filled(stores, import, count).await, backend)
}

async fn filled_postgres(count: u64) -> (Filled, PostgresRedis) {
    let (backend, clock) = (PostgresRedis::empty().await, Arc::new(ManualClock::default()));
    let stores = backend.open(clock).await;
    let import = PostgresUserImport::open(&backend.database.parse().expect("a URL")).await.expect("an import");
    let filled = filled(stores, Box::new(import.expect("no other import")), count).await;
    // As autovacuum does by and by.
    postgres_client(&backend.database).await.batch_execute("VACUUM ANALYZE").await.expect("a vacuum");
    (filled, backend)
}

/// What is read.
enum Read {
    Users(UserPageQuery),
    Details(UserId),
    Estimate,
    Events(EventPageQuery),
    Statistics(OffsetDateTime, OffsetDateTime),
}

impl Filled {
    async fn timed(&self, read: &Read) -> Duration {
        let (time, started) = (time(), Instant::now());
        match read {
            Read::Users(query) => drop(self.stores.directory.page(query, &time).await.expect("a page")),
            Read::Details(id) => drop(self.stores.directory.details(*id, &time).await.expect("a response")),
            Read::Estimate => drop(self.stores.directory.estimated_users(&time).await.expect("a response")),
            Read::Events(query) => drop(self.stores.audit_reader.page(query, &time).await.expect("a page")),
            Read::Statistics(from, until) => {
                drop(self.stores.audit_reader.statistics(*from, *until, &time).await.expect("a response"));
            }
        }
        started.elapsed()
    }
}

/// Returns what is read of a store of `count` users in a round, by its name.
fn reads(round: u64, count: u64) -> Vec<(&'static str, Read)> {
    let number = mixed(round) % (count * 8 / 10) + count / 10;
    let middle = user(number, count);
    let none = UserFilter::default();
    let users = |order, filter, after| Read::Users(UserPageQuery { order, filter, after, limit: LIMIT });
    let first = |order| users(order, none, None);
    let after = |order, key| users(order, none, Some(UserCursor { key, id: middle.id }));
    let at = CursorKey::Created(middle.created);
    let never = CursorKey::NeverLoggedIn(created(0));
    let email = CursorKey::Email(middle.email.as_str().to_owned());
    let login = CursorKey::LastLogin(middle.created);
    let (role, status) = (Some(Role::Administrator), Some(AccountStatus::Inactive));
    let range = UserFilter {
        created_from: Some(middle.created),
        created_before: Some(middle.created + Duration::from_hours(1)),
        ..none
    };
    // The end of the words and the beginning of the emails of many users, and of few.
    let full_word = middle.name.as_str().rsplit(' ').next().expect("a word").to_owned();
    let event = event(number, count);
    let events = |query| Read::Events(EventPageQuery { limit: LIMIT, ..query });
    let all = EventPageQuery::default();
    vec![
        ("newest users", first(UserOrder::Created(Descending))),
        ("oldest users", first(UserOrder::Created(Ascending))),
        ("… after a user in the middle", after(UserOrder::Created(Descending), at.clone())),
        ("… after the second user (the end)", {
            let second = user(1, count);
            let after = Some(UserCursor { key: CursorKey::Created(second.created), id: second.id });
            users(UserOrder::Created(Descending), none, after)
        }),
        ("administrators", users(UserOrder::Created(Descending), UserFilter { role, ..none }, None)),
        ("inactive users", users(UserOrder::Created(Descending), UserFilter { status, ..none }, None)),
        ("users who signed up in an hour", users(UserOrder::Created(Descending), range, None)),
        ("by email", first(UserOrder::Email(Ascending))),
        ("… after a user in the middle", after(UserOrder::Email(Ascending), email.clone())),
        ("… descending, after a user in the middle", after(UserOrder::Email(Descending), email)),
        ("by email, inactive", users(UserOrder::Email(Ascending), UserFilter { status, ..none }, None)),
        ("by email, inactive administrators", {
            users(UserOrder::Email(Ascending), UserFilter { status, role, ..none }, None)
        }),
        ("latest logins", first(UserOrder::LastLogin(Descending))),
        ("oldest logins", first(UserOrder::LastLogin(Ascending))),
        ("… after a login in the middle", after(UserOrder::LastLogin(Descending), login)),
        ("never logged in", after(UserOrder::LastLogin(Ascending), never)),
        ("latest logins, inactive", users(UserOrder::LastLogin(Descending), UserFilter { status, ..none }, None)),
        ("latest logins, inactive administrators", {
            users(UserOrder::LastLogin(Descending), UserFilter { status, role, ..none }, None)
        }),
        ("exact email", first(UserOrder::ExactEmail(middle.email.clone()))),
        ("email begins with `ada.`", first(UserOrder::EmailPrefix("ada.".to_owned()))),
        ("email begins with a whole local part", {
            let local = middle.email.as_str().split('@').next().expect("a local part");
            first(UserOrder::EmailPrefix(local.to_owned()))
        }),
        ("a word begins with `ad`", first(UserOrder::WordPrefix("ad".to_owned()))),
        ("a word begins with a whole surname", first(UserOrder::WordPrefix(full_word))),
        ("no word begins with it", first(UserOrder::WordPrefix("qqq".to_owned()))),
        ("a word begins with `ad`, inactive", {
            users(UserOrder::WordPrefix("ad".to_owned()), UserFilter { status, ..none }, None)
        }),
        ("details of a user", Read::Details(middle.id)),
        ("estimated number of users", Read::Estimate),
        ("newest events", events(all.clone())),
        ("… before an event in the middle", events(EventPageQuery { before: Some(event.id), ..all.clone() })),
        ("events of a user", events(EventPageQuery { user: Some(middle.id), ..all.clone() })),
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

/// Prints the table of a kind of store.
async fn compare(store: &str, small: &Filled, large: &Filled, rounds: u64) {
    let names: Vec<_> = reads(0, small.count).into_iter().map(|(name, _)| name).collect();
    let mut times = vec![(Vec::new(), Vec::new()); names.len()];
    for round in 0..rounds {
        let both = reads(round, small.count).into_iter().zip(reads(round, large.count));
        for (times, ((_, in_small), (_, in_large))) in times.iter_mut().zip(both) {
            times.0.push(small.timed(&in_small).await);
            times.1.push(large.timed(&in_large).await);
        }
    }
    println!("\n{store}\n\n| page | {} users | {} users | ratio |\n|---|---|---|---|", small.count, large.count);
    let median = |times: &mut Vec<Duration>| {
        let counted = times.split_off(WARM_UP.min(times.len() / 2));
        let mut counted: Vec<_> = counted.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        counted.sort_by(f64::total_cmp);
        counted[counted.len() / 2]
    };
    for (name, (small, large)) in names.iter().zip(&mut times) {
        let (small, large) = (median(small), median(large));
        println!("| {name} | {small:.2} ms | {large:.2} ms | {:.2} |", large / small);
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = env::args().collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let users = arguments.iter().position(|argument| argument == "--users");
    let users = users.map(|place| arguments[place + 1].parse().expect("a number of users"));
    let (few, many, rounds) = if is_test { (200, 400, 2) } else { (1000, users.unwrap_or(1_000_000), ROUNDS) };

    let ((small, _directory), (large, _large_directory)) = (filled_sqlite(few).await, filled_sqlite(many).await);
    compare("Embedded store:", &small, &large, rounds).await;
    drop((small, large));
    let ((small, _schema), (large, _large_schema)) = (filled_postgres(few).await, filled_postgres(many).await);
    compare("PostgreSQL:", &small, &large, rounds).await;
}
