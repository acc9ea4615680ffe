//! Compares pages of users, pages of events and statistics in a store of 1,000 users with those in one of 1,000,000 users.
//!
//!     scripts/measure-admin-lists
//!
//! Prints a row for each kind of page: the median time in both stores, and their ratio. Both stores are asked in turns, each time
//! at another position, by requests of an API client on a connection that stays open. The servers are in this process.
//! `-- --users NUMBER` makes the larger store smaller; `-- --test` makes both small; `-- --postgres` and `-- --embedded` measure
//! one kind of store.

mod data;
mod reads;

use std::{
    env,
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
    store::{ImportDecision, StagedUser, UserImport, postgres::PostgresUserImport, sqlite::DataDirectory},
};
use tokio::net::TcpStream;

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests")]
mod support;

use data::{event, user};
use reads::{Read, reads};
use support::{
    API_KEY, Backend, Embedded, PostgresRedis, Service, Settings, Stores, postgres_client, time, write_private,
};

/// How often each page is read of each store. The first [`WARM_UP`] times do not count.
const ROUNDS: u64 = 220;
const WARM_UP: usize = 20;

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
    // As autovacuum does by and by; then half as many logins as it lets pass before it does so again.
    let client = postgres_client(&backend.database).await;
    client.batch_execute("VACUUM ANALYZE").await.expect("a vacuum");
    let logins = "UPDATE user_summaries SET last_login = last_login + interval '1 minute' WHERE random() < 0.005";
    client.batch_execute(logins).await.expect("logins");
    Filled::serve(backend, count).await
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
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let is_test = has("--test");
    let users = arguments.iter().position(|argument| argument == "--users");
    let users = users.map(|place| arguments[place + 1].parse().expect("a number of users"));
    let (few, many, rounds) = if is_test { (200, 400, 2) } else { (1000, users.unwrap_or(1_000_000), ROUNDS) };

    if !has("--postgres") {
        let (small, large) = (filled_sqlite(few).await, filled_sqlite(many).await);
        compare("Embedded store:", &small, &large, rounds).await;
    }
    if !has("--embedded") {
        let (small, large) = (filled_postgres(few).await, filled_postgres(many).await);
        compare("PostgreSQL:", &small, &large, rounds).await;
    }
}
