//! Wrong clocks, by libfaketime, which shifts the time of day and leaves durations alone.

use std::{fs, path::PathBuf};

use serde_json::json;
use tokio::process::Command;

use crate::support::{PASSWORD, Postern, Serving, Tokens};

impl Postern {
    /// Starts a server whose clock is shifted by the file `clock` in its directory, which may change at any time.
    async fn serve_by_clock(&self, ahead: &str) -> Serving {
        self.set_clock(ahead);
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", library().display()));
        command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.path("clock").display()));
        command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        command.args([env!("CARGO_BIN_EXE_postern"), "serve"]);
        self.serve_by(command).await
    }

    /// Shifts that clock: `+61s` is ahead of the right time.
    fn set_clock(&self, ahead: &str) {
        let (clock, new) = (self.path("clock"), self.path("clock.new"));
        fs::write(&new, ahead).expect("ours");
        fs::rename(new, clock).expect("ours");
    }
}

/// Returns Debian's libfaketime, whose directory depends on the architecture.
fn library() -> PathBuf {
    let architectures = fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let mut libraries = architectures.map(|directory| directory.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("libfaketime is installed: scripts/test does so")
}

/// Returns the status of a signed-in request.
async fn profile_status(serving: &Serving, tokens: &Tokens) -> u16 {
    serving.api().profile(tokens).send().await.status
}

#[tokio::test]
async fn server_with_a_wrong_clock_warns_and_serves() {
    for (ahead, seconds_ahead) in [("+61s", -61), ("-61s", 61)] {
        let postern = Postern::on_migrated_servers().await;
        let right = postern.serve().await;
        let mut wrong = postern.serve_by_clock(ahead).await;

        let mut disagreeing = Vec::new();
        for _ in 0..2 {
            let line = wrong.logged_json("clocks").await;
            disagreeing.push((line["store"].clone(), line["seconds_ahead"].as_i64().expect("a number")));
        }
        // ±10 s, for what a response takes on a busy machine.
        for (place, store) in ["users", "sessions"].into_iter().enumerate() {
            assert_eq!(disagreeing[place].0, store);
            assert!((disagreeing[place].1 - seconds_ahead).abs() <= 10, "{disagreeing:?}");
        }

        let (ada, grace) = (right.signed_up("ada@example.org").await, wrong.signed_up("grace@example.org").await);
        for (tokens, other) in [(&ada, &wrong), (&grace, &right)] {
            assert_eq!(profile_status(other, tokens).await, 200);
            let refreshed = other.api().refreshed(tokens).await;
            assert_eq!(
                (profile_status(&right, &refreshed).await, profile_status(&wrong, &refreshed).await),
                (200, 200)
            );
            other.api().log_out(tokens).send().await.expect(200);
            assert_eq!((profile_status(&right, tokens).await, profile_status(&wrong, tokens).await), (401, 401));
        }
    }
}

#[tokio::test]
async fn clock_jump_neither_ends_nor_revives_a_session() {
    let postern = Postern::new();
    let serving = postern.serve_by_clock("+0s").await;
    let ada = serving.signed_up("ada@example.org").await;
    let left = serving.signed_up("grace@example.org").await;
    serving.api().log_out(&left).send().await.expect(200);

    for (ahead, access) in [("+23h", 401), ("-1h", 200), ("+0s", 200)] {
        postern.set_clock(ahead);
        serving.api().refreshed(&ada).await;
        assert_eq!(profile_status(&serving, &ada).await, access, "{ahead}");
        serving.api().refresh(&left).send().await.expect(401);
        let log_in = json!({"email": "ada@example.org", "password": PASSWORD});
        serving.api().post("/token/", log_in).send().await.expect(200);
    }

    postern.set_clock("+25h");
    serving.api().refresh(&ada).send().await.expect(401);
    assert_eq!(serving.stopped().await.code, Some(0));
}
