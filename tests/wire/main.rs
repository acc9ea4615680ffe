//! Attacks with raw bytes on the running program: the attacker is stopped, and other clients are served meanwhile.

mod client;
mod corpus;
mod heads;
mod http2;
mod http2_floods;
mod http2_requests;
mod many_connections;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/program.rs"]
mod program;
mod proxies;
#[path = "../support/reverse_proxy.rs"]
mod reverse_proxy;
mod server;
mod slow;
mod smuggling;
