//! Measures bare Argon2id: hashes per second with Postern's default parameters, on as many threads as Postern uses, each with
//! reused memory.
//!
//!     cargo bench --bench bare_argon2 -- [SECONDS]
//!
//! Prints hashes per second. `-- --test` computes one hash on each thread.

#[path = "speed/bare_hashes.rs"]
mod bare_hashes;

use std::{thread, time::Duration};

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let min_duration = if is_test { Duration::ZERO } else { Duration::from_secs(seconds) };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    println!("{:.1}", bare_hashes::rate(threads, min_duration));
}
