//! Measures other requests during a flood of logins: signed-in requests and probes on a quiet server, and with ten times as
//! many logins as the processors can hash.
//!
//!     scripts/with-stores cargo bench --bench flood
//!     cargo bench --bench flood -- [SECONDS]
//!
//! Starts Postern on the stores of `scripts/with-stores`, or else on the embedded store. Then sends 200 requests per second at
//! a steady rate, on the quiet server and during the flood, five times in turns. Each request is timed from its planned start.
//! Before each flood, bare Argon2id is measured. The stores and this program, which uses one thread to send requests and two
//! to keep time, share the processors with the server. `-- --test` runs one short pair.

#[path = "../speed/bare_hashes.rs"]
mod bare_hashes;
mod load;
mod server;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use load::{Connections, RequestTemplate, TimedResponse, drive};
use server::Server;
use tokio::task::LocalSet;

/// Signed-in requests and probes per second.
const FOREGROUND_RATE: f64 = 200.0;
/// The rate of logins as a multiple of the hashes that the processors can compute.
const FLOOD_FACTOR: f64 = 10.0;
/// The duration of a flood before the measurement starts: by then the queue is full.
const LEAD: Duration = Duration::from_secs(3);
/// The connections of the flood: more than the logins that wait in the queue at once.
const CONNECTIONS: usize = 600;

/// The number of pairs, and the durations of their parts.
struct Times {
    pairs: usize,
    round: Duration,
    bare: Duration,
    lead: Duration,
}

/// A round on the quiet server and one during the flood.
struct Pair {
    quiet: Vec<Duration>,
    flooded: Vec<Duration>,
    logins: Vec<TimedResponse>,
    hashes_per_second: f64,
    bare_hashes_per_second: f64,
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let (short, round) = (Duration::from_millis(500), Duration::from_secs(seconds));
    let times = if is_test {
        Times { pairs: 1, round: short, bare: short, lead: short }
    } else {
        Times { pairs: 5, round, bare: Duration::from_secs(2), lead: LEAD }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, measure(&times));
}

async fn measure(times: &Times) {
    let server = Server::start().await;
    let run = uuid::Uuid::new_v4().simple();
    let token = server.sign_up(&format!("ada-{run}@example.org")).await;
    let flooding = format!("flood-{run}@example.org");
    server.sign_up(&flooding).await;
    let (foreground, flood) = (
        Connections::open(server.serving.public, 16).await,
        Connections::open(server.serving.public, CONNECTIONS).await,
    );
    let mut pairs = Vec::new();
    for _ in 0..times.pairs {
        pairs.push(pair(&server, times, (&foreground, &token), (&flood, &flooding)).await);
    }
    print(&server, &pairs).await;
    println!("connections opened during the flood because all {CONNECTIONS} were in use: {}", flood.additional());
}

async fn pair(
    server: &Server,
    times: &Times,
    (foreground, token): (&Rc<Connections>, &str),
    (flood, flooding): (&Rc<Connections>, &str),
) -> Pair {
    let quiet = drive(foreground, signed_in(token), FOREGROUND_RATE, times.round).await;
    let bare_hashes_per_second = bare_hashes::rate(server.threads().await, times.bare);
    let flooded = async {
        tokio::time::sleep(times.lead).await;
        let before = server.hashes().await;
        let started = std::time::Instant::now();
        let responses = drive(foreground, signed_in(token), FOREGROUND_RATE, times.round).await;
        (responses, (server.hashes().await - before) / started.elapsed().as_secs_f64())
    };
    let flooding = drive(flood, login(flooding), FLOOD_FACTOR * bare_hashes_per_second, times.lead + times.round);
    let ((flooded, hashes_per_second), logins) = tokio::join!(flooded, flooding);
    for response in quiet.iter().chain(&flooded) {
        assert_eq!(response.status, 200, "{:?}", response.body);
    }
    for response in &logins {
        let is_rejected = response.status == 503 && response.has_retry_after;
        assert!(response.status == 200 || is_rejected, "{} {:?}", response.status, response.body);
    }
    Pair { quiet: sorted(&quiet), flooded: sorted(&flooded), logins, hashes_per_second, bare_hashes_per_second }
}

fn signed_in(token: &str) -> Vec<RequestTemplate> {
    let get =
        |path, bearer: &str| RequestTemplate { method: "GET", path, bearer: bearer.to_owned(), body: String::new() };
    vec![get("/profile/", token), get("/healthz", "")]
}

fn login(email: &str) -> Vec<RequestTemplate> {
    let body = format!(r#"{{"email":"{email}","password":"secure_password"}}"#);
    vec![RequestTemplate { method: "POST", path: "/token/", bearer: String::new(), body }]
}

fn sorted(responses: &[TimedResponse]) -> Vec<Duration> {
    let mut times: Vec<_> = responses.iter().map(|response| response.duration).collect();
    times.sort();
    times
}

async fn print(server: &Server, pairs: &[Pair]) {
    println!(
        "| | quiet: p50, p99 | flooded: p50, p99 | hashes/s | bare Argon2id | efficiency |\n|---|---|---|---|---|---|"
    );
    for pair in pairs {
        let percentiles =
            |times: &[Duration]| format!("{}, {}", millis(percentile(times, 50)), millis(percentile(times, 99)));
        let (hashes, bare) = (pair.hashes_per_second, pair.bare_hashes_per_second);
        println!(
            "| | {} | {} | {hashes:.1} | {bare:.1} | {:.2} |",
            percentiles(&pair.quiet),
            percentiles(&pair.flooded),
            hashes / bare
        );
    }
    let quiet = median(pairs, |pair| percentile(&pair.quiet, 99).as_secs_f64());
    let flooded = median(pairs, |pair| percentile(&pair.flooded, 99).as_secs_f64());
    let efficiency = median(pairs, |pair| pair.hashes_per_second / pair.bare_hashes_per_second);
    println!(
        "\np99, medians: {:.2} ms quiet, {:.2} ms flooded, {:.2} times",
        quiet * 1e3,
        flooded * 1e3,
        flooded / quiet
    );
    println!(
        "efficiency, median: {efficiency:.2} of the hashes of bare Argon2id on {} threads",
        server.threads().await
    );
    let logins: Vec<_> = pairs.iter().flat_map(|pair| &pair.logins).collect();
    let mut counts = BTreeMap::new();
    for login in &logins {
        let code = serde_json::from_slice::<serde_json::Value>(&login.body).expect("JSON")["code"].to_string();
        *counts.entry((login.status, code)).or_insert(0) += 1;
    }
    let longest = |status| logins.iter().filter(|login| login.status == status).map(|login| login.duration).max();
    println!("logins by status and code: {counts:?}; every 503 has Retry-After");
    let [longest_served, longest_rejected] = [200, 503].map(|status| longest(status).unwrap_or_default());
    println!("longest login: {} served, {} rejected", millis(longest_served), millis(longest_rejected));
    println!("peak memory: {} MiB; on {}", server.peak_mebibytes(), server.stores);
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn median(pairs: &[Pair], value: impl Fn(&Pair) -> f64) -> f64 {
    let mut values: Vec<_> = pairs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
