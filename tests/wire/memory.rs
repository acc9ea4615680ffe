//! Clients that fill everything that the server holds for them, within the memory limit of the manifest.

use std::{fs, time::Duration};

use crate::{
    client::Connection,
    http2::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, PREFACE, PUSH_PROMISE, SETTINGS,
        WHOLE, block, frame, get, post, request, settings, text,
    },
    many_connections::raise_open_files_limit,
    server::Server,
    support::{ATTACKER, Cgroup, LONG, eventually, missing},
};

/// HTTP/2 connections of an attacker, each with [`STREAMS`].
const HTTP2_CONNECTIONS: usize = 200;
const STREAMS: u32 = 100;

/// HTTP/1 connections of an attacker, as many as the manifest allows.
const HTTP1_CONNECTIONS: usize = 2000;

/// The settings of the manifest that count here; the hashing threads are as many as whole CPUs in its limit. Bodies stay
/// incomplete for longer than a test takes.
const POD: [(&str, &str); 4] = [
    ("POSTERN_MAX_CONNECTIONS", "2000"),
    ("POSTERN_HASH_MEMORY", "19MiB"),
    ("POSTERN_HASH_THREADS", "2"),
    ("POSTERN_REQUEST_TIMEOUT", "2m"),
];

/// A server in a control group with the memory limit of the manifest.
struct Pod {
    server: Server,
    limit: u64,
    _cgroup: Cgroup,
}

impl Pod {
    /// Returns `None` if this process may not create control groups.
    async fn start() -> Option<Self> {
        raise_open_files_limit();
        let mebibytes = manifest_memory();
        let Some(cgroup) = Cgroup::with_memory(&format!("{mebibytes}M")) else {
            missing("cgroups", "this process may not make a cgroup with a memory limit");
            return None;
        };
        let server = Server::start_in(&cgroup, &POD).await;
        Some(Self { server, limit: mebibytes << 20, _cgroup: cgroup })
    }

    async fn attacker(&self) -> Connection {
        self.server.connect_from(ATTACKER).await
    }

    /// Opens connections of an attacker, sends these bytes on each, and reads nothing.
    async fn attackers(&self, count: usize, bytes: &[u8]) -> Vec<Connection> {
        let mut attackers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut attacker = self.attacker().await;
            attacker.send(bytes).await;
            attackers.push(attacker);
        }
        attackers
    }

    /// Asserts that other clients are served, that the memory has stayed within the limit, and that all of it is given back
    /// when the attackers have gone.
    async fn expect_unharmed(self, attack: &str, attackers: Vec<Connection>) {
        self.server.expect_healthy().await;
        let (held, budget) = self.server.request_memory().await;
        let (peak, now) = (self.server.peak_memory(), self.server.memory());
        eprintln!("{attack}: {held} of {budget} B charged; {now} B resident, {peak} B at most, of {}", self.limit);
        assert!(held <= budget + budget / 16, "{held} of {budget}");
        assert!(peak < self.limit, "{attack}: {peak} B of {}", self.limit);

        drop(attackers);
        let is_free = async || self.server.request_memory().await.0 < 256 * 1024;
        eventually(LONG, "the memory is given back", is_free).await;
        self.server.expect_clean_stop().await;
    }
}

/// Returns the memory limit of the manifest in MiB.
fn manifest_memory() -> u64 {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/base/deployment.yaml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    assert!(manifest.contains(r#"value: "2000""#), "POSTERN_MAX_CONNECTIONS");
    let (_, limits) = manifest.split_once("limits:").expect("limits");
    let (_, memory) = limits.split_once("memory: ").expect("a memory limit");
    memory.split("Mi").next().and_then(|number| number.parse().ok()).expect("a number of mebibytes")
}

/// Returns the beginning of an HTTP/2 connection with these SETTINGS.
fn http2(values: &[(u16, u32)]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &settings(values)), &frame(SETTINGS, ACK, 0, b"")].concat()
}

/// Returns the identifiers of the streams of a client.
fn streams() -> impl Iterator<Item = u32> {
    (0..STREAMS).map(|number| 2 * number + 1)
}

#[tokio::test]
async fn incomplete_header_block_is_charged_until_its_end() {
    let server = Server::start().await;
    let held = async || server.request_memory().await.0;
    let mut http2 = Http2::open(&server).await;
    assert!(http2.round_trip(b"").await);
    let before = held().await;

    http2.send(frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/healthz")))).await;
    eventually(LONG, "the block is charged", async || held().await >= before + 200 * 1024).await;
    http2.send(frame(CONTINUATION, END_HEADERS, 1, &block(&[("x", "y")]))).await;

    assert_eq!(http2.outcome(1).await, Outcome::Responded(200));
    eventually(LONG, "the charge is given back", async || held().await < before + 64 * 1024).await;
    drop(http2);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn incomplete_push_promise_is_charged_like_a_header_block() {
    let server = Server::start().await;
    let held = async || server.request_memory().await.0;
    let mut http2 = Http2::open(&server).await;
    assert!(http2.round_trip(b"").await);
    let before = held().await;

    http2.send(frame(PUSH_PROMISE, 0, 1, &[&[0, 0, 0, 2], &*block(&request("GET", "/healthz"))].concat())).await;

    eventually(LONG, "the block is charged", async || held().await >= before + 200 * 1024).await;
    drop(http2);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn incomplete_header_blocks_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    // As many fields of a byte as the limit of the list allows: the static entry `via` without a value.
    let fields = [block(&request("GET", "/healthz")), vec![0xbc; 1100]].concat();

    let attackers = pod.attackers(HTTP1_CONNECTIONS, &[http2(&[]), frame(HEADERS, 0, 1, &fields)].concat()).await;

    pod.expect_unharmed("incomplete header blocks", attackers).await;
}

#[tokio::test]
async fn unfinished_http2_bodies_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    let bodies = streams().flat_map(|stream| [post(stream, "/token/"), frame(DATA, 0, stream, b"{")].concat());

    let attackers = pod.attackers(HTTP2_CONNECTIONS, &[http2(&[]), bodies.collect()].concat()).await;

    eventually(LONG, "bodies are ended", async || pod.server.ended_bodies().await > 0).await;
    pod.expect_unharmed("HTTP/2 bodies", attackers).await;
}

#[tokio::test]
async fn ended_bodies_with_unread_responses_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    let bodies = streams().flat_map(|stream| [post(stream, "/token/"), frame(DATA, 0, stream, b"{")].concat());
    let no_window = http2(&[(4, 0)]);

    let attackers = pod.attackers(HTTP2_CONNECTIONS, &[no_window, bodies.collect()].concat()).await;

    eventually(LONG, "bodies are ended", async || pod.server.ended_bodies().await > 0).await;
    // A login takes longer than the server needs to read what the attackers have sent.
    pod.server.expect_healthy().await;
    // After 40 s, the keep-alive of HTTP/2 closes the connections. Three quarters of the budget are where bodies begin to end.
    let are_released = async || {
        let (held, budget) = pod.server.request_memory().await;
        held < budget / 16 * 13
    };
    eventually(Duration::from_secs(20), "the bodies are given back", are_released).await;
    pod.expect_unharmed("HTTP/2 bodies with unread responses", attackers).await;
}

#[tokio::test]
async fn large_http2_heads_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    // Many short cookies take most: 38 KiB of header list, in which each counts 32 bytes more than it has. `0xa0` is the static
    // entry `cookie` without a value.
    let json = [("content-type", "application/json")];
    let head = [block(&[&request("POST", "/token/")[..], &json].concat()), vec![0xa0; 1000]].concat();
    let heads = streams().flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head));

    let attackers = pod.attackers(HTTP2_CONNECTIONS, &[http2(&[]), heads.collect()].concat()).await;

    pod.expect_unharmed("HTTP/2 heads", attackers).await;
}

#[tokio::test]
async fn unread_http2_responses_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    let requests = streams().flat_map(|stream| get(stream, "/openapi.json"));
    let no_window = http2(&[(4, 0)]);

    let attackers = pod.attackers(HTTP2_CONNECTIONS, &[no_window, requests.collect()].concat()).await;

    pod.expect_unharmed("HTTP/2 responses", attackers).await;
}

#[tokio::test]
async fn unread_responses_to_malformed_requests_are_charged() {
    let Some(pod) = Pod::start().await else { return };
    let two_hosts = [("host", "a"), ("host", "b")];
    let head = block(&[&request("GET", "/healthz")[..], &two_hosts].concat());
    let requests = streams().flat_map(|stream| frame(HEADERS, WHOLE, stream, &head)).collect();
    let bytes = [http2(&[(4, 0)]), requests].concat();

    let mut attackers = pod.attackers(1, &bytes).await;
    let are_charged = async || pod.server.request_memory().await.0 > u64::from(STREAMS) * 6 * 1024;
    eventually(LONG, "the responses are charged", are_charged).await;
    attackers.extend(pod.attackers(HTTP2_CONNECTIONS - 1, &bytes).await);

    pod.expect_unharmed("HTTP/2 responses to malformed requests", attackers).await;
}

#[tokio::test]
async fn paths_in_header_tables_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    // Each request adds a path to the table of the decoder. The frame of an unknown type before it makes the path keep a
    // buffer of 16 KiB.
    let filler = frame(0xfa, 0, 0, &[0; 16_384 - 200]);
    let requests = (0..107).flat_map(|number| {
        let path = [&[0x44][..], &text("/")].concat();
        let head = [block(&request("GET", "/")[..3]), path].concat();
        [filler.clone(), frame(HEADERS, END_HEADERS | 1, 2 * number + 1, &head)].concat()
    });

    let attackers = pod.attackers(HTTP2_CONNECTIONS, &[http2(&[]), requests.collect()].concat()).await;

    pod.expect_unharmed("HTTP/2 header tables", attackers).await;
}

#[tokio::test]
async fn client_without_a_header_table_is_charged_little() {
    let server = Server::start().await;
    let mut http2 = Http2::open(&server).await;
    // It sets the size of its table as the server's SETTINGS demand (RFC 7541, section 4.2).
    let head = [vec![0x20], block(&request("GET", "/healthz"))].concat();
    http2.send(frame(HEADERS, WHOLE, 1, &head)).await;
    assert_eq!(http2.outcome(1).await, Outcome::Responded(200));

    let is_open = http2.round_trip(&frame(0xfa, 0, 0, &[0; 16_000]).repeat(120)).await;

    let (charged, _) = server.request_memory().await;
    assert!(is_open && charged < 256 * 1024, "{charged} B");
    drop(http2);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn unfinished_http1_bodies_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    let request =
        b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{";

    let attackers = pod.attackers(HTTP1_CONNECTIONS, request).await;

    pod.expect_unharmed("HTTP/1 bodies", attackers).await;
}

#[tokio::test]
async fn unfinished_http1_heads_leave_memory_for_others() {
    let Some(pod) = Pod::start().await else { return };
    let head = [&b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "[..], &vec![b'x'; 31_000]].concat();

    let attackers = pod.attackers(HTTP1_CONNECTIONS, &head).await;

    pod.expect_unharmed("HTTP/1 heads", attackers).await;
}
