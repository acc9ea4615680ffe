//! Sessions and attempts in Redis.
//!
//! A session is the hash `session:{<user id>}:<session id>` with a TTL. `sessions:{<user id>}` is a sorted set of a
//! user's session ids by expiry, for listing and pruning only. The braces put all keys of a user into one cluster slot,
//! so each operation is one script. A session stores its own expiry, which decides; the TTL removes the key afterwards.
//!
//! The counters of attempts are in a fixed number of hashes, `attempts:<number>`, and the known devices of an account in the
//! sorted set `devices:<digest>`.

mod attempt_scripts;
mod attempt_shards;
mod attempts;
mod connection;
mod connector;
mod error;
mod scripts;
mod server_time;
mod session_record;
mod session_scripts;
mod sessions;
mod url;
mod user_agent;

pub use self::{connection::RedisStore, url::RedisUrl};
