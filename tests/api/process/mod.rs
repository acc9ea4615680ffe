//! The process: its command line, what it prints, how it ends, and what survives that.

mod audit;
mod backup;
mod clocks;
mod documents;
mod end;
mod flood;
mod injection;
mod keep;
mod keys;
mod leaks;
mod nginx;
mod operators;
mod rolling;
mod secrets;
mod settings;
mod start;
mod stores;
mod terminal;
mod tls;
mod users;

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub use crate::program::{Ended, LONG, Postern, Serving};
use crate::{
    asking::Asking,
    service::PASSWORD,
    support::{empty_schema, redis_url, variable},
};

impl Postern {
    /// With users in an empty schema of PostgreSQL and sessions in Redis.
    pub async fn on_servers() -> Self {
        let keys = "keys";
        Self::new()
            .with("DATABASE_URL", empty_schema().await)
            .with("REDIS_URL", redis_url())
            .with("POSTERN_KEYS_DIR", keys)
    }

    /// The same by TLS, with keys that are there.
    pub async fn on_servers_by_tls() -> Self {
        let database = format!("{}&sslmode=require", empty_schema().await);
        let redis = variable("POSTERN_TEST_REDIS_TLS_URL");
        let postern =
            Self::new().with("DATABASE_URL", database).with("REDIS_URL", redis).with("POSTERN_KEYS_DIR", "keys");
        assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
        postern
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// With something to read on standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(LONG, child.wait_with_output());
        Ended::of(&output.await.expect("it ends").expect("it started"))
    }
}

impl Serving {
    pub fn post(&self, path: &str, body: Value) -> Asking {
        Asking::new(self.public, "POST", path).json(body)
    }

    pub async fn sign_up(&self, email: &str) -> Value {
        let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
        self.post("/create-user/", body).send().await.expect(201)
    }

    /// The most memory that it has had.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// Signals it until it ends: exit code.
    pub async fn ended_under(mut self, signal: Signal) -> Option<i32> {
        let signalling = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("a status") {
                    return status.code();
                }
                self.signal(signal);
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, signalling).await.expect("it ends")
    }
}

/// A connection whose login the server has begun to read, up to a body of this length.
async fn unfinished_request(address: SocketAddr, body_bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    let head = format!(
        "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it takes the head");
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).await.expect("it asks for the body");
    stream
}
