//! Bare Argon2id with Postern's default parameters and reused memory: the baseline for password hashing.

use std::{
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Returns hashes per second, on this number of threads at once and measured for at least this long.
pub fn rate(threads: usize, min_duration: Duration) -> f64 {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || rate_of_one_thread(min_duration))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

fn rate_of_one_thread(min_duration: Duration) -> f64 {
    let params = Params::new(19 * 1024, 2, 1, Some(32)).expect("valid parameters");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (started, mut hashes, mut hash) = (Instant::now(), 0, [0; 32]);
    loop {
        let outcome =
            argon2.hash_password_into_with_memory(b"secure_password", b"sixteen bytes of", &mut hash, &mut memory);
        outcome.expect("valid parameters");
        hashes += 1;
        if started.elapsed() >= min_duration {
            return f64::from(hashes) / started.elapsed().as_secs_f64();
        }
    }
}
