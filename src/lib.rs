//! # Postern
//!
//! A small service that keeps an application's user accounts: sign-up, login, refresh, logout, profile, password change.
//! Users are kept in PostgreSQL and sessions in Redis, or both in an embedded store; access tokens can be checked offline
//! by anyone who has the public key.
//!
//! ## Layers
//!
//! Imports go from the top of this list to its bottom, and no files import each other in a circle;
//! `tests/architecture` reads the list and checks both.
//!
//! - `main.rs`: arguments, command, exit code
//! - `serve.rs`: the life of a server: start, signals, drain
//! - `commands.rs`: the commands that run once
//! - `app.rs`: puts a server together from its parts
//! - `runtime.rs`: the asynchronous runtime of a command
//! - `exit.rs`: errors that end the process, exit codes
//! - `cli/`: the command line
//! - `config/`: the settings
//! - `server/`: connections: listener, TLS, limits, deadlines, shutdown
//! - `http/`: requests and responses: the routes, their handlers, errors
//! - `accounts/`: the use cases, a file each
//! - `rate_limit/`: limits on failed attempts
//! - `api_keys.rs`: the keys of services that introspect tokens
//! - `logging.rs`: the log
//! - `audit/`: the audit trail
//! - `tokens/`: access tokens and refresh tokens
//! - `keys/`: the keyring: its files, their states, rotation
//! - `passwords/`: policy, hashing threads, calibration
//! - `store/postgres/`: users and audit events in PostgreSQL
//! - `store/redis/`: sessions and attempts in Redis
//! - `store/sqlite/`: the embedded store
//! - `store/`: the contracts of the stores, and what adapters share
//! - `model/`: users, sessions, audit events and their parts
//! - `metrics/`: counters and histograms
//! - `clock.rs`: the time
//! - `reloading.rs`: values that are reloaded when their files change
//! - `os/`: control groups, private files, process hardening, resource limits
//!
//! A request enters through [`server`]. [`http::Service`] finds its handler in the table of `http/routes.rs`; the handler
//! calls a use case of [`accounts`], which calls the [`store`] contracts, hashes with [`passwords`] and signs with
//! [`tokens`]. Only `app.rs` and `commands.rs` name concrete stores.
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

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod os;
pub mod passwords;
pub mod rate_limit;
mod reloading;
pub mod server;
pub mod store;
pub mod tokens;
