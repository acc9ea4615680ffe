//! Breaks a use case off at every point.

use crate::support::{Api, LONG};
use crate::targets::CrashTarget;
use crate::use_cases::UseCase;

/// The points of a logout, which asks Redis one thing: with fewer, nothing was broken off.
pub const FEWEST: usize = 2;

/// Kills the process at the first point of the request, at the second, and so on, until the request has no such point
/// any more and is answered. Each time, another process starts on the same stores and finds what must be there. (The
/// audit trail is written a second later, so that it is not among the points.)
pub async fn every_kill<U: UseCase>(target: impl CrashTarget) {
    let mut broken_off = None;
    for point in 1.. {
        let mut serving = target.serve().await;
        let api = serving.api();
        if let Some(use_case) = broken_off.take() {
            U::check(use_case, api, None).await;
        }
        let use_case = U::prepared(api, &format!("ada{point}@example.org")).await;

        target.arm(point);
        let answering = async {
            match use_case.request(api).try_send().await {
                Some(response) => response,
                // The process is gone, which the other branch notices.
                None => std::future::pending().await,
            }
        };
        let response = tokio::select! {
            biased;
            () = target.killed(&mut serving) => None,
            response = answering => Some(response),
            () = tokio::time::sleep(LONG) => panic!("neither a response nor a kill at point {point}"),
        };
        let Some(response) = response else {
            target.disarm();
            broken_off = Some(use_case);
            continue;
        };
        serving.killed().await;
        target.disarm();
        assert!(point > FEWEST, "no process was ever killed");
        let acknowledged = response.expect(U::SUCCESS);
        use_case.check(Api(target.serve().await.public), Some(acknowledged)).await;
        return;
    }
}
