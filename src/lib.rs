//! # Postern
//!
//! A small service that keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change.
//! Users are kept in PostgreSQL and sessions in Redis, or both in an embedded store; access tokens can be checked offline
//! by anyone who has the public key.
//!
//! ## Three rings, one direction
//!
//! ```text
//! main ─▶ cli, config, memory, telemetry, server, store::*      the only place that knows every concrete type
//! server ─▶ http ─▶ accounts ─▶ audit, store (traits), passwords, tokens, clock, metrics
//!                              audit ─▶ store (traits), clock, metrics, the nouns of accounts
//!           http ─▶ operators ─▶ clock                 config ─▶ cgroup        server ─▶ clock
//! store::{postgres, redis, embedded} ─▶ store (traits), the nouns of accounts and audit      the nouns ─▶ nothing
//! ```
//!
//! A request comes in through [`server`], is answered by [`http::Service`] by way of the table in `http/routes.rs`, whose
//! handlers call the use cases of [`accounts`]; those ask the [`store`] traits, hash with [`passwords`], and sign with
//! [`tokens`]. `tests/architecture.rs` reads the sources and checks that the arrows hold.
//!
//! ## What always holds
//!
//! - Each use case has one deciding write: one statement or one script. What is written before is worthless without it and
//!   expires; what is written after is optional. A dropped future leaves all of the deciding write or nothing.
//! - The epoch decides between the stores: a session is in force when it is kept, its user is active, and it was opened in
//!   the user's present epoch or is the one that changed the password last. A mismatch refuses and never deletes.
//! - Every write of a password hash is a compare-and-set on the hash that was verified and the epoch that was read.
//! - User and session ids are never reused and never serial.
//! - No pooled connection is held while a password is hashed; hashing has threads of its own and a bounded queue, and a
//!   caller who has hung up is not hashed for.
//! - An unknown email costs exactly what a wrong password costs.
//! - Nothing stored is enough to log in: no token, no digest usable as one, no password, no key.
//! - Unknown is not invalid: a store that cannot be reached leads to 503, never to 401, and within its timeout.
//! - No health is latched: nothing needs a restart to recover. Start-up does not depend on how many users there are.
//! - A set of keys is taken as a whole or not at all, and the last good one stays in use. A key is known to everybody before
//!   it signs, and kept until everything that it has signed has expired.
//! - The audit trail slows no request: an event is a line of the log at once, and whoever writes the table is not waited for.
//! - Secrets cannot be printed, are wiped, and are compared in constant time; files that we make are for their owner alone,
//!   and so is the memory of the process.
//! - An event is one line of the log, whatever it holds.
//! - hyper's service error is `Infallible`, and a panic becomes one 500.
//! - Nothing of a connection takes longer than its time, whatever the client does or leaves undone; and no byte of HTTP/1
//!   reaches hyper that could be read in two ways.

mod cgroup;
pub mod clock;
mod files;
pub mod metrics;

pub mod accounts;
pub mod audit;
pub mod operators;
pub mod passwords;
pub mod tokens;

pub mod store;

pub mod http;
pub mod server;

pub mod cli;
pub mod config;
pub mod memory;
pub mod telemetry;
