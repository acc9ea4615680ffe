//! Work of many connections of one network, beside logins from other networks.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use postern::{
    metrics::Metrics,
    passwords::{HashParameters, Hasher, HasherSettings, Password, WorkPermit},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::Service;
use crate::support::{Api, LONG, NEW_PASSWORD, PASSWORD, RequestBuilder, Settings, Tokens, eventually, hashing};

/// The connections of one network.
const CONNECTIONS: Range<usize> = 1..65;

/// The longest wait, in hashes of an idle machine: much longer than one of a few hashes, and shorter than that for one of each
/// connection. In the order of their arrival, logins would get 503.
const MAX_WAIT_IN_HASHES: u32 = 24;

const SLOW: HashParameters = HashParameters { memory_kib: 32 * 1024, passes: 4, lanes: 1 };

/// Returns an address of the network that sends many requests.
fn flooding(connection: usize) -> String {
    format!("198.51.100.{connection}")
}

/// Starts a service with slow hashes on one thread, behind a proxy.
async fn slow_hashing(max_wait: Duration) -> Service {
    let hashing = HasherSettings { max_wait, ..hashing(SLOW) };
    Service::start_with(Settings { hashing, trusted_proxies: "127.0.0.1", ..Settings::default() }).await
}

/// Measures a hash.
async fn duration_of_a_hash() -> Duration {
    let hasher = Hasher::start(hashing(SLOW), Metrics::new("").hashing).expect("valid parameters");
    let mut shortest = Duration::MAX;
    for _ in 0..4 {
        let started = Instant::now();
        hasher.hash(&WorkPermit::for_command_line(), &Password::new(PASSWORD)).await.expect("an empty queue");
        shortest = shortest.min(started.elapsed());
    }
    shortest
}

impl Service {
    /// Logs in from other networks, one after the other, while each connection of one network sends requests in a loop, and
    /// repeats those that get 503. Fails unless each login succeeds and most of them wait for few of these requests: in the
    /// order of their arrival, each would wait for one of nearly every connection.
    async fn expect_logins_beside(
        &self,
        request: impl Fn(Api, usize, usize) -> RequestBuilder + Clone + Send + 'static,
    ) {
        self.sign_up_from("203.0.113.1", "ada@example.org").await.expect(201);
        let (sent, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(watch::Sender::new(0_usize)));
        let mut flood = JoinSet::new();
        for connection in CONNECTIONS {
            let (api, request, sent, served) = (self.api(), request.clone(), Arc::clone(&sent), Arc::clone(&served));
            flood.spawn(async move {
                let (mut number, mut others) = (0, served.subscribe());
                for _ in 0..100_000 {
                    others.mark_unchanged();
                    sent.fetch_add(1, Ordering::Relaxed);
                    let request = request(api, connection, number).header("x-forwarded-for", &flooding(connection));
                    if request.unchecked().send().await.status == 503 {
                        // Until a job has ended, the queue is as long as before.
                        let _ = timeout(Duration::from_millis(100), others.changed()).await;
                    } else {
                        number += 1;
                        served.send_modify(|count| *count += 1);
                    }
                }
            });
        }
        let count = || *served.borrow();
        let is_flooded = || count() > 0 && sent.load(Ordering::Relaxed) > 2 * CONNECTIONS.len();
        eventually(LONG, "every connection sends requests", async || is_flooded()).await;

        let mut served_meanwhile = Vec::new();
        for network in 0..9 {
            let before = count();
            self.log_in_from(&format!("192.0.{network}.1"), "ada@example.org", PASSWORD).await.expect(200);
            served_meanwhile.push(count() - before);
        }
        served_meanwhile.sort_unstable();
        let median = served_meanwhile[served_meanwhile.len() / 2];
        assert!(median < CONNECTIONS.len() / 3, "{served_meanwhile:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn correct_logins_of_a_network_do_not_delay_others() {
    let service = slow_hashing(MAX_WAIT_IN_HASHES * duration_of_a_hash().await).await;
    for connection in CONNECTIONS {
        service.sign_up_from(&flooding(connection), &format!("flood{connection}@example.org")).await.expect(201);
    }

    service
        .expect_logins_beside(|api, connection, _| api.log_in(&format!("flood{connection}@example.org"), PASSWORD))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_sign_ups_of_a_network_do_not_delay_others() {
    // The checks of all connections together take less time than a few hashes.
    let service = slow_hashing(Duration::from_mins(1)).await;

    service
        .expect_logins_beside(|api, connection, number| {
            let email = format!("flood{connection}-{number}@example.org");
            let weak = "p@ssw0rd".repeat(12);
            api.post("/create-user/", json!({"name": "Ada", "email": email, "password": weak}))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_changes_of_a_network_do_not_delay_others() {
    let service = slow_hashing(MAX_WAIT_IN_HASHES * duration_of_a_hash().await).await;
    let mut users = Vec::new();
    for connection in CONNECTIONS {
        let email = format!("flood{connection}@example.org");
        let response = service.sign_up_from(&flooding(connection), &email).await;
        users.push(Tokens::of(&response.expect(201)));
    }

    service
        .expect_logins_beside(move |api, connection, number| {
            let passwords = [PASSWORD, NEW_PASSWORD];
            let [old, new] = [number, number + 1].map(|number| passwords[number % 2]);
            api.change_password(&users[connection - CONNECTIONS.start], old, new)
        })
        .await;
}
