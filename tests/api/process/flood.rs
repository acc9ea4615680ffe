//! A flood of logins, and what password hashing takes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Ended, Postern, Serving};
use crate::{asking::Asking, service::PASSWORD};

/// How many log in at once.
const CALLERS: usize = 200;
/// What a hash takes, in bytes.
const HASH_MEMORY: u64 = 32 << 20;
const HASHES: &str = r#"postern_hashing_duration_seconds_count{work="hash"}"#;

/// Hashes that take their time, on two threads.
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

/// As many connections as there are callers, each with a login under way.
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

/// The answer, and how long after the start it was there.
async fn answer(mut stream: TcpStream, started: Instant) -> (String, Duration) {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    (text.to_ascii_lowercase(), started.elapsed())
}

async fn metric(serving: &Serving, sample: &str) -> f64 {
    let metrics = Asking::operations(serving.operations, "/metrics").send().await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{sample}: {metrics}"))
}

#[tokio::test]
async fn a_flood_is_answered_200_or_503_with_retry_after_and_nobody_served_has_waited_longer_than_is_set() {
    let serving = slow_hashing("500ms").serve().await;
    serving.sign_up("ada@example.org").await;

    let started = Instant::now();
    let answers = flood(&serving).await.into_iter().map(|stream| tokio::spawn(answer(stream, started)));
    let mut answered = Vec::new();
    for answer in answers {
        answered.push(answer.await.expect("no panic"));
    }

    let (served, refused): (Vec<_>, Vec<_>) =
        answered.into_iter().partition(|(text, _)| text.starts_with("http/1.1 200 "));
    for (text, _) in &refused {
        let is_refusal = text.starts_with("http/1.1 503 ") && text.contains(r#""code":"overloaded""#);
        assert!(is_refusal && text.contains("\r\nretry-after: "), "{text}");
    }
    assert!(!served.is_empty() && !refused.is_empty(), "{} served, {} refused", served.len(), refused.len());
    let sum = metric(&serving, r#"postern_hashing_duration_seconds_sum{work="hash"}"#).await;
    let mean_hash = Duration::from_secs_f64(sum / metric(&serving, HASHES).await);
    // A hash may take longer than others do, and to be told of it takes time.
    let longest = Duration::from_millis(500) + 5 * mean_hash + Duration::from_secs(5);
    for (_, took) in &served {
        assert!(*took <= longest, "{took:?}, and a hash takes {mean_hash:?}");
    }
    serving.post("/token/", credentials()).send().await.expect(200);
}

#[tokio::test]
async fn memory_stays_at_that_of_the_hashing_threads_and_a_little_more() {
    let serving = slow_hashing("500ms").serve().await;
    // An idle server has no memory for hashes yet.
    let resting = serving.peak_memory_bytes();
    serving.sign_up("ada@example.org").await;

    for stream in flood(&serving).await {
        answer(stream, Instant::now()).await;
    }

    let grown = serving.peak_memory_bytes() - resting;
    assert!(grown > HASH_MEMORY, "hashes take memory: {grown} bytes");
    assert!(grown < 2 * HASH_MEMORY + (32 << 20), "{grown} bytes");
}

#[tokio::test]
async fn callers_who_have_hung_up_are_not_hashed_for() {
    // Of one account and address, few would be under way at once.
    let serving = slow_hashing("60s").with("POSTERN_THROTTLE", "off").serve().await;
    serving.sign_up("ada@example.org").await;
    let waiting = flood(&serving).await;
    while metric(&serving, "postern_hashing_queue_wait_seconds_count").await
        + metric(&serving, "postern_hashing_queue_depth").await
        < 100.0
    {}

    drop(waiting);

    // Whoever comes now waits behind all of them.
    serving.post("/token/", credentials()).send().await.expect(200);
    while metric(&serving, "postern_hashing_queue_depth").await > 0.0 {}
    assert!(metric(&serving, r#"postern_logins_total{outcome="abandoned"}"#).await > 50.0);
    let hashes = metric(&serving, HASHES).await;
    assert!(hashes < 100.0, "{hashes} hashes");
}

#[tokio::test]
async fn hashes_that_do_not_fit_into_memory_are_refused_at_the_start_with_how_much_they_are_too_large() {
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

/// A cgroup of this test alone, in which memory is limited; `None` where this process may not make one.
fn limited_cgroup(limit: &str) -> Option<PathBuf> {
    let places = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
    places.into_iter().find_map(|(hierarchy, file)| {
        let cgroup = Path::new("/sys/fs/cgroup").join(hierarchy).join(format!("postern-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&cgroup).ok()?;
        let is_limited = cgroup.join(file).exists() && fs::write(cgroup.join(file), limit).is_ok();
        if !is_limited {
            fs::remove_dir(&cgroup).expect("an empty cgroup");
        }
        is_limited.then_some(cgroup)
    })
}

#[tokio::test]
async fn the_memory_limit_is_that_of_the_cgroup() {
    let Some(cgroup) = limited_cgroup("50M") else {
        // The places where a limit is looked for are tested everywhere, on trees of files (src/cgroup.rs).
        eprintln!("not tested on a real cgroup: this process may not make one");
        return;
    };
    let procs = cgroup.join("cgroup.procs");
    let program = env!("CARGO_BIN_EXE_postern");

    let script = "echo $$ >\"$0\" && exec \"$@\"";
    let limited = tokio::process::Command::new("sh")
        .args(["-c", script, &procs.display().to_string(), program, "config", "--hash-threads", "1"])
        .env_clear()
        .output();
    let limited = Ended::of(&limited.await.expect("it starts"));

    assert_eq!(limited.code, Some(64), "{limited:?}");
    assert!(limited.stderr.contains("are 51.0 MiB, 1.0 MiB more than the memory limit of 50.0 MiB"), "{limited:?}");
    fs::remove_dir(&cgroup).expect("an empty cgroup");
}

#[tokio::test]
async fn calibrate_prints_settings_that_can_be_used_and_says_where_no_safe_hash_is_as_fast_as_that() {
    let calibrated = Postern::new().run(&["calibrate", "--target", "1ms", "--hash-threads", "1"]).await;

    assert_eq!(calibrated.code, Some(1), "{calibrated:?}");
    assert!(calibrated.stderr.contains("no safe hash takes 1ms or less here"), "{calibrated:?}");
    let settings: Vec<_> = calibrated.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let [memory, passes, lanes, threads] = settings[..] else { panic!("four settings: {calibrated:?}") };
    assert_eq!(memory, ("POSTERN_HASH_MEMORY", "19MiB"));
    assert_eq!((passes, lanes), (("POSTERN_HASH_PASSES", "2"), ("POSTERN_HASH_LANES", "1")));
    assert_eq!(threads, ("POSTERN_HASH_THREADS", "1"));
    assert!(calibrated.stdout.contains(" logins per second"), "{calibrated:?}");
}
