//! Listeners and connections: accepts, limits and closes them; hyper speaks HTTP/1.1 and HTTP/2 on them.
//!
//! `bind` opens the listening sockets. `listener` accepts and gives each connection a slot (`slots`). `connection` runs hyper on
//! a `stream` that reports to the connection's `activity`, which holds the deadlines, and charges its input to the connection's
//! `memory`; `frame_watch` reports when HTTP/2 needs more or less of that. `request_head` checks the heads that hyper has parsed.

mod activity;
mod bind;
mod connection;
mod frame_watch;
mod limits;
mod listener;
mod memory;
mod request_head;
mod shutdown;
mod slots;
mod stream;
mod tls;

pub use self::{
    bind::bind,
    limits::{ConnectionLimits, ConnectionTimeouts},
    listener::{ListenerConfig, serve},
    shutdown::Phase,
    tls::{Tls, TlsError, TlsFiles},
};
