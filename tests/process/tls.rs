//! TLS on the public listener.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use hyper::{Request, Version, body::Bytes, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{LONG, Postern, RequestBuilder, until_closed, until_end, within};

/// Creates a self-signed certificate for 127.0.0.1, and its key.
pub async fn make_certificate(certificate: &Path, key: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]);
    openssl.args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let output = openssl.arg("-keyout").arg(key).arg("-out").arg(certificate).output().await.expect("openssl runs");
    assert!(output.status.success(), "{output:?}");
}

async fn with_certificate() -> Postern {
    let postern = Postern::new().with("POSTERN_TLS_CERT", "cert.pem").with("POSTERN_TLS_KEY", "key.pem");
    make_certificate(&postern.path("cert.pem"), &postern.path("key.pem")).await;
    postern
}

/// A client that trusts this certificate only.
struct Client(ClientConfig);

impl Client {
    fn trusting(certificate: &Path) -> Self {
        Self::speaking(certificate, &[&TLS12, &TLS13])
    }

    fn speaking(certificate: &Path, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        Self(config.with_root_certificates(roots).with_no_client_auth())
    }

    /// Connects, and offers these protocols.
    async fn connect(&self, public: SocketAddr, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.0.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(public).await?;
        let name = public.ip().into();
        within(LONG, "the handshake ends", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// Sends bytes, and returns everything until the server closes the connection.
    async fn ask(&self, public: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = self.connect(public, &[]).await.expect("a handshake");
        stream.write_all(bytes).await.expect("the server takes it");
        until_end(&mut stream).await
    }
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("a copy");
}

#[tokio::test]
async fn public_api_is_served_by_tls_1_2_and_1_3_with_hsts() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    assert!(serving.line.starts_with(&format!("Postern listens on https://{} ", serving.public)), "{}", serving.line);

    for (version, protocol) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let client = Client::speaking(&postern.path("cert.pem"), &[version]);
        let stream = client.connect(serving.public, &[]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(protocol));
        let response = client.ask(serving.public, HEALTH).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{response}");
    }
}

#[tokio::test]
async fn http_2_is_negotiated_by_alpn() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));

    let stream = client.connect(serving.public, &["h2", "http/1.1"]).await.expect("a handshake");

    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let request = Request::get("https://127.0.0.1/healthz").body(http_body_util::Full::<Bytes>::default());
    let response = sender.send_request(request.expect("a request")).await.expect("a response");
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
}

#[tokio::test]
async fn protocol_of_alpn_is_the_newest_that_the_client_offers() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));

    for (offered, negotiated) in [
        (&["http/1.1"][..], "http/1.1"),
        (&["http/1.0"], "http/1.0"),
        (&["http/1.0", "http/1.1"], "http/1.1"),
        (&["http/1.0", "http/1.1", "h2"], "h2"),
        (&["h3", "http/1.0"], "http/1.0"),
    ] {
        let stream = client.connect(serving.public, offered).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(negotiated.as_bytes()), "{offered:?}");
    }
}

#[tokio::test]
async fn client_of_http_1_0_is_served_by_tls() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));
    let mut stream = client.connect(serving.public, &["http/1.0"]).await.expect("a handshake");

    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.expect("the server takes it");

    let response = until_end(&mut stream).await;
    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
}

#[tokio::test]
async fn unknown_protocols_alone_end_the_handshake_with_an_alert() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));

    for offered in [&["h3"][..], &["h2c"], &["spdy/3", "acme-tls/1"]] {
        let error = client.connect(serving.public, offered).await.expect_err("no protocol in common");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{offered:?}: {error}");
    }
}

#[tokio::test]
async fn probes_and_plain_listeners_send_no_hsts() {
    let postern = with_certificate().await;
    let serving = postern.serve().await;
    let plain = Postern::new().serve().await;

    for request in [serving.probe("/livez"), RequestBuilder::operations(plain.public, "/healthz")] {
        let response = request.send().await;
        assert_eq!((response.status, response.text("strict-transport-security")), (200, ""));
    }
}

#[tokio::test]
async fn plain_http_is_not_answered_by_a_tls_listener() {
    let serving = with_certificate().await.serve().await;
    let mut stream = TcpStream::connect(serving.public).await.expect("it accepts");

    stream.write_all(HEALTH).await.expect("it takes it");

    let response = until_closed(&mut stream).await;
    assert!(!response.contains("HTTP"), "{response:?}");
}

#[tokio::test]
async fn unfinished_handshake_is_cut_off() {
    let serving = with_certificate().await.with("POSTERN_REQUEST_TIMEOUT", "2s").serve().await;
    let mut slow = Vec::new();
    for start in [&b""[..], b"\x16\x03\x01"].repeat(10) {
        let mut stream = TcpStream::connect(serving.public).await.expect("it accepts");
        stream.write_all(start).await.expect("it takes it");
        slow.push(stream);
    }

    // By now all of them have been accepted.
    let mut last = TcpStream::connect(serving.public).await.expect("it accepts");
    for stream in slow.iter_mut().chain([&mut last]) {
        until_closed(stream).await;
    }
}

#[tokio::test]
async fn handshakes_do_not_wait_for_each_other() {
    let postern = with_certificate().await.with("POSTERN_REQUEST_TIMEOUT", "5m");
    let serving = postern.serve().await;
    let _silent = TcpStream::connect(serving.public).await.expect("it accepts");

    let response = Client::trusting(&postern.path("cert.pem")).ask(serving.public, HEALTH).await;

    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

#[tokio::test]
async fn slow_request_head_closes_a_tls_connection() {
    let postern = with_certificate().await.with("POSTERN_REQUEST_TIMEOUT", "3s");
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));
    let mut stream = client.connect(serving.public, &[]).await.expect("a handshake");

    stream.write_all(b"GET / HTTP/1.1\r\n").await.expect("the server reads it");

    // Closed without `close_notify`: nothing was sent that could be truncated.
    let mut received = Vec::new();
    let _ = within(LONG, "the end of the connection", stream.read_to_end(&mut received)).await;
    assert_eq!(received, b"");
}

#[tokio::test]
async fn changed_certificate_is_loaded_only_with_its_key() {
    let postern = with_certificate().await;
    let mut serving = postern.serve().await;
    let (first, second) = (postern.path("first.pem"), postern.path("second.pem"));
    copy(&postern.path("cert.pem"), &first);
    make_certificate(&second, &postern.path("second-key.pem")).await;

    // While only one file has changed, no client is refused.
    copy(&second, &postern.path("cert.pem"));
    serving.logged("failed to reload the certificate; keeping the previous one").await;
    Client::trusting(&first).connect(serving.public, &[]).await.expect("the first one");

    copy(&postern.path("second-key.pem"), &postern.path("key.pem"));
    serving.logged("certificate reloaded").await;
    Client::trusting(&second).connect(serving.public, &[]).await.expect("the second one");
    Client::trusting(&first).connect(serving.public, &[]).await.expect_err("the first one has gone");
}

#[tokio::test]
async fn unusable_certificate_stops_the_start() {
    let postern = with_certificate().await;
    let (certificate, key) = (postern.path("cert.pem"), postern.path("key.pem"));
    let whole = fs::read(&key).expect("a key");
    let refused = async |reason: &str| {
        let ended = postern.run(&["serve"]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{reason}: {}", ended.stderr);
        assert!(!postern.path("postern-data").exists());
    };

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    refused("key.pem: mode 0644: others must not read it").await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::write(&key, "no key").expect("a file");
    refused("key.pem: no private key in the file: expected PEM").await;
    make_certificate(&postern.path("other.pem"), &key).await;
    refused("cert.pem and key.pem: ").await;
    fs::write(&key, whole).expect("a file");
    fs::write(&certificate, "no certificate").expect("a file");
    refused("cert.pem: no certificate in the file: expected PEM").await;
    fs::remove_file(&certificate).expect("a file");
    refused("cert.pem: No such file").await;
}

#[tokio::test]
async fn unfinished_handshakes_take_no_more_than_they_are_charged() {
    const CONNECTIONS: usize = 500;
    // Evicts nobody.
    let postern = with_certificate().await.with("POSTERN_REQUEST_MEMORY", "128MiB");
    let serving = postern.serve().await;
    let client = Client::trusting(&postern.path("cert.pem"));
    assert!(client.ask(serving.public, HEALTH).await.starts_with("HTTP/1.1 200 "));
    let (before, charged) =
        (serving.memory_bytes("VmRSS:"), serving.metric::<u64>("postern_request_memory_bytes").await);
    // A record of 16 KiB that lacks its last byte, with the beginning of a ClientHello of 64 KiB.
    let record = [&b"\x16\x03\x01\x40\x00\x01\x00\xff\xff\x03\x03"[..], &[0; 16 * 1024 - 7]].concat();

    let mut handshakes = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut handshake = TcpStream::connect(serving.public).await.expect("it accepts");
        handshake.write_all(&record).await.expect("the server takes it");
        handshakes.push(handshake);
    }

    assert!(client.ask(serving.public, HEALTH).await.starts_with("HTTP/1.1 200 "));
    let grown = serving.memory_bytes("VmRSS:").saturating_sub(before);
    let charged = serving.metric::<u64>("postern_request_memory_bytes").await - charged;
    eprintln!("{grown} B for {CONNECTIONS} handshakes, {charged} B charged");
    assert!(grown <= charged, "{grown} B for {charged} B");
}
