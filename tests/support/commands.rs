//! Commands that run to their end, and servers that meet a sudden one.

use std::process::Output;

use rustix::process::Signal;

use crate::program::{Ended, LONG, Postern, Serving};

impl Postern {
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let output = tokio::time::timeout(LONG, self.command(arguments).output());
        Ended::of(&output.await.expect("it ends").expect("it starts"))
    }
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Serving {
    /// Ends it without a chance to tidy up.
    pub async fn killed(self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }
}
