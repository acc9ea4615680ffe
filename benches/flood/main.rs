//! What a flood of logins does to everybody else: signed-in requests and probes in quiet, and under ten times as many logins
//! as the processors can hash.
//!
//!     scripts/with-stores cargo bench --bench flood
//!     cargo bench --bench flood -- [SECONDS]
//!
//! Starts the program, on the stores of `scripts/with-stores` or else on an embedded one. In turns, five times each, it is
//! asked 200 times a second, at a steady rate, in quiet and under the flood, and each request is timed from when it was due.
//! Before each flood, the bare primitive is measured. All else that runs here shares the processors with the server: the
//! stores, and this program, which asks by one thread and keeps time by two. `-- --test` is a pair of short ones.

#[path = "../speed/hashes.rs"]
mod hashes;
mod load;
mod server;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use load::{Answer, Connections, Question, drive};
use server::Server;
use tokio::task::LocalSet;

/// Signed-in requests and probes, a second.
const ASKED_RATE: f64 = 200.0;
/// How many times as many logins come as the processors can hash.
const FLOOD: f64 = 10.0;
/// How long a flood has lasted before anything is measured: by then the queue is full.
const LEAD: Duration = Duration::from_secs(3);
/// Those whose answers are waited for: as many as wait in the queue at once, and some.
const CONNECTIONS: usize = 600;

/// How long everything takes.
struct Times {
    pairs: usize,
    round: Duration,
    bare: Duration,
    lead: Duration,
}

/// A round in quiet and one under the flood.
struct Pair {
    quiet: Vec<Duration>,
    flooded: Vec<Duration>,
    logins: Vec<Answer>,
    hashes_a_second: f64,
    bare_hashes_a_second: f64,
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
    let (asked, flood) = (
        Connections::open(server.serving.public, 16).await,
        Connections::open(server.serving.public, CONNECTIONS).await,
    );
    let mut pairs = Vec::new();
    for _ in 0..times.pairs {
        pairs.push(pair(&server, times, (&asked, &token), (&flood, &flooding)).await);
    }
    print(&server, &pairs).await;
    println!("connections made during the flood, because all {CONNECTIONS} were in use: {}", flood.made_later());
}

async fn pair(
    server: &Server,
    times: &Times,
    (asked, token): (&Rc<Connections>, &str),
    (flood, flooding): (&Rc<Connections>, &str),
) -> Pair {
    let quiet = drive(asked, signed_in(token), ASKED_RATE, times.round).await;
    let bare_hashes_a_second = hashes::bare_rate(server.threads().await, times.bare);
    let flooded = async {
        tokio::time::sleep(times.lead).await;
        let before = server.hashes().await;
        let started = std::time::Instant::now();
        let answers = drive(asked, signed_in(token), ASKED_RATE, times.round).await;
        (answers, (server.hashes().await - before) / started.elapsed().as_secs_f64())
    };
    let flooding = drive(flood, login(flooding), FLOOD * bare_hashes_a_second, times.lead + times.round);
    let ((flooded, hashes_a_second), logins) = tokio::join!(flooded, flooding);
    for answer in quiet.iter().chain(&flooded) {
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    for answer in &logins {
        let is_refusal = answer.status == 503 && answer.has_retry_after;
        assert!(answer.status == 200 || is_refusal, "{} {:?}", answer.status, answer.body);
    }
    Pair { quiet: sorted(&quiet), flooded: sorted(&flooded), logins, hashes_a_second, bare_hashes_a_second }
}

fn signed_in(token: &str) -> Vec<Question> {
    let get = |path, bearer: &str| Question { method: "GET", path, bearer: bearer.to_owned(), body: String::new() };
    vec![get("/profile/", token), get("/healthz", "")]
}

fn login(email: &str) -> Vec<Question> {
    let body = format!(r#"{{"email":"{email}","password":"secure_password"}}"#);
    vec![Question { method: "POST", path: "/token/", bearer: String::new(), body }]
}

fn sorted(answers: &[Answer]) -> Vec<Duration> {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort();
    times
}

async fn print(server: &Server, pairs: &[Pair]) {
    println!(
        "| | quiet: p50, p99 | flooded: p50, p99 | hashes/s | bare primitive | efficiency |\n|---|---|---|---|---|---|"
    );
    for pair in pairs {
        let shown =
            |times: &[Duration]| format!("{}, {}", millis(percentile(times, 50)), millis(percentile(times, 99)));
        let (hashes, bare) = (pair.hashes_a_second, pair.bare_hashes_a_second);
        println!(
            "| | {} | {} | {hashes:.1} | {bare:.1} | {:.2} |",
            shown(&pair.quiet),
            shown(&pair.flooded),
            hashes / bare
        );
    }
    let quiet = median(pairs, |pair| percentile(&pair.quiet, 99).as_secs_f64());
    let flooded = median(pairs, |pair| percentile(&pair.flooded, 99).as_secs_f64());
    let efficiency = median(pairs, |pair| pair.hashes_a_second / pair.bare_hashes_a_second);
    println!(
        "\np99, medians: {:.2} ms in quiet, {:.2} ms flooded, {:.2} times",
        quiet * 1e3,
        flooded * 1e3,
        flooded / quiet
    );
    println!(
        "efficiency, median: {efficiency:.2} of what the bare primitive makes on {} threads",
        server.threads().await
    );
    let logins: Vec<_> = pairs.iter().flat_map(|pair| &pair.logins).collect();
    let mut counts = BTreeMap::new();
    for answer in &logins {
        let code = serde_json::from_slice::<serde_json::Value>(&answer.body).expect("JSON")["code"].to_string();
        *counts.entry((answer.status, code)).or_insert(0) += 1;
    }
    let longest = |status| logins.iter().filter(|answer| answer.status == status).map(|answer| answer.took).max();
    println!("logins, by status and code: {counts:?}; every 503 with Retry-After");
    let [longest_served, longest_refused] = [200, 503].map(|status| longest(status).unwrap_or_default());
    println!("longest login: {} served, {} refused", millis(longest_served), millis(longest_refused));
    println!("memory, at most: {} MiB; on {}", server.peak_mebibytes(), server.stores);
}

/// So many in a hundred are no longer than this.
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
