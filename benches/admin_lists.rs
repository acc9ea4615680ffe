//! Compares pages of users, pages of events and statistics in a store of 1,000 users with those in one of 1,000,000 users.
//!
//!     scripts/measure-admin-lists
//!
//! Prints a row for each kind of page: the median time in both stores, and their ratio. Both stores are asked in turns, each time
//! at another position, by requests of an API client on a connection that stays open. The servers are in this process.
//! `-- --users NUMBER` makes the larger store smaller; `-- --test` makes both small.

use std::{
    env,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;
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
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};
use tokio::net::TcpStream;
use uuid::Builder;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests")]
mod support;

use support::{
    API_KEY, Backend, Embedded, PostgresRedis, Service, Settings, Stores, postgres_client, time, write_private,
};

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

/// Spreads numbers evenly over all values (`SplitMix64` of Steele, Lea and Flood).
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
        // The last word is of this user only.
        name: Name::from_store(format!("{first} {} x{number}", syllables.concat())),
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

/// Fills a store.
async fn fill(stores: &Stores, mut import: Box<dyn UserImport>, count: u64) {
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
}

async fn filled_sqlite(count: u64) -> Filled<Embedded> {
    let (backend, clock) = (Embedded::empty().await, Arc::new(ManualClock::default()));
    let stores = backend.open(Arc::clone(&clock)).await;
    let directory = DataDirectory::existing(backend.0.path()).expect("a store");
    let store = directory.store_beside_server(clock as Arc<dyn Clock>).expect("the store opens");
    let import = Box::new(store.user_import().expect("an import").expect("no other import"));
    fill(&stores, import, count).await;
    // They hold the lock of the directory.
    drop((stores, directory, store));
    Filled::serve(backend, count).await
}

async fn filled_postgres(count: u64) -> Filled<PostgresRedis> {
    let (backend, clock) = (PostgresRedis::empty().await, Arc::new(ManualClock::default()));
    let stores = backend.open(clock).await;
    let import = PostgresUserImport::open(&backend.database.parse().expect("a URL")).await.expect("an import");
    fill(&stores, Box::new(import.expect("no other import")), count).await;
    // As autovacuum does by and by.
    postgres_client(&backend.database).await.batch_execute("VACUUM ANALYZE").await.expect("a vacuum");
    Filled::serve(backend, count).await
}

/// What is read.
enum Read {
    Users(UserPageQuery),
    Details(UserId),
    Events(EventPageQuery),
    Statistics(OffsetDateTime, OffsetDateTime),
}

impl Read {
    /// Returns the path and the query of the request.
    fn target(&self) -> String {
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

/// A server on a filled store.
struct Filled<B> {
    service: Service<B>,
    count: u64,
}

impl<B: Backend> Filled<B> {
    async fn serve(backend: B, count: u64) -> Self {
        let service = Service::start_on(backend, Settings::default()).await;
        write_private(&service.keys_directory().join("api-keys"), &format!("console {API_KEY} admin:read\n"));
        // The server then reads the file again.
        service.advance(Duration::from_secs(1));
        Self { service, count }
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.service.operations_address()).await.expect("the server accepts");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Client(sender)
    }
}

/// An API client with a connection.
struct Client(SendRequest<Empty<Bytes>>);

impl Client {
    async fn timed(&mut self, read: &Read) -> Duration {
        let request = Request::get(read.target())
            .header(HOST, "postern.test")
            .header(AUTHORIZATION, format!("Bearer {API_KEY}"))
            .body(Empty::new())
            .expect("a valid request");
        let started = Instant::now();
        self.0.ready().await.expect("the connection stays open");
        let response = self.0.send_request(request).await.expect("a response");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let elapsed = started.elapsed();
        assert_eq!(status, 200, "{} {body:?}", read.target());
        elapsed
    }
}

type Reads = Vec<(&'static str, Read)>;

/// Returns what is read of a store of `count` users in a round, by its name.
fn reads(round: u64, count: u64) -> Reads {
    let number = mixed(round) % (count * 8 / 10) + count / 10;
    let middle = user(number, count);
    let mut reads = by_sign_up(&middle, &user(1, count));
    reads.extend(by_email_and_login(&middle));
    reads.extend(searches(&middle));
    reads.extend(of_events(middle.id, &event(number, count)));
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

/// Prints the table of a kind of store.
async fn compare<B: Backend>(store: &str, small: &Filled<B>, large: &Filled<B>, rounds: u64) {
    let (mut client_of_small, mut client_of_large) = (small.client().await, large.client().await);
    let names: Vec<_> = reads(0, small.count).into_iter().map(|(name, _)| name).collect();
    let mut times = vec![(Vec::new(), Vec::new()); names.len()];
    for round in 0..rounds {
        let both = reads(round, small.count).into_iter().zip(reads(round, large.count));
        for (times, ((_, in_small), (_, in_large))) in times.iter_mut().zip(both) {
            times.0.push(client_of_small.timed(&in_small).await);
            times.1.push(client_of_large.timed(&in_large).await);
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

    let (small, large) = (filled_sqlite(few).await, filled_sqlite(many).await);
    compare("Embedded store:", &small, &large, rounds).await;
    drop((small, large));
    let (small, large) = (filled_postgres(few).await, filled_postgres(many).await);
    compare("PostgreSQL:", &small, &large, rounds).await;
}
