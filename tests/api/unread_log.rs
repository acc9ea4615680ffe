//! A panic while nobody reads the log.

use std::{
    env,
    io::{Write as _, pipe},
    process::Stdio,
};

use postern::logging::{self, LogFormat};
use rustix::fs::{OFlags, fcntl_setfl};
use tokio::process::Command;
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Embedded, Fault, LONG, Service, within};

/// Runs the next test in a process of its own, because a process has one standard error.
#[tokio::test]
async fn panic_while_nobody_reads_the_log_is_one_500() {
    let (_reader, mut stderr) = pipe().expect("a pipe");
    fcntl_setfl(&stderr, OFlags::NONBLOCK).expect("a flag");
    while stderr.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(&stderr, OFlags::empty()).expect("a flag");
    let mut command = Command::new(env::current_exe().expect("a path"));
    command.args(["--exact", "unread_log::panic_is_one_500_in_a_process_with_a_log", "--ignored", "--nocapture"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);

    let child = command.spawn().expect("it starts");
    let output = within(LONG, "the process ends", child.wait_with_output()).await.expect("a status");

    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn panic_is_one_500_in_a_process_with_a_log() {
    logging::open().expect("a thread");
    logging::report_panics();
    logging::start(LevelFilter::INFO, LogFormat::Json);
    let service = Service::<Embedded>::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.counting.set_fault(Fault::Panic);
    ada.profile().await.expect(500);

    service.counting.set_fault(Fault::None);
    ada.expect_valid().await;
}
