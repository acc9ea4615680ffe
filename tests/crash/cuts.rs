//! Connections to PostgreSQL and Redis that break at every moment of a use case: it is answered all the same, and what was
//! not acknowledged may or may not have happened.

use crate::{
    api::Api,
    places::{Place as _, Servers},
    use_cases::{Login, Logout, PasswordChange, Refresh, SignUp, UseCase},
    walk::FEWEST,
};

/// Has a connection break at the first moment of the request, at the second, and so on, until the request has no such
/// moment any more.
async fn every_cut<U: UseCase>() {
    let servers = Servers::new().await;
    let serving = servers.serve().await;
    let api = Api(serving.public);
    for moment in 1.. {
        let use_case = U::prepared(api, &format!("ada{moment}@example.org")).await;

        servers.toll.cut_at(moment);
        let answer = use_case.request(api).send().await;
        let is_cut = servers.toll.is_reached();
        servers.rest();

        let acknowledged = if answer.status == U::SUCCESS {
            Some(answer.json())
        } else {
            answer.expect_problem(503, "unavailable");
            None
        };
        use_case.check(api, acknowledged).await;
        if !is_cut {
            assert!(moment > FEWEST, "nothing was ever cut");
            return;
        }
    }
}

#[tokio::test]
async fn a_sign_up_that_is_cut_off_leaves_a_whole_account_or_none() {
    every_cut::<SignUp>().await;
}

#[tokio::test]
async fn a_login_that_is_cut_off_leaves_earlier_sessions_as_they_are() {
    every_cut::<Login>().await;
}

#[tokio::test]
async fn a_refresh_that_is_cut_off_signs_nobody_out() {
    every_cut::<Refresh>().await;
}

#[tokio::test]
async fn a_logout_that_is_cut_off_has_ended_the_session_or_not_and_once_answered_it_has() {
    every_cut::<Logout>().await;
}

#[tokio::test]
async fn a_password_change_that_is_cut_off_leaves_one_password_and_the_sessions_that_go_with_it() {
    every_cut::<PasswordChange>().await;
}
