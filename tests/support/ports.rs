//! Ports that stay with the test that took them.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that no other process is given, whether or not anything listens on it.
///
/// It is bound and never listens. A server that sets `SO_REUSEADDR`, as those here do, may listen beside it.
pub struct ReservedPort {
    pub address: SocketAddr,
    _bound: TcpSocket,
}

impl ReservedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        Self { address: socket.local_addr().expect("an address"), _bound: socket }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}
