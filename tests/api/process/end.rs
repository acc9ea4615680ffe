//! Signals, and the end.

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{Postern, unfinished_request};
use crate::asking::Asking;

#[tokio::test]
async fn term_and_int_end_it_once_it_has_drained() {
    for signal in [Signal::TERM, Signal::INT] {
        let postern = Postern::new();
        let serving = postern.serve().await;

        serving.signal(signal);

        assert_eq!(serving.ended().await.code, Some(0));
    }
}

#[tokio::test]
async fn it_serves_until_a_signal_whatever_it_logs() {
    for level in ["off", "error", "warn", "debug"] {
        let postern = Postern::new().with("POSTERN_LOG", level);
        let serving = postern.serve().await;
        serving.sign_up("ada@example.org").await;

        assert_eq!(serving.stopped().await.code, Some(0), "{level}");
    }
}

#[tokio::test]
async fn a_signal_that_comes_twice_at_once_is_one() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);
    serving.signal(Signal::TERM);
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}
    drop(unfinished);

    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);

    // At some time it is not the echo of the first one any more.
    assert_eq!(serving.ended_under(Signal::INT).await, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_cut_off() {
    let postern = Postern::new().with("POSTERN_SHUTDOWN_GRACE", "100ms");
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);

    assert_eq!(serving.ended().await.code, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn it_is_not_ready_while_it_drains_and_still_serves() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let mut serving = postern.serve().await;
    Asking::operations(serving.operations, "/readyz").send().await.expect(200);

    serving.signal(Signal::TERM);
    let mut line = String::new();
    BufReader::new(&mut serving.stderr).read_line(&mut line).await.expect("a line");
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}

    Asking::operations(serving.operations, "/readyz").send().await.expect(503);
    serving.sign_up("ada@example.org").await;
}

#[tokio::test]
async fn probes_are_answered_until_the_last_request_is() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}

    Asking::operations(serving.operations, "/readyz").send().await.expect(503);
    Asking::operations(serving.operations, "/livez").send().await.expect(200);
    drop(unfinished);
    assert_eq!(serving.ended().await.code, Some(0));
}
