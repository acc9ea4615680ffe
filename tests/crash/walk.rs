//! Walks a use case through every moment at which it can be broken off.

use crate::{api::Api, places::Place, program::LONG, use_cases::UseCase};

/// As many moments as a logout has, which asks Redis one thing: where a walk ends earlier, nothing was broken off.
pub const FEWEST: usize = 2;

/// Has the process killed at the first moment of the request, at the second, and so on, until the request has no such
/// moment any more and is answered. Each time, another process takes the place over and finds what must be there. (What the
/// audit trail writes comes a second later, so that it is not among the moments.)
pub async fn every_kill<U: UseCase>(place: impl Place) {
    let mut broken_off = None;
    for moment in 1.. {
        let mut serving = place.serve().await;
        let api = Api(serving.public);
        if let Some(use_case) = broken_off.take() {
            U::check(use_case, api, None).await;
        }
        let use_case = U::prepared(api, &format!("ada{moment}@example.org")).await;

        place.strike_at(moment);
        let answering = async {
            match use_case.request(api).try_send().await {
                Some(answer) => answer,
                // The process is gone: that it was struck is what is waited for.
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            biased;
            () = place.struck(&mut serving) => None,
            answer = answering => Some(answer),
            () = tokio::time::sleep(LONG) => panic!("neither an answer nor a strike at moment {moment}"),
        };
        let Some(answer) = answer else {
            place.rest();
            broken_off = Some(use_case);
            continue;
        };
        serving.killed().await;
        place.rest();
        assert!(moment > FEWEST, "nothing was ever struck");
        let acknowledged = answer.expect(U::SUCCESS);
        use_case.check(Api(place.serve().await.public), Some(acknowledged)).await;
        return;
    }
}
