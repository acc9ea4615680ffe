//! Attacks on the wire: raw bytes to the program itself, from outside, and what becomes of everybody else meanwhile.

mod client;
mod corpus;
mod crowd;
mod floods;
mod frames;
mod heads;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/program.rs"]
mod program;
mod proxies;
mod requests;
#[path = "../support/reverse_proxy.rs"]
mod reverse_proxy;
mod server;
mod slow;
mod smuggling;
