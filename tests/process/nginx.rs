//! Runs the nginx configuration of docs/integrations.md in front of a service that trusts it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{self, LONG, Postern, ReverseProxy, Serving, Tokens, within};

const DOCUMENT: &str = include_str!("../../docs/integrations.md");

/// A service that trusts its proxy, and echoes the head and the body of each request.
struct Echo {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let heard = message(&mut stream).await;
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{heard}", heard.len());
                stream.write_all(response.as_bytes()).await.expect("nginx takes it");
            }
        });
        Self { address, serving }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Reads a message: its head, and a body of the length in it.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let reading = async {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).await.expect("a line"), 0, "{head}");
        }
        let length = header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await.expect("a body");
        head + &String::from_utf8_lossy(&body)
    };
    within(LONG, "a message", reading).await
}

/// Returns a header that stands in a message once at most.
#[track_caller]
fn header<'message>(message: &'message str, name: &str) -> Option<&'message str> {
    let (first, last) =
        (support::header(message, name), message.lines().rev().find_map(|line| support::header(line, name)));
    assert_eq!(first, last, "{name}: {message}");
    first
}

/// The server of the document.
struct Nginx(ReverseProxy);

impl Nginx {
    async fn start(postern: SocketAddr, service: SocketAddr) -> Self {
        let mut server = snippet("nginx").to_owned();
        for (written, here) in [
            ("listen 80;", "listen unix:socket;"),
            ("127.0.0.1:8000", &postern.to_string()),
            ("127.0.0.1:3000", &service.to_string()),
        ] {
            assert_eq!(server.matches(written).count(), 1, "{written}");
            server = server.replace(written, here);
        }
        Self(ReverseProxy::nginx(&server).await)
    }

    /// Sends a request, and returns the whole response.
    async fn ask(&self, line: &str, headers: &[&str], body: &str) -> String {
        let mut stream = self.0.connect().await;
        let headers = headers.iter().flat_map(|header| [*header, "\r\n"]).collect::<String>();
        let request = format!("{line} HTTP/1.1\r\nHost: app.test\r\n{headers}\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("nginx takes it");
        within(LONG, "a response", message(&mut stream)).await
    }
}

/// Returns the only code block of the document in this language.
fn snippet(language: &str) -> &'static str {
    let fence = format!("\n```{language}\n");
    let mut pieces = DOCUMENT.split(&fence).skip(1);
    let piece = pieces.next().and_then(|rest| rest.split_once("```")).expect("a piece").0;
    assert_eq!(pieces.next(), None, "another piece of {language}");
    piece
}

/// Postern, nginx, and the service behind it.
struct Site {
    _directory: Postern,
    postern: Serving,
    nginx: Nginx,
    _service: Echo,
}

impl Site {
    async fn start() -> Self {
        let directory = Postern::new();
        let postern = directory.serve().await;
        let service = Echo::start().await;
        let nginx = Nginx::start(postern.public, service.address).await;
        Self { _directory: directory, postern, nginx, _service: service }
    }

    /// Signs up a user, and returns the `Authorization` header and both tokens.
    async fn signed_up(&self, email: &str) -> (String, Tokens) {
        let tokens = self.postern.signed_up(email).await;
        (format!("Authorization: Bearer {}", tokens.access), tokens)
    }
}

const FORGED: [&str; 8] = [
    "X-User-Id: forged",
    "x-user-id: forged",
    "X-USER-EMAIL: forged",
    "X-User-Email-Verified: true, forged",
    "X-Session-Id: forged",
    "X_User_Id: forged",
    "X_User-Email: forged",
    "Connection: close, X-User-Id, X-User-Email, X-User-Email-Verified",
];

#[tokio::test]
async fn service_behind_nginx_gets_the_verified_user() {
    let site = Site::start().await;
    let (authorization, _) = site.signed_up("ada@example.org").await;

    for forged in [&[][..], &FORGED] {
        let headers = [&[authorization.as_str()], forged].concat();
        let response = site.nginx.ask("GET /orders/7?all=1", &headers, "").await;

        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        let heard = response.split_once("\r\n\r\n").expect("a body").1;
        assert!(heard.starts_with("GET /orders/7?all=1 "), "{heard}");
        assert_eq!(header(heard, "x-user-email"), Some("ada@example.org"));
        assert_eq!(header(heard, "x-user-email-verified"), Some("false"));
        for name in ["x-user-id", "x-session-id"] {
            let id = header(heard, name).expect("a header");
            assert!(uuid::Uuid::parse_str(id).is_ok(), "{heard}");
        }
        assert!(!heard.contains("forged"), "{heard}");
    }
}

#[tokio::test]
async fn body_reaches_the_service() {
    let site = Site::start().await;
    let (authorization, _) = site.signed_up("ada@example.org").await;
    let chunked = "5\r\nhello\r\n0\r\n\r\n";

    for (body_header, body) in [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", chunked)] {
        let response = site.nginx.ask("POST /orders", &[&authorization, body_header], body).await;
        assert!(response.contains("POST /orders ") && response.ends_with("\r\n\r\nhello"), "{response}");
        assert!(response.contains("ada@example.org"), "{response}");
    }
}

#[tokio::test]
async fn anonymous_request_never_reaches_the_service() {
    let site = Site::start().await;
    let (authorization, tokens) = site.signed_up("ada@example.org").await;
    let challenge = r#"Bearer realm="postern""#;
    let refused = async |headers: &[&str]| {
        let response = site.nginx.ask("GET /orders", headers, "").await;
        assert!(response.starts_with("HTTP/1.1 401 ") && !response.contains("GET /orders"), "{response}");
        header(&response, "www-authenticate").expect("a challenge").to_owned()
    };

    assert_eq!(refused(&[]).await, challenge);
    assert_eq!(refused(&FORGED).await, challenge);
    let refresh = format!("Authorization: Bearer {}", tokens.refresh);
    assert_eq!(refused(&[&refresh]).await, format!(r#"{challenge}, error="invalid_token""#));

    site.postern.api().log_out(&tokens).send().await.expect(200);
    assert_eq!(refused(&[&authorization]).await, format!(r#"{challenge}, error="invalid_token""#));
    // The location that asks Postern is internal to nginx.
    assert!(site.nginx.ask("GET /_verify", &[], "").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn without_postern_no_request_reaches_the_service() {
    let site = Site::start().await;
    let (authorization, _) = site.signed_up("ada@example.org").await;

    site.postern.killed().await;

    let response = site.nginx.ask("GET /orders", &[&authorization], "").await;
    assert!(response.starts_with("HTTP/1.1 500 ") && !response.contains("GET /orders"), "{response}");
}
