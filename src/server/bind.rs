//! Binds the listeners. `[::]` serves IPv6 and IPv4.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::{io::Errno, net::sockopt::set_ipv6_v6only};
use tokio::net::{TcpListener, TcpSocket};
use tracing::warn;

/// The connections that may wait to be accepted: the number of [`TcpListener::bind`].
const BACKLOG: u32 = 1024;

/// Binds a listener. `[::]` serves IPv4 too, whatever the default of the kernel (`net.ipv6.bindv6only`), and is replaced by
/// `0.0.0.0` if the kernel has no IPv6. Every other address is bound as it is.
///
/// # Errors
/// Returns the operating system's error.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_by(listen, address)
}

/// Binds by `listen`, which the tests replace: no test can switch off IPv6 in the kernel.
fn bind_by<T>(listen: impl Fn(SocketAddr) -> io::Result<T>, address: SocketAddr) -> io::Result<T> {
    match listen(address) {
        Err(error) if is_any_ipv6(address) && is_ipv6_unavailable(&error) => {
            let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            warn!(%address, %fallback, %error, "IPv6 is unavailable; listening on IPv4 only");
            listen(fallback)
        }
        outcome => outcome,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind`: a server that restarts can bind although connections of the previous one are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    if is_any_ipv6(address) {
        set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

/// Returns whether the kernel has no IPv6 (`ipv6.disable=1`, or a sandbox without it), or no IPv6 address.
fn is_ipv6_unavailable(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Returns the addresses that are tried if each attempt at IPv6 ends with this error.
    fn tried(address: &str, error: Errno) -> Vec<String> {
        let tried = RefCell::new(Vec::new());
        let listen = |address: SocketAddr| {
            tried.borrow_mut().push(address.to_string());
            if address.is_ipv6() { Err(error.into()) } else { Ok(()) }
        };
        let outcome = bind_by(listen, address.parse().expect("an address"));
        let tried = tried.into_inner();
        assert_eq!(outcome.is_ok(), tried.len() == 2);
        tried
    }

    #[test]
    fn unspecified_address_falls_back_to_ipv4_without_ipv6() {
        for error in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(tried("[::]:8000", error), ["[::]:8000", "0.0.0.0:8000"]);
        }
    }

    #[test]
    fn other_addresses_and_errors_do_not_fall_back() {
        for error in [Errno::ADDRINUSE, Errno::ACCESS] {
            assert_eq!(tried("[::]:8000", error), ["[::]:8000"]);
        }
        for address in ["[::1]:8000", "[2001:db8::1]:8000", "[::ffff:0.0.0.0]:8000"] {
            assert_eq!(tried(address, Errno::ADDRNOTAVAIL), [address]);
        }
    }

    #[tokio::test]
    async fn unspecified_address_accepts_ipv4() {
        let listener = bind("[::]:0".parse().expect("an address")).expect("it binds");
        let port = listener.local_addr().expect("an address").port();

        let client = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));

        let (client, accepted) = tokio::join!(client, listener.accept());
        assert!(client.is_ok());
        assert_eq!(accepted.expect("a connection").1.ip().to_canonical(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
}
