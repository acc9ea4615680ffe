//! Sessions, which a login opens and a logout ends.

use std::{net::IpAddr, time::Duration};

use time::OffsetDateTime;

use super::{
    display_text::DisplayText,
    id::{Epoch, SessionId, UserId},
};

/// The longest user agent that a session stores, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 100;

/// The current counter of a new session: its client has not proved to have a token yet.
pub const FIRST_CURRENT: u64 = 0;
/// The next counter of a new session: the counter of the refresh token that the login returns.
pub const FIRST_NEXT: u64 = 1;

/// A session to open. The store adds the times by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The id; never reused.
    pub id: SessionId,
    /// The user who owns the session.
    pub user: UserId,
    /// The epoch in which the session is valid: the user's epoch, read together with the verified hash, or the one that
    /// replaces it.
    pub epoch: Epoch,
    /// The key that signs the first refresh token.
    pub next_key: KeyTag,
    /// The time from login to the end of the session, which nothing extends.
    pub lifetime: Duration,
    /// How long the session may be unused before it ends; `None` for no idle limit.
    pub idle: Option<Duration>,
    /// How many sessions the user may have at once, this one included. The oldest ones beyond that end.
    pub max_sessions: u32,
    /// The user's epoch: with `surviving_session`, it decides which sessions are valid and end last.
    pub valid_epoch: Epoch,
    /// The user's [`surviving_session`](super::User::surviving_session), read together with the epoch.
    pub surviving_session: Option<SessionId>,
    /// The client that opened the session.
    pub client: Client,
}

/// A stored session. It contains counters, no token and no digest of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id; never reused.
    pub id: SessionId,
    /// The user who owns the session.
    pub user: UserId,
    /// The epoch in which the session was opened.
    pub epoch: Epoch,
    /// The counter of the refresh token that the client last proved to have.
    pub current: u64,
    /// The counter of the refresh token that the client received in exchange.
    pub next: u64,
    /// The key that signed the next token.
    pub next_key: KeyTag,
    /// The time when the next token was issued.
    pub rotated: OffsetDateTime,
    /// The time of the login.
    pub created: OffsetDateTime,
    /// The time when the session ends, used or not.
    pub expires: OffsetDateTime,
    /// The time of the last recorded use. Use is recorded at most once a minute.
    pub last_used: OffsetDateTime,
    /// How long the session may be unused before it ends; `None` for no idle limit.
    pub idle: Option<Duration>,
    /// See [`LiveSession::authenticated`].
    pub authenticated: OffsetDateTime,
    /// The client that opened the session.
    pub client: Client,
}

/// What a signed-in request needs of its session: one that is stored and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSession {
    /// The id; never reused.
    pub id: SessionId,
    /// The user who owns the session.
    pub user: UserId,
    /// The epoch in which the session was opened.
    pub epoch: Epoch,
    /// The time of the last use. It may not have been recorded yet.
    pub last_used: OffsetDateTime,
    /// When the user was last authenticated with the password in this session: at its login, or later by a reauthentication,
    /// never by a refresh.
    pub authenticated: OffsetDateTime,
}

/// What the tokens of a session need of it, as it is after a refresh, or as it was when the refresh ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshedSession {
    /// The id; never reused.
    pub id: SessionId,
    /// The user who owns the session.
    pub user: UserId,
    /// The time at which the session ends.
    pub expires: OffsetDateTime,
    /// The counter of the current refresh token.
    pub current: u64,
    /// The counter of the next refresh token.
    pub next: u64,
    /// The key that signs the next refresh token.
    pub next_key: KeyTag,
}

impl From<&Session> for RefreshedSession {
    fn from(session: &Session) -> Self {
        let Session { id, user, expires, current, next, next_key, .. } = *session;
        Self { id, user, expires, current, next, next_key }
    }
}

impl From<&Session> for LiveSession {
    fn from(session: &Session) -> Self {
        let Session { id, user, epoch, last_used, authenticated, .. } = *session;
        Self { id, user, epoch, last_used, authenticated }
    }
}

/// The client that opened a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The client address: that of the connection, or the one that a trusted proxy reports.
    pub address: IpAddr,
    /// The `User-Agent`, cleaned and cut at [`MAX_USER_AGENT_BYTES`]; empty if the request had none.
    pub user_agent: DisplayText,
}

impl Client {
    /// Creates a client. Cleans its user agent, which the client chooses, and cuts it at the last character boundary within
    /// [`MAX_USER_AGENT_BYTES`].
    #[must_use]
    pub fn new(address: IpAddr, user_agent: &str) -> Self {
        // Cleaning shortens no character, so what is beyond the limit stays beyond it.
        let user_agent = &user_agent[..user_agent.floor_char_boundary(MAX_USER_AGENT_BYTES)];
        Self { address, user_agent: DisplayText::cleaned(user_agent).truncated(MAX_USER_AGENT_BYTES) }
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
    fn long_user_agent_is_cut_between_characters() {
        let agent = format!("{}ëë", "a".repeat(MAX_USER_AGENT_BYTES - 1));

        let client = Client::new(Ipv4Addr::LOCALHOST.into(), &agent);

        assert_eq!(client.user_agent.as_str(), "a".repeat(MAX_USER_AGENT_BYTES - 1));
    }

    #[test]
    fn user_agent_is_cleaned_before_it_is_cut() {
        let client = Client::new(Ipv4Addr::LOCALHOST.into(), &"\u{9b}".repeat(MAX_USER_AGENT_BYTES));

        assert_eq!(client.user_agent.as_str(), "\u{fffd}".repeat(MAX_USER_AGENT_BYTES / 3));
    }
}
