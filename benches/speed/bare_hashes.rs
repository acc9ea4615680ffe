//! The least that hashing a password can be: Argon2id with Postern's default parameters, in memory that is reused.

use std::{
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Hashes a second, on so many threads at once and for this long at least.
pub fn bare_rate(threads: usize, least: Duration) -> f64 {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || rate(least))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

/// Hashes a second, on this thread.
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
