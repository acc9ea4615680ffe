//! The times of a connection, and why it may be over.

use std::time::Duration;

/// How long a connection may do nothing, or do it slowly. None of it is longer than [`Patience::request`], but for idling
/// between requests.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the beginning to the first byte; with TLS, to the end of the handshake, and from there to the first byte.
    pub first_byte: Duration,
    /// From the first byte of a head to its last; over HTTP/2, from the first byte of a frame or header block to its last,
    /// and from the beginning to the first request.
    pub head: Duration,
    /// From one request to the next.
    pub idle: Duration,
    /// From a head to its answer, and from there until the client has taken it.
    pub request: Duration,
    /// From a connection's last sign of life to its end, where the server stops: a client that has just been answered may
    /// have its next request on the way.
    pub parting: Duration,
    /// How long what a client still sends is read after an answer that closes the connection: closed at once, it would be
    /// reset, and the answer lost on its way.
    pub linger: Duration,
}

impl Patience {
    /// What Envoy advises at the edge (5 s, 10 s), and the times for a request and between two.
    #[must_use]
    pub fn of(request: Duration, idle: Duration) -> Self {
        Self {
            first_byte: Duration::from_secs(5).min(request),
            head: Duration::from_secs(10).min(request),
            idle,
            request,
            parting: Duration::from_secs(1).min(request),
            linger: Duration::from_secs(2).min(request),
        }
    }

    /// The same for a server that has to stop within this time: what nobody uses is closed long before.
    #[must_use]
    pub fn stopping_within(self, grace: Duration) -> Self {
        Self { parting: self.parting.min(grace / 2), ..self }
    }
}

/// Why a connection is over before its client says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// Nothing has ever come.
    #[error("nothing came in time")]
    Silent,
    /// What has begun to come has not ended.
    #[error("a head did not come in time")]
    SlowHead,
    /// No request has come for long.
    #[error("the connection was idle")]
    Idle,
    /// Answers are not taken.
    #[error("the client does not take its answers")]
    Stalled,
    /// Others need the place.
    #[error("its place was needed")]
    Displaced,
    /// What came after the last answer has been read for long enough.
    #[error("the client goes on sending")]
    Lingered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_has_little_time_to_stop_waits_for_half_of_it_at_the_most() {
        let patience = Patience::of(Duration::from_secs(10), Duration::from_secs(75));

        let parting = [100, 1000, 20_000].map(|grace| patience.stopping_within(Duration::from_millis(grace)).parting);

        assert_eq!(parting, [50, 500, 1000].map(Duration::from_millis));
    }
}
