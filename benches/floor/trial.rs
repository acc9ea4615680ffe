//! Runs everything once.

use std::{fs, net::SocketAddr, path::Path};

use postern::{
    clock::{Clock as _, SystemClock},
    keys,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    population::{Population, StoreAddresses, TokenFiles},
    server::{self, Lanes},
};

const USERS: usize = 3;

/// Fills stores, and sends each kind of request to the floor program.
///
/// # Panics
/// Panics if a response has another status than expected, or without the stores of `scripts/with-stores`.
pub async fn run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("keys");
    keys::generate(&keys, SystemClock.now()).expect("keys");
    let (database, redis) = (new_database(), variable("POSTERN_TEST_REDIS_URL"));
    let servers = StoreAddresses::Servers { database: database.clone(), redis: redis.clone() };
    let embedded = StoreAddresses::Embedded(directory.path().join("data"));
    for (stores, name) in [(embedded, "embedded"), (servers, "servers")] {
        let files =
            TokenFiles { directory: directory.path().join(name), users: USERS, access: USERS, refresh: 2 * USERS };
        Population { users: USERS, stores, keys: keys.clone(), files }.fill().await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let _serving = tokio::spawn(async move { server::serve(listener, &database, &redis, Lanes(1)).await });
    check(address, &directory.path().join("servers")).await;
}

async fn check(address: SocketAddr, files: &Path) {
    let lines = |name: &str| {
        let text = fs::read_to_string(files.join(name)).expect("a file");
        text.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (tokens, refresh) = (lines("floor"), lines("refresh"));
    for (path, text) in [("/profile/", "Ada Lovelace"), ("/verify/", "x-user-email: user-0000002@example.org")] {
        let response = send(address, "GET", path, &tokens[2], "").await;
        assert!(response.starts_with("HTTP/1.1 200 ") && response.contains(text), "{response}");
    }
    let other = format!("{}{}", &tokens[0][..37], &tokens[1][37..]);
    assert!(send(address, "GET", "/profile/", &other, "").await.starts_with("HTTP/1.1 401 "), "another's session");
    for (token, expected) in [(&refresh[0], "200"), (&refresh[USERS], "200"), (&refresh[0], "401")] {
        let response = send(address, "POST", "/refresh/", "", &format!(r#"{{"refresh":"{token}"}}"#)).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {expected} ")), "{response}");
    }
}

async fn send(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: floor\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a connection");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    response
}

/// Returns the URL of a database of its own, which does not exist yet.
fn new_database() -> String {
    let url = variable("POSTERN_TEST_DATABASE_URL");
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/floor_{}", uuid::Uuid::new_v4().simple())
}

fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "scripts/with-stores sets it; it is not a setting of the service")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by scripts/with-stores"))
}
