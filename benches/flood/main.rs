//! Measures other requests during a flood of logins, signed-in requests and probes on a quiet server and with ten times as
//! many logins as the processors can hash; and the hashes during the flood, with many other requests, with one per second
//! and with none.
//!
//!     scripts/with-stores cargo bench --bench flood
//!     cargo bench --bench flood -- [SECONDS] [--postern PROGRAM] [--cpus NUMBER]
//!
//! Floods another build of the program if one is named, and limits it to this number of CPUs by a control group.
//! Starts Postern on the stores of `scripts/with-stores`, or else on the embedded store. Then sends 200 requests per second at
//! a steady rate, on the quiet server and during the flood, five times in turns. Each request is timed from its planned start.
//! After that, the flood continues with one signed-in request per second, and with none. Before each flood, bare Argon2id is
//! measured. The stores and this program, which uses one thread to send requests and two
//! to keep time, share the processors with the server. `-- --test` runs one short round.

#[path = "../speed/bare_hashes.rs"]
mod bare_hashes;
mod load;
mod server;
#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use load::{Connections, RequestTemplate, TimedResponse, drive};
use server::{Program, Server};
use tokio::task::LocalSet;

/// Signed-in requests and probes per second.
const FOREGROUND_RATE: f64 = 200.0;
/// Requests per second of a single client.
const SINGLE_CLIENT_RATE: f64 = 1.0;
/// The rate of logins as a multiple of the hashes that the processors can compute.
const FLOOD_FACTOR: f64 = 10.0;
/// The duration of a flood before the measurement starts: by then the queue is full.
const LEAD: Duration = Duration::from_secs(3);
/// The connections of the flood: more than the logins that wait in the queue at once.
const CONNECTIONS: usize = 600;

/// The number of rounds, and the durations of their parts.
struct Times {
    rounds: usize,
    part: Duration,
    bare: Duration,
    lead: Duration,
}

/// A measurement on the quiet server, and those during floods.
struct Round {
    quiet: Vec<Duration>,
    flooded: Flooded,
    with_single_client: Flooded,
    alone: Flooded,
    bare_hashes_per_second: f64,
}

/// A flood, with other requests or without.
struct Flooded {
    foreground: Vec<Duration>,
    logins: Vec<TimedResponse>,
    hashes_per_second: f64,
}

/// The server, and the connections and the user of the flood and of the other requests.
struct Clients {
    server: Server,
    foreground: Rc<Connections>,
    token: String,
    flood: Rc<Connections>,
    flooding: String,
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let program = Program { path: option("--postern"), cpu_tenths: option("--cpus").map(|cpus| tenths(&cpus)) };
    let (short, part) = (Duration::from_millis(500), Duration::from_secs(seconds));
    let times = if is_test {
        Times { rounds: 1, part: short, bare: short, lead: short }
    } else {
        Times { rounds: 5, part, bare: Duration::from_secs(2), lead: LEAD }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, measure(&program, &times));
}

/// Returns the argument after this one.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// Parses a number with at most one decimal.
fn tenths(text: &str) -> u32 {
    let (whole, decimal) = text.split_once('.').unwrap_or((text, "0"));
    let tenths = format!("{whole}{decimal}").parse().ok().filter(|_| decimal.len() == 1);
    tenths.unwrap_or_else(|| panic!("invalid number of CPUs `{text}`: expected one such as 1.5"))
}

async fn measure(program: &Program, times: &Times) {
    let server = Server::start(program).await;
    let run = uuid::Uuid::new_v4().simple();
    let token = server.sign_up(&format!("ada-{run}@example.org")).await;
    let flooding = format!("flood-{run}@example.org");
    server.sign_up(&flooding).await;
    let (foreground, flood) = (
        Connections::open(server.serving.public, 16).await,
        Connections::open(server.serving.public, CONNECTIONS).await,
    );
    let clients = Clients { server, foreground, token, flood, flooding };
    let mut rounds = Vec::new();
    for _ in 0..times.rounds {
        rounds.push(clients.round(times).await);
    }
    print(&clients.server, &rounds).await;
    println!(
        "connections opened during the flood because all {CONNECTIONS} were in use: {}",
        clients.flood.additional()
    );
}

impl Clients {
    async fn round(&self, times: &Times) -> Round {
        let quiet = drive(&self.foreground, self.signed_in(), FOREGROUND_RATE, times.part).await;
        let bare = bare_hashes::rate(self.server.threads().await, times.bare);
        Round {
            quiet: sorted_if_ok(&quiet),
            flooded: self.flooded(times, bare, self.signed_in(), FOREGROUND_RATE).await,
            with_single_client: self.flooded(times, bare, vec![self.profile()], SINGLE_CLIENT_RATE).await,
            alone: self.flooded(times, bare, Vec::new(), SINGLE_CLIENT_RATE).await,
            bare_hashes_per_second: bare,
        }
    }

    /// Sends the flood and these requests. Without requests, only waits for as long.
    async fn flooded(&self, times: &Times, bare: f64, requests: Vec<RequestTemplate>, rate: f64) -> Flooded {
        let foreground = async {
            tokio::time::sleep(times.lead).await;
            let before = self.server.hashes().await;
            let started = std::time::Instant::now();
            let responses = if requests.is_empty() {
                tokio::time::sleep(times.part).await;
                Vec::new()
            } else {
                drive(&self.foreground, requests, rate, times.part).await
            };
            (responses, (self.server.hashes().await - before) / started.elapsed().as_secs_f64())
        };
        let flood = drive(&self.flood, login(&self.flooding), FLOOD_FACTOR * bare, times.lead + times.part);
        let ((responses, hashes_per_second), logins) = tokio::join!(foreground, flood);
        for response in &logins {
            let is_rejected = response.status == 503 && response.has_retry_after;
            assert!(response.status == 200 || is_rejected, "{} {:?}", response.status, response.body);
        }
        Flooded { foreground: sorted_if_ok(&responses), logins, hashes_per_second }
    }

    fn signed_in(&self) -> Vec<RequestTemplate> {
        vec![self.profile(), get("/healthz", "")]
    }

    fn profile(&self) -> RequestTemplate {
        get("/profile/", &self.token)
    }
}

fn get(path: &'static str, bearer: &str) -> RequestTemplate {
    RequestTemplate { method: "GET", path, bearer: bearer.to_owned(), body: String::new() }
}

fn login(email: &str) -> Vec<RequestTemplate> {
    let body = format!(r#"{{"email":"{email}","password":"secure_password"}}"#);
    vec![RequestTemplate { method: "POST", path: "/token/", bearer: String::new(), body }]
}

fn sorted_if_ok(responses: &[TimedResponse]) -> Vec<Duration> {
    for response in responses {
        assert_eq!(response.status, 200, "{:?}", response.body);
    }
    let mut times: Vec<_> = responses.iter().map(|response| response.duration).collect();
    times.sort();
    times
}

async fn print(server: &Server, rounds: &[Round]) {
    println!(
        "| | quiet: p50, p99 | flooded: p50, p99 | hashes/s: 200 requests/s, 1, none | bare Argon2id |\n|---|---|---|---|---|"
    );
    for round in rounds {
        let percentiles =
            |times: &[Duration]| format!("{}, {}", millis(percentile(times, 50)), millis(percentile(times, 99)));
        let [many, single, none] =
            [&round.flooded, &round.with_single_client, &round.alone].map(|flooded| flooded.hashes_per_second);
        println!(
            "| | {} | {} | {many:.1}, {single:.1}, {none:.1} | {:.1} |",
            percentiles(&round.quiet),
            percentiles(&round.flooded.foreground),
            round.bare_hashes_per_second
        );
    }
    let quiet = median(rounds, |round| percentile(&round.quiet, 99).as_secs_f64());
    let flooded = median(rounds, |round| percentile(&round.flooded.foreground, 99).as_secs_f64());
    println!(
        "\np99, medians: {:.2} ms quiet, {:.2} ms flooded, {:.2} times",
        quiet * 1e3,
        flooded * 1e3,
        flooded / quiet
    );
    let efficiency = |flooded: fn(&Round) -> &Flooded| {
        median(rounds, |round| flooded(round).hashes_per_second / round.bare_hashes_per_second)
    };
    println!(
        "efficiency, medians: {:.2} with 200 requests/s, {:.2} with one, {:.2} with none, of the hashes of bare Argon2id on \
         {} threads",
        efficiency(|round| &round.flooded),
        efficiency(|round| &round.with_single_client),
        efficiency(|round| &round.alone),
        server.threads().await
    );
    let single = median(rounds, |round| round.with_single_client.hashes_per_second / round.alone.hashes_per_second);
    println!("hashes with one request per second, median: {single:.2} of those with none");
    let floods = rounds.iter().flat_map(|round| [&round.flooded, &round.with_single_client, &round.alone]);
    print_logins(&floods.flat_map(|flood| &flood.logins).collect::<Vec<_>>());
    println!("peak memory: {} MiB; on {}", server.peak_mebibytes(), server.stores);
}

fn print_logins(logins: &[&TimedResponse]) {
    let mut counts = BTreeMap::new();
    for login in logins {
        let code = serde_json::from_slice::<serde_json::Value>(&login.body).expect("JSON")["code"].to_string();
        *counts.entry((login.status, code)).or_insert(0) += 1;
    }
    let longest = |status| logins.iter().filter(|login| login.status == status).map(|login| login.duration).max();
    println!("logins by status and code: {counts:?}; every 503 has Retry-After");
    let [longest_served, longest_rejected] = [200, 503].map(|status| longest(status).unwrap_or_default());
    println!("longest login: {} served, {} rejected", millis(longest_served), millis(longest_rejected));
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
