//! Compares one multiplexed connection to Redis, shared by all requests, with a pooled connection for each request.
//!
//!     scripts/with-stores cargo bench --bench redis_connection
//!
//! Prints the calls per second of both and their ratio. `-- --test` makes only a few calls.

use std::{sync::Arc, time::Instant};

use deadpool_redis::{Manager, Pool, Runtime};
use redis::{Script, aio::MultiplexedConnection};

/// The number of calls for each figure.
const CALLS: u32 = 20_000;

/// The number of calls with `--test`.
const TEST_CALLS: u32 = 64;

/// Reads a missing hash by a script, as a signed-in request reads its session.
async fn call(script: &Script, connection: &mut MultiplexedConnection) {
    let mut invocation = script.prepare_invoke();
    let found: Vec<Option<String>> = invocation.key("missing").invoke_async(connection).await.expect("a response");
    assert_eq!(found, [None, None]);
}

/// Returns the calls per second of this number of concurrent callers.
async fn rate(callers: u32, calls: u32, pool: &Pool, is_shared: bool) -> f64 {
    let script = Arc::new(Script::new("return redis.call('HMGET', KEYS[1], 'epoch', 'expires')"));
    let shared = Arc::new(pool.get().await.expect("a connection"));
    let started = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (pool, script, shared) = (pool.clone(), Arc::clone(&script), Arc::clone(&shared));
        running.spawn(async move {
            for _ in 0..calls / callers {
                if is_shared {
                    call(&script, &mut (**shared).clone()).await;
                } else {
                    call(&script, &mut pool.get().await.expect("a connection")).await;
                }
            }
        });
    }
    running.join_all().await;
    f64::from(calls) / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    #[expect(clippy::disallowed_methods, reason = "scripts/with-stores sets it; it is not a setting of the service")]
    let url = std::env::var("POSTERN_TEST_REDIS_URL").expect("the variable; run this with scripts/with-stores");
    let manager = Manager::new(url.as_str()).expect("a URL");
    let pool = Pool::builder(manager).max_size(16).runtime(Runtime::Tokio1).build().expect("a pool");
    let calls = if std::env::args().any(|argument| argument == "--test") { TEST_CALLS } else { CALLS };
    println!("callers  shared/s  pooled/s  ratio");
    for callers in [1, 16, 64] {
        let (shared, pooled) = (rate(callers, calls, &pool, true).await, rate(callers, calls, &pool, false).await);
        println!("{callers:>7} {shared:>9.0} {pooled:>9.0} {:>6.2}", shared / pooled);
    }
}
