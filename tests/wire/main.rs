//! Attacks with raw bytes on the running program: the attacker is stopped, and other clients are served meanwhile.

mod both_protocols;
mod client;
mod corpus;
mod heads;
mod http2;
mod http2_floods;
mod http2_requests;
mod many_connections;
mod memory;
mod proxies;
mod server;
mod slow;
mod smuggling;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;
