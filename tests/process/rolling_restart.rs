//! Two replicas behind a real proxy are restarted in turn under a load of clients that never retry.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};

use crate::support::{LONG, PASSWORD, Postern, ReservedPort, ReverseProxy, Serving, eventually, within};

/// The number of clients: every other one keeps its connection, the others open one for each request.
const CLIENTS: usize = 12;

/// The number of restarts of each replica.
const ROUNDS: usize = 2;

/// A replica at fixed addresses.
struct Replica {
    name: &'static str,
    public: ReservedPort,
    operations: ReservedPort,
}

impl Replica {
    fn new(name: &'static str) -> Self {
        Self { name, public: ReservedPort::new(), operations: ReservedPort::new() }
    }

    /// Starts it, and waits until it is ready.
    async fn start(&self, postern: &Postern) -> Serving {
        let [public, operations] = [&self.public, &self.operations].map(|port| port.address.to_string());
        let command = postern.command(&["serve", "--listen", &public, "--ops-listen", &operations]);
        let serving = postern.serve_by(command).await;
        serving.ready().await;
        serving
    }
}

/// Two replicas with the same stores, behind a proxy that relies on probes, never retries, and reuses connections. It
/// uses HTTP/1.1 for one half of the requests and HTTP/2 for the other half.
struct Site {
    postern: Postern,
    replicas: [Replica; 2],
    serving: Vec<Serving>,
    haproxy: Arc<ReverseProxy>,
}

impl Site {
    async fn start() -> Self {
        // Nothing reads the log, and all clients have one address.
        let postern = Postern::on_migrated_servers().await.with("POSTERN_LOG", "off").with("POSTERN_THROTTLE", "off");
        // Ten times the health-check window of haproxy.
        let postern = postern.with("POSTERN_DRAIN_DELAY", "4s").with("POSTERN_STORE_TIMEOUT", "30s");
        let postern = postern.with("POSTERN_REQUEST_TIMEOUT", "60s").with("POSTERN_HASH_MAX_WAIT", "60s");
        let replicas = ["first", "second"].map(Replica::new);
        let mut serving = Vec::new();
        for replica in &replicas {
            serving.push(replica.start(&postern).await);
        }
        let haproxy = Arc::new(haproxy(&replicas).await);
        Self { postern, replicas, serving, haproxy }
    }

    /// Returns the state of a replica in haproxy: up, down, or in between.
    async fn status(&self, replica: &Replica) -> String {
        let mut stream = self.haproxy.connect_to("statistics").await;
        stream.write_all(b"show stat\n").await.expect("haproxy takes the command");
        let mut table = String::new();
        within(LONG, "a response of haproxy", stream.read_to_string(&mut table)).await.expect("a table");
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = rows.next().expect("a head");
        let status = head.iter().position(|name| *name == "status").expect("a column");
        let row = rows.find(|row| row[..2] == ["over_http1", replica.name]).expect("the replica's row");
        row[status].to_owned()
    }

    async fn is_found(&self, replica: &Replica, status: &str) {
        let awaited = format!("haproxy finds {} {status}", replica.name);
        eventually(LONG, &awaited, async || self.status(replica).await == status).await;
    }

    /// Restarts a replica as an orchestrator does.
    async fn restart(&mut self, index: usize) {
        self.serving[index].signal(Signal::TERM);
        self.is_found(&self.replicas[index], "DOWN").await;
        assert_eq!(self.serving.remove(index).ended().await.code, Some(0));
        let serving = self.replicas[index].start(&self.postern).await;
        self.serving.insert(index, serving);
        self.is_found(&self.replicas[index], "UP").await;
    }
}

async fn haproxy(replicas: &[Replica; 2]) -> ReverseProxy {
    let servers = |kind: fn(&Replica) -> String| {
        let line = |replica: &Replica| format!("server {} {}\n", replica.name, kind(replica));
        replicas.iter().map(line).collect::<String>()
    };
    let checked =
        servers(|replica| format!("{} check port {}", replica.public.address, replica.operations.address.port()));
    let tracking = servers(|replica| format!("{} proto h2 track over_http1/{}", replica.public.address, replica.name));
    let configuration = format!(
        "global
            stats socket unix@statistics
        defaults
            mode http
            timeout connect 60s
            timeout client 60s
            timeout server 60s
            timeout check 60s
            retries 0
            http-reuse always
        frontend everybody
            bind unix@socket
            use_backend over_http2 if {{ rand(2) eq 1 }}
            default_backend over_http1
        backend over_http1
            option httpchk GET /readyz
            default-server inter 200ms fall 2 rise 2
            {checked}
        backend over_http2
            {tracking}\n"
    );
    ReverseProxy::start("haproxy", &["-db", "-f", "configuration"], &configuration).await
}

/// A client that never retries.
struct Client {
    proxy: Arc<ReverseProxy>,
    keeps_connections: bool,
    connection: Option<SendRequest<Full<Bytes>>>,
    responses: usize,
}

impl Client {
    async fn connection(&mut self) -> SendRequest<Full<Bytes>> {
        if let Some(connection) = self.connection.take() {
            return connection;
        }
        let handshake = http1::handshake(TokioIo::new(self.proxy.connect().await));
        let (sender, connection) = handshake.await.expect("a connection");
        tokio::spawn(connection);
        sender
    }

    /// Returns the body of the response, which must have this status.
    async fn ask(&mut self, request: Request<Full<Bytes>>, status: u16) -> Value {
        let asked = format!("{} {}", request.method(), request.uri());
        let mut connection = self.connection().await;
        connection.ready().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let response = connection.send_request(request).await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap_or_else(|error| panic!("{asked}: {error:?}")).to_bytes();
        assert_eq!(head.status.as_u16(), status, "{asked}: {body:?}");
        self.responses += 1;
        if self.keeps_connections && head.headers.get(header::CONNECTION).is_none_or(|value| value != "close") {
            self.connection = Some(connection);
        }
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{asked}: {error}: {body:?}"))
    }

    /// Signs up, logs in, asks for its profile and logs out, over and over. Returns the number of responses.
    async fn live(mut self, name: usize, enough: Arc<AtomicBool>) -> usize {
        for life in 0.. {
            if enough.load(Ordering::Relaxed) {
                break;
            }
            let email = format!("client-{name}-{life}@example.org");
            let person = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
            self.ask(post("/create-user/", &person), 201).await;
            let tokens = self.ask(post("/token/", &json!({"email": email, "password": PASSWORD})), 200).await;
            assert_eq!(self.ask(profile(&tokens), 200).await["email"], email);
            let refresh = json!({"refresh": tokens["refresh"]});
            let refreshed = self.ask(post("/refresh/", &refresh), 200).await;
            assert_eq!(self.ask(profile(&refreshed), 200).await["email"], email);
            self.ask(post("/logout/", &refresh), 200).await;
            self.ask(profile(&refreshed), 401).await;
        }
        self.responses
    }
}

fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    let request = Request::post(path).header(header::HOST, "postern.test");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    request.body(Full::from(body.to_string())).expect("a request")
}

/// A request for the profile, with the access token of a response.
fn profile(tokens: &Value) -> Request<Full<Bytes>> {
    let token = tokens["access"].as_str().expect("a token");
    let request = Request::get("/profile/").header(header::HOST, "postern.test");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(Full::default()).expect("a request")
}

#[tokio::test]
async fn rolling_restart_behind_haproxy_fails_no_request() {
    let mut site = Site::start().await;
    let enough = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for name in 0..CLIENTS {
        let proxy = Arc::clone(&site.haproxy);
        let client = Client { proxy, keeps_connections: name % 2 == 0, connection: None, responses: 0 };
        clients.spawn(client.live(name, Arc::clone(&enough)));
    }

    for _ in 0..ROUNDS {
        for replica in 0..site.replicas.len() {
            site.restart(replica).await;
        }
    }
    enough.store(true, Ordering::Relaxed);

    while let Some(client) = within(LONG, "the clients end", clients.join_next()).await {
        let responses = client.expect("each response is the one that was expected");
        assert!(responses >= 10 * ROUNDS, "{responses} responses are no load");
    }
}
