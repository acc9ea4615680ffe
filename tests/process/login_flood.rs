//! A flood of logins, and the cost of password hashing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Cgroup, Ended, LONG, PASSWORD, Postern, Serving, eventually, missing, within};

/// The number of parallel logins.
const CALLERS: usize = 200;
/// The memory of a hash, in bytes.
const HASH_MEMORY: u64 = 32 << 20;
const HASHES: &str = r#"postern_hashing_duration_seconds_count{work="hash"}"#;

/// Slow hashes, on two threads.
fn slow_hashing(max_wait: &str) -> Postern {
    Postern::new()
        .with("POSTERN_HASH_MEMORY", "32MiB")
        .with("POSTERN_HASH_PASSES", "4")
        .with("POSTERN_HASH_THREADS", "2")
        .with("POSTERN_HASH_MAX_WAIT", max_wait)
        .with("POSTERN_REQUEST_TIMEOUT", "5m")
}

fn credentials() -> Value {
    json!({"email": "ada@example.org", "password": PASSWORD})
}

/// Opens a connection for each caller, each with a login in flight.
async fn flood(serving: &Serving) -> Vec<TcpStream> {
    let body = credentials().to_string();
    let request = format!(
        "POST /token/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut streams = Vec::new();
    for _ in 0..CALLERS {
        streams.push(TcpStream::connect(serving.public).await.expect("it accepts"));
    }
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).await.expect("it takes the request");
    }
    streams
}

/// Returns the response, and the time since the start.
async fn response(mut stream: TcpStream, started: Instant) -> (String, Duration) {
    let mut text = String::new();
    within(LONG, "a response", stream.read_to_string(&mut text)).await.expect("a response");
    (text.to_ascii_lowercase(), started.elapsed())
}

#[tokio::test]
async fn login_flood_is_answered_within_the_longest_hash_wait() {
    let serving = slow_hashing("500ms").serve().await;
    serving.signed_up("ada@example.org").await;

    let started = Instant::now();
    let responses = flood(&serving).await.into_iter().map(|stream| tokio::spawn(response(stream, started)));
    let mut answered = Vec::new();
    for response in responses {
        answered.push(response.await.expect("no panic"));
    }

    let (served, refused): (Vec<_>, Vec<_>) =
        answered.into_iter().partition(|(text, _)| text.starts_with("http/1.1 200 "));
    for (text, _) in &refused {
        let is_overloaded = text.starts_with("http/1.1 503 ") && text.contains(r#""code":"overloaded""#);
        assert!(is_overloaded && text.contains("\r\nretry-after: "), "{text}");
    }
    assert!(!served.is_empty() && !refused.is_empty(), "{} served, {} refused", served.len(), refused.len());
    let sum = serving.metric::<f64>(r#"postern_hashing_duration_seconds_sum{work="hash"}"#).await;
    let mean_hash = Duration::from_secs_f64(sum / serving.metric::<f64>(HASHES).await);
    // A hash may take longer than the mean, and the response takes time.
    let longest = Duration::from_millis(500) + 5 * mean_hash + Duration::from_secs(5);
    for (_, took) in &served {
        assert!(*took <= longest, "{took:?}, and a hash takes {mean_hash:?}");
    }
    serving.api().post("/token/", credentials()).send().await.expect(200);
}

#[tokio::test]
async fn memory_is_bounded_by_the_hashing_threads() {
    let serving = slow_hashing("500ms").serve().await;
    // An idle server has not allocated memory for hashes.
    let resting = serving.peak_memory_bytes();
    serving.signed_up("ada@example.org").await;

    for stream in flood(&serving).await {
        response(stream, Instant::now()).await;
    }

    let grown = serving.peak_memory_bytes() - resting;
    assert!(grown > HASH_MEMORY, "hashes take memory: {grown} bytes");
    assert!(grown < 2 * HASH_MEMORY + (32 << 20), "{grown} bytes");
}

#[tokio::test]
async fn abandoned_logins_are_not_hashed() {
    // With limits, few logins of one account and address run at once.
    let serving = slow_hashing("60s").with("POSTERN_THROTTLE", "off").serve().await;
    serving.signed_up("ada@example.org").await;
    let waiting = flood(&serving).await;
    eventually(LONG, "half of the logins are in the queue", async || {
        let waited = serving.metric::<f64>("postern_hashing_queue_wait_seconds_count").await;
        waited + serving.metric::<f64>("postern_hashing_queue_depth").await >= 100.0
    })
    .await;

    drop(waiting);

    // This login queues behind all of them.
    serving.api().post("/token/", credentials()).send().await.expect(200);
    let is_empty = async || serving.metric::<f64>("postern_hashing_queue_depth").await == 0.0;
    eventually(LONG, "the queue is empty", is_empty).await;
    assert!(serving.metric::<f64>(r#"postern_logins_total{outcome="abandoned"}"#).await > 50.0);
    let hashes = serving.metric::<f64>(HASHES).await;
    assert!(hashes < 100.0, "{hashes} hashes");
}

#[tokio::test]
async fn hashes_beyond_the_memory_limit_are_refused_at_the_start() {
    let postern = Postern::new().with("POSTERN_HASH_MEMORY", "4GiB").with("POSTERN_HASH_THREADS", "256");

    let refused = postern.run(&["serve"]).await;

    assert_eq!(refused.code, Some(64), "{refused:?}");
    for part in
        ["POSTERN_HASH_MEMORY: 4.0 GiB for each", "THREADS: 256", "are 1.0 TiB, ", " more than the memory limit of "]
    {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    assert!(!postern.path("postern-data").exists());
}

#[tokio::test]
async fn memory_limit_is_that_of_the_cgroup() {
    let Some(cgroup) = Cgroup::with_memory("50M") else {
        // The unit tests of the limit use trees of files, and run everywhere.
        missing("cgroups", "this process may not make a cgroup with a memory limit");
        return;
    };

    let limited = cgroup.command(&["config", "--hash-threads", "1"]).env_clear().output();
    let limited = Ended::of(&limited.await.expect("it starts"));

    assert_eq!(limited.code, Some(64), "{limited:?}");
    assert!(limited.stderr.contains("are 51.0 MiB, 1.0 MiB more than the memory limit of 50.0 MiB"), "{limited:?}");
}

#[tokio::test]
async fn calibrate_prints_settings_and_fails_if_no_hash_is_fast_enough() {
    let calibrated = Postern::new().run(&["calibrate", "--target", "1ms", "--hash-threads", "1"]).await;

    assert_eq!(calibrated.code, Some(1), "{calibrated:?}");
    assert!(calibrated.stderr.contains("no safe hash takes at most 1ms"), "{calibrated:?}");
    let settings: Vec<_> = calibrated.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let [memory, passes, lanes, threads] = settings[..] else { panic!("four settings: {calibrated:?}") };
    assert_eq!(memory, ("POSTERN_HASH_MEMORY", "19MiB"));
    assert_eq!((passes, lanes), (("POSTERN_HASH_PASSES", "2"), ("POSTERN_HASH_LANES", "1")));
    assert_eq!(threads, ("POSTERN_HASH_THREADS", "1"));
    assert!(calibrated.stdout.contains(" logins per second"), "{calibrated:?}");
}
