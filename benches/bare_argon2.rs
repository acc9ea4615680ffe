//! How many passwords a second this machine hashes, and nothing else: Argon2id with Postern's default parameters, on as
//! many threads as Postern hashes on, each with memory that it reuses.
//!
//!     cargo bench --bench bare_argon2 -- [SECONDS]
//!
//! Prints hashes a second. `-- --test` hashes once on each thread.

use std::{
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    let least = if is_test { Duration::ZERO } else { Duration::from_secs(seconds) };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let rate: f64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || rate(least))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    println!("{rate:.1}");
}

/// Hashes a second, on this thread and for this long at least.
fn rate(least: Duration) -> f64 {
    let params = Params::new(19 * 1024, 2, 1, Some(32)).expect("good parameters");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (started, mut hashes, mut hash) = (Instant::now(), 0, [0; 32]);
    loop {
        let outcome =
            argon2.hash_password_into_with_memory(b"secure_password", b"sixteen bytes of", &mut hash, &mut memory);
        outcome.expect("good parameters");
        hashes += 1;
        if started.elapsed() >= least {
            return f64::from(hashes) / started.elapsed().as_secs_f64();
        }
    }
}
