//! Sessions and attempts in Redis.
//!
//! A session is the hash `session:{<user id>}:<session id>` with a TTL. `sessions:{<user id>}` is a sorted set of a
//! user's session ids by expiry, for listing and pruning only. The braces put all keys of a user into one cluster slot,
//! so each write is one script. A session stores its own expiry, which decides; the TTL removes the key afterwards.
//!
//! Signed-in requests read their sessions without a script, in shared pipelines (`session_reads.rs`); their uses are recorded
//! at most once a minute, by a script (`session_uses.rs`).
//!
//! The counters of attempts are in a fixed number of hashes, `attempts:<number>`, and the known devices of an account in the
//! sorted set `devices:<digest>`.

mod access;
mod attempt_scripts;
mod attempt_shards;
mod attempts;
mod connector;
mod denial;
mod error;
mod scripts;
mod server_time;
mod session_keys;
mod session_reads;
mod session_record;
mod session_scripts;
mod session_uses;
mod sessions;
mod store;
mod url;
mod user_agent;

pub use self::{store::RedisStore, url::RedisUrl};
