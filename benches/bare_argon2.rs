//! How many passwords a second this machine hashes, and nothing else: Argon2id with Postern's default parameters, on as
//! many threads as Postern hashes on, each with memory that it reuses.
//!
//!     cargo bench --bench bare_argon2 -- [SECONDS]
//!
//! Prints hashes a second. `-- --test` hashes once on each thread.

#[path = "speed/hashes.rs"]
mod hashes;

use std::{thread, time::Duration};

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let least = if is_test { Duration::ZERO } else { Duration::from_secs(seconds) };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    println!("{:.1}", hashes::bare_rate(threads, least));
}
