//! Sessions: what a login opens and a logout ends.

use std::{net::IpAddr, time::Duration};

use time::OffsetDateTime;

use super::id::{Epoch, SessionId, UserId};

/// The longest user agent that a session records, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 100;

/// The counters of a session that has just been opened: its client has proved nothing yet, and token 1 is handed out.
pub const FIRST_CURRENT: u64 = 0;
/// See [`FIRST_CURRENT`].
pub const FIRST_NEXT: u64 = 1;

/// A session to be opened. The store adds the times, by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Never reused.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The user's epoch, read together with the hash that was verified.
    pub epoch: Epoch,
    /// The id of the key that signs the first refresh token.
    pub next_key: KeyTag,
    /// From its opening to its absolute end, which nothing moves.
    pub lifetime: Duration,
    /// How long it may go unused before it ends; `None` where it may for its whole life.
    pub idle: Option<Duration>,
    /// How many sessions its user may have at once, this one included: the oldest ones end.
    pub max_sessions: u32,
    /// The user's kept session, read together with the epoch.
    pub surviving_session: Option<SessionId>,
    /// Who opened it.
    pub client: Client,
}

/// A session, as the store keeps it. It holds no token and no digest of one: only counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Never reused.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The user's epoch when it was opened.
    pub epoch: Epoch,
    /// The counter of the refresh token that its client last proved to have.
    pub current: u64,
    /// The counter of the refresh token that was handed out in exchange.
    pub next: u64,
    /// The key that signed the successor.
    pub next_key: KeyTag,
    /// When a successor was last handed out.
    pub rotated: OffsetDateTime,
    /// When it was opened.
    pub created: OffsetDateTime,
    /// Its absolute end.
    pub expires: OffsetDateTime,
    /// When it was last used, as exactly as that is noted.
    pub last_used: OffsetDateTime,
    /// How long it may go unused before it ends.
    pub idle: Option<Duration>,
    /// Who opened it.
    pub client: Client,
}

/// Who opened a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address that the connection came from.
    pub address: IpAddr,
    /// The `User-Agent`, cut at [`MAX_USER_AGENT_BYTES`]; empty where there was none.
    pub user_agent: String,
}

impl Client {
    /// A client, its user agent cut at the last character that ends within the limit.
    #[must_use]
    pub fn new(address: IpAddr, user_agent: &str) -> Self {
        let end = user_agent.floor_char_boundary(MAX_USER_AGENT_BYTES);
        Self { address, user_agent: user_agent[..end].to_owned() }
    }
}

/// The four bytes that name a refresh-token key inside a token: the start of its PASERK id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyTag(pub [u8; 4]);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_long_user_agent_is_cut_between_characters() {
        let agent = format!("{}ëë", "a".repeat(MAX_USER_AGENT_BYTES - 1));

        let client = Client::new(Ipv4Addr::LOCALHOST.into(), &agent);

        assert_eq!(client.user_agent, "a".repeat(MAX_USER_AGENT_BYTES - 1));
    }
}
