//! A server that runs: its APIs, its log, and its end.

use std::str::FromStr;

use rustix::process::Signal;
use serde_json::Value;
use tokio::{io::AsyncBufReadExt as _, net::TcpStream};

use super::{Api, LONG, RequestBuilder, Serving, Tokens, eventually, eventually_some, sample, send_head, within};

impl Serving {
    pub fn api(&self) -> Api {
        Api(self.public)
    }

    pub async fn signed_up(&self, email: &str) -> Tokens {
        self.api().signed_up(email).await
    }

    /// Builds a request to the operations listener.
    pub fn probe(&self, path: &str) -> RequestBuilder {
        RequestBuilder::operations(self.operations, path)
    }

    /// Waits until `/readyz` says that it is ready.
    pub async fn ready(&self) {
        eventually(LONG, "the server is ready", async || self.probe("/readyz").send().await.status == 200).await;
    }

    /// Waits until `/readyz` says that it is not ready.
    pub async fn unready(&self) {
        eventually(LONG, "the server is not ready", async || self.probe("/readyz").send().await.status != 200).await;
    }

    /// Returns all metrics.
    pub async fn metrics(&self) -> String {
        let response = self.probe("/metrics").send().await;
        assert_eq!(response.status, 200);
        String::from_utf8(response.body.to_vec()).expect("UTF-8")
    }

    /// Returns a sample of the metrics, by its name and labels.
    pub async fn metric<T: FromStr>(&self, name: &str) -> T {
        sample(&self.metrics().await, name)
    }

    /// Waits for a line of the log that contains this, and returns it. Earlier lines are dropped.
    pub async fn logged(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let mut line = String::new();
                let bytes = self.log.read_line(&mut line).await.expect("a line");
                assert_ne!(bytes, 0, "the log ends without {text:?}");
                if line.contains(text) {
                    return line;
                }
            }
        };
        within(LONG, &format!("a line of the log with {text:?}"), reading).await
    }

    /// Waits for a line of a log in JSON whose message contains this.
    pub async fn logged_json(&mut self, message: &str) -> Value {
        let reading = async {
            loop {
                let line: Value = serde_json::from_str(&self.logged("").await).expect("JSON");
                if line["message"].as_str().is_some_and(|text| text.contains(message)) {
                    return line;
                }
            }
        };
        within(LONG, &format!("a line of the log with {message:?}"), reading).await
    }

    /// Opens a connection on which the server waits for the body of a login, of this length.
    pub async fn unfinished_login(&self, body_bytes: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.public).await.expect("it accepts");
        send_head(&mut stream, "/token/", "", body_bytes).await;
        stream
    }

    /// Returns a value of `/proc/PID/status`, in bytes.
    pub fn memory_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        value.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number of kibibytes") * 1024
    }

    /// Returns its peak memory.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// Kills it, without a chance to tidy up.
    pub async fn killed(self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Signals it until it ends, and returns the exit code.
    pub async fn ended_under(mut self, signal: Signal) -> Option<i32> {
        eventually_some(LONG, "the server ends", async || {
            let status = self.child.try_wait().expect("a status");
            if status.is_none() {
                self.signal(signal);
            }
            status
        })
        .await
        .code()
    }
}
