//! Limits on connections.

use std::time::Duration;

/// The most requests of an HTTP/2 connection at once: the least that RFC 9113, section 6.5.2, recommends.
pub const MAX_CONCURRENT_STREAMS: u32 = 100;

/// The most bytes of a request head, as HTTP/1.1 sends it. HTTP/2 has the same limit.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most headers of a request. All `Cookie` headers count as one: HTTP/2 may split it (RFC 9113, section 8.2.3).
pub const MAX_HEADERS: usize = 64;

/// The most header lines of an HTTP/1 request that are parsed, `Cookie` included: up to this number, hyper needs no allocation.
pub const MAX_HEADER_LINES: usize = 100;

/// The most bytes of a header list of HTTP/2, where each field counts 32 bytes more than its text (RFC 9113, section 6.5.2), and
/// each cookie is a field. A head of [`MAX_HEAD_BYTES`] and [`MAX_HEADERS`] fits if it has 110 cookies, and one of 28 KiB with
/// the 180 that browsers keep for a site. The table of fields would double with a list for more than 1,024 cookies.
pub const MAX_HEADER_LIST_BYTES: u32 = 38 * 1024;

/// The limits of a listener's connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most connections open at once. A new connection above the limit evicts another one: see `slots`.
    pub max_connections: usize,
    /// The deadlines of a connection.
    pub timeouts: ConnectionTimeouts,
    /// The age, ±10 %, at which a connection closes after its next response.
    pub max_age: Duration,
}

/// The deadlines of a connection. Only `idle` may be longer than `request`.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionTimeouts {
    /// From accept to the first byte. Over TLS: from accept to the end of the handshake, and again from there to the first
    /// byte.
    pub first_byte: Duration,
    /// From the first byte of a request head to its last. Over HTTP/2: from accept to the first request.
    pub head: Duration,
    /// From a response to the next request.
    pub idle: Duration,
    /// From a request to its response. The client has as long again to read the response.
    pub request: Duration,
    /// How long a connection must be idle before a closing server closes it: the client may have sent its next request
    /// already.
    pub closing_idle: Duration,
    /// How long the server reads and discards input after the last response. If it closed the connection at once, the
    /// client's unread bytes would reset it, and the client could lose the response.
    pub linger: Duration,
}

impl ConnectionTimeouts {
    /// Takes the head and first-byte timeouts that Envoy recommends for edge proxies (10 s, 5 s), capped at `request`.
    #[must_use]
    pub fn of(request: Duration, idle: Duration) -> Self {
        Self {
            first_byte: Duration::from_secs(5).min(request),
            head: Duration::from_secs(10).min(request),
            idle,
            request,
            closing_idle: Duration::from_secs(1).min(request),
            linger: Duration::from_secs(2).min(request),
        }
    }

    /// Shortens `closing_idle` and `linger` to at most a quarter of the shutdown grace period: an idle connection waits once
    /// before the close, and again for a client that does not close.
    #[must_use]
    pub fn stopping_within(self, grace: Duration) -> Self {
        let limit = grace / 4;
        Self { closing_idle: self.closing_idle.min(limit), linger: self.linger.min(limit), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_takes_at_most_half_of_the_grace_period() {
        let timeouts = ConnectionTimeouts::of(Duration::from_secs(10), Duration::from_secs(75));

        let closing = [100, 1000, 20_000].map(|grace| timeouts.stopping_within(Duration::from_millis(grace)));

        assert_eq!(closing.map(|timeouts| timeouts.closing_idle.as_millis()), [25, 250, 1000]);
        assert_eq!(closing.map(|timeouts| timeouts.linger.as_millis()), [25, 250, 2000]);
    }
}
