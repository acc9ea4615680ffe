//! Clocks that are wrong: a server's by libfaketime, which moves the time of day and leaves durations alone.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use super::{Postern, Serving};
use crate::{asking::Asking, service::PASSWORD};

impl Postern {
    /// Serves with a clock that goes by the file `clock` in its directory, which may be written anew at any time.
    async fn serve_by_clock(&self, ahead: &str) -> Serving {
        self.set_clock(ahead);
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", library().display()));
        command.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.path("clock").display()));
        command.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]);
        command.args([env!("CARGO_BIN_EXE_postern"), "serve"]);
        self.serve_by(command).await
    }

    /// Moves that clock: `+61s` is ahead of the right time.
    fn set_clock(&self, ahead: &str) {
        let (clock, new) = (self.path("clock"), self.path("clock.new"));
        fs::write(&new, ahead).expect("ours");
        fs::rename(new, clock).expect("ours");
    }
}

/// Debian's libfaketime, which is for each architecture in a directory of its own.
fn library() -> PathBuf {
    let architectures = fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let mut libraries = architectures.map(|directory| directory.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists()).expect("libfaketime is installed: scripts/test does so")
}

impl Serving {
    async fn profile_status(&self, tokens: &Value) -> u16 {
        let bearer = tokens["access"].as_str().expect("a token");
        Asking::new(self.public, "GET", "/profile/").bearer(bearer).send().await.status
    }

    async fn refreshed(&self, tokens: &Value) -> Value {
        self.post("/refresh/", json!({"refresh": tokens["refresh"]})).send().await.expect(200)
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_a_minute_off_says_so_and_serves_beside_others() {
    for (ahead, seconds_ahead) in [("+61s", -61), ("-61s", 61)] {
        let postern = Postern::on_servers().await;
        assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
        assert_eq!(postern.run(&["migrate"]).await.code, Some(0));
        let right = postern.serve().await;
        let mut wrong = postern.serve_by_clock(ahead).await;

        let mut log = BufReader::new(&mut wrong.stderr).lines();
        let mut disagreeing = Vec::new();
        while disagreeing.len() < 2 {
            let line: Value =
                serde_json::from_str(&log.next_line().await.expect("a line").expect("a line")).expect("JSON");
            if line["message"].as_str().expect("a text").contains("clocks") {
                disagreeing.push((line["store"].clone(), line["seconds_ahead"].as_i64().expect("a number")));
            }
        }
        // Give or take what an answer took.
        for (place, store) in ["users", "sessions"].into_iter().enumerate() {
            assert_eq!(disagreeing[place].0, store);
            assert!((disagreeing[place].1 - seconds_ahead).abs() <= 2, "{disagreeing:?}");
        }

        let (ada, grace) = (right.sign_up("ada@example.org").await, wrong.sign_up("grace@example.org").await);
        for (tokens, other) in [(&ada, &wrong), (&grace, &right)] {
            assert_eq!(other.profile_status(tokens).await, 200);
            let refreshed = other.refreshed(tokens).await;
            assert_eq!((right.profile_status(&refreshed).await, wrong.profile_status(&refreshed).await), (200, 200));
            other.post("/logout/", json!({"refresh": tokens["refresh"]})).send().await.expect(200);
            assert_eq!((right.profile_status(tokens).await, wrong.profile_status(tokens).await), (401, 401));
        }
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ends_no_session_before_its_end_and_revives_none() {
    let postern = Postern::new();
    let serving = postern.serve_by_clock("+0s").await;
    let ada = serving.sign_up("ada@example.org").await;
    let left = serving.sign_up("grace@example.org").await;
    serving.post("/logout/", json!({"refresh": left["refresh"]})).send().await.expect(200);

    for (ahead, access) in [("+23h", 401), ("-1h", 200), ("+0s", 200)] {
        postern.set_clock(ahead);
        serving.refreshed(&ada).await;
        assert_eq!(serving.profile_status(&ada).await, access, "{ahead}");
        serving.post("/refresh/", json!({"refresh": left["refresh"]})).send().await.expect(401);
        let log_in = json!({"email": "ada@example.org", "password": PASSWORD});
        serving.post("/token/", log_in).send().await.expect(200);
    }

    postern.set_clock("+25h");
    serving.post("/refresh/", json!({"refresh": ada["refresh"]})).send().await.expect(401);
    assert_eq!(serving.stopped().await.code, Some(0));
}
