//! # Postern
//!
//! A small service that keeps the user accounts of an application: sign-up, login, refresh, logout, profile, password
//! change. It stores users in PostgreSQL and sessions in Redis, or both in an embedded store. Other services verify access
//! tokens offline with the published keys.
//!
//! ## Layers
//!
//! Imports go from the top of this list to its bottom, and no files import each other in a circle;
//! `tests/architecture` reads the list and checks both.
//!
//! - `main.rs`: arguments, command, exit code
//! - `serve.rs`: the life of a server: start, drain
//! - `commands.rs`: the commands that run once
//! - `app.rs`: builds the parts of a server from its settings
//! - `signals.rs`: signals, and the deadline of a stop
//! - `standard_output.rs`: the output of commands
//! - `runtime.rs`: the asynchronous runtime of a command
//! - `exit.rs`: errors that end the process, exit codes
//! - `cli/`: the command line
//! - `config/`: the settings
//! - `server/`: connections: listener, TLS, limits, deadlines, shutdown
//! - `http/`: requests and responses: routes, handlers, errors
//! - `request_memory/`: the budget of memory that connections and requests hold
//! - `accounts/`: the use cases, a file each
//! - `import/`: users of Django: sources, rows, report
//! - `rate_limit/`: limits on failed logins, on sign-ups and on exports
//! - `api_keys/`: the keys of services, and their scopes
//! - `logging/`: the log: lines, their queue and its writer
//! - `audit/`: the audit trail
//! - `tokens/`: access tokens and refresh tokens
//! - `keys/`: the keyring: files, states, rotation
//! - `passwords/`: policy, hashing threads, calibration
//! - `store/postgres/`: users and audit events in PostgreSQL
//! - `store/redis/`: sessions and attempts in Redis
//! - `store/sqlite/`: the embedded store
//! - `store/`: the contracts of the stores, and tools for adapters
//! - `model/`: users, sessions, refresh token rotation, audit events
//! - `metrics/`: counters and histograms
//! - `clock.rs`: the time
//! - `rate_cap.rs`: a limit on how often something happens
//! - `reloading/`: values that are reloaded when their files change
//! - `os/`: control groups, directory locks, text files, private files, process hardening, resource limits
//!
//! A request enters through [`server`]. [`http::Service`] finds its handler in the table of `http/routes.rs`; the handler
//! calls a use case of [`accounts`], which calls the [`store`] contracts, hashes with [`passwords`] and signs with
//! [`tokens`]. Only `app.rs` and `commands.rs` construct stores; `main.rs`, `serve.rs` and `config/` name their URLs,
//! migrations and locks.
//!
//! ## Invariants
//!
//! - Each use case has one deciding write: one statement or one script. Writes before it are worthless without it and
//!   expire; writes after it are optional. If a request is cancelled, all of the deciding write has taken effect, or
//!   nothing.
//! - The epoch decides between the stores: a session is valid if it exists, its user is active, and it was opened in the
//!   user's current epoch or is the surviving session of the last password change. A mismatch rejects a session and never
//!   deletes it. A logout everywhere, a password change or reset, and a deactivation replace the epoch in the statement
//!   that makes them.
//! - Every write of a password hash is a compare-and-set on the hash that was verified and the epoch that was read; only an
//!   administrator's is unconditional.
//! - User and session ids are never reused and never serial.
//! - No pooled connection is held while a password is hashed. Hashing has its own threads and a bounded queue, and nothing
//!   is hashed for a client that has disconnected.
//! - An unknown email costs exactly as much as a wrong password.
//! - Nothing stored is enough to log in: no token, no digest usable as one, no password, no key.
//! - Unknown is not invalid: an unreachable store gives 503 within its timeout, never 401.
//! - An error that no retry mends is not reported as an outage: it gives 500. One rejected audit event never blocks those
//!   behind it.
//! - Nothing waits without a deadline: not for a store, a client, a disk, a lock, a full queue, nor the reader of the log.
//!   What cannot be written in time is dropped and counted.
//! - The work and the memory that one anonymous request can cause is bounded by a number that a test measures, in every
//!   protocol. Total request memory is one budget per process.
//! - No health is latched: nothing needs a restart to recover. The cost of a start does not depend on the number of users.
//! - A set of keys is adopted as a whole or not at all, and the last valid one stays in use. A key is known everywhere
//!   before it signs, and kept until everything that it has signed has expired.
//! - The audit trail delays no request: an event is logged at once, and a task writes the table.
//! - Secrets cannot be printed, are wiped after use, and are compared in constant time. Files are readable by their owner
//!   only, and the memory of the process by no other process.
//! - A log event is one line, regardless of its content.
//! - hyper's service error is `Infallible`, and a panic becomes one 500.
//! - Every part of a connection has a deadline, regardless of the client. A request without exactly one valid host, or with
//!   a transfer coding other than `chunked`, is rejected; one with both a length and `chunked` closes its connection.

pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod import;
pub mod keys;
pub mod logging;
pub mod metrics;
pub mod model;
pub mod os;
pub mod passwords;
mod rate_cap;
pub mod rate_limit;
pub mod reloading;
pub mod request_memory;
pub mod server;
pub mod store;
pub mod tokens;
