//! Listeners on `[::]`: clients of IPv6 and IPv4, each with its own address.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::{ATTACKER, Api, PASSWORD, Postern, RequestBuilder, Serving, connect_from, until};

const IPV4: &str = "127.0.0.1";
const IPV6: &str = "::1";

fn on_all_addresses(trusted_proxies: &str) -> Postern {
    let postern = Postern::new().with("POSTERN_LISTEN", "[::]:0").with("POSTERN_OPS_LISTEN", "[::]:0");
    postern.with("POSTERN_TRUSTED_PROXIES", trusted_proxies)
}

/// Returns the address of this machine in each family, at the port of a listener.
fn families(listener: SocketAddr) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, listener.port()).into(), (Ipv6Addr::LOCALHOST, listener.port()).into()]
}

/// Stops the server, and returns its log, which has the IPv4 address of no client in the form of IPv6.
async fn log_of(serving: Serving) -> Vec<Value> {
    let log = serving.stopped().await.stderr;
    assert!(!log.contains("ffff:"), "{log}");
    log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn both_listeners_serve_both_families_and_print_an_address() {
    let serving = on_all_addresses("none").serve().await;

    let expected = format!(
        "Postern listens on http://localhost:{} on all addresses (operations on localhost:{} on all addresses), ",
        serving.public.port(),
        serving.operations.port()
    );
    assert!(serving.line.starts_with(&expected), "{}", serving.line);
    for address in families(serving.public) {
        RequestBuilder::new(address, "GET", "/healthz").send().await.expect(200);
    }
    for address in families(serving.operations) {
        RequestBuilder::operations(address, "/livez").send().await.expect(200);
    }
}

#[tokio::test]
async fn session_audit_and_log_have_the_address_of_the_client() {
    let serving = on_all_addresses("none").serve().await;
    for (address, email) in families(serving.public).into_iter().zip(["ada@example.org", "grace@example.org"]) {
        let api = Api(address);
        let tokens = api.signed_up(email).await;
        api.log_in(email, "wrong_password").send().await.expect(401);
        // A peer that is not trusted.
        api.get("/healthz").header("x-forwarded-for", "192.0.2.1").send().await.expect(200);

        let sessions = api.sessions(&tokens).send().await.expect(200);
        assert_eq!(sessions["sessions"][0]["ip"], json!(address.ip()));
    }

    let log = log_of(serving).await;
    let of_logins = log.iter().filter(|line| line["event"] == "login_failed").map(|line| &line["address"]);
    assert_eq!(of_logins.collect::<Vec<_>>(), [IPV4, IPV6]);
    let ignored: Vec<_> = log.iter().filter(|line| line["header"] == "x-forwarded-for").collect();
    assert_eq!(ignored.len(), 1, "once a minute: {ignored:?}");
    assert_eq!(ignored[0]["peer"], IPV4);
}

#[tokio::test]
async fn trusted_proxy_of_either_family_names_its_clients() {
    let serving = on_all_addresses("127.0.0.1,::1").serve().await;
    for (address, email) in families(serving.public).into_iter().zip(["ada@example.org", "grace@example.org"]) {
        let api = Api(address);
        api.sign_up(email).header("x-forwarded-for", "::ffff:192.0.2.1").send().await.expect(201);

        let login = api.log_in(email, PASSWORD).header("x-forwarded-for", "192.0.2.2").send().await.expect(200);

        let access = login["access"].as_str().expect("a token");
        let sessions = api.get("/sessions/").bearer(access).send().await.expect(200);
        let addresses = sessions["sessions"].as_array().expect("a list").iter().map(|session| &session["ip"]);
        assert_eq!(addresses.collect::<Vec<_>>(), ["192.0.2.2", "192.0.2.1"], "{address}");
    }
    log_of(serving).await;
}

#[tokio::test]
async fn ipv4_clients_are_client_networks_of_their_own() {
    // If all IPv4-mapped addresses were one network, the attacker would evict the connection that has been idle longest.
    let serving = on_all_addresses("none").with("POSTERN_MAX_CONNECTIONS", "16").serve().await;
    let [ipv4, _] = families(serving.public);
    let mut victim = connect_from(Ipv4Addr::LOCALHOST.into(), ipv4).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    victim.write_all(request).await.expect("it takes it");
    assert!(until(&mut victim, "}").await.starts_with("HTTP/1.1 200 "));

    let mut attackers = Vec::new();
    for _ in 0..32 {
        attackers.push(connect_from(ATTACKER, ipv4).await);
    }
    serving.api().get("/healthz").send().await.expect(200);

    victim.write_all(request).await.expect("it is open");
    assert!(until(&mut victim, "}").await.starts_with("HTTP/1.1 200 "));
}
