//! A connection to PostgreSQL or Redis breaks at every point of a use case: it is answered all the same, and what was
//! not acknowledged may or may not have happened.

use crate::crash_points::FEWEST;
use crate::targets::CrashTarget as _;
use crate::targets::Servers;
use crate::use_cases::Login;
use crate::use_cases::Logout;
use crate::use_cases::PasswordAndSessionsChange;
use crate::use_cases::PasswordChange;
use crate::use_cases::Refresh;
use crate::use_cases::SignUp;
use crate::use_cases::UseCase;

/// Breaks a connection at the first point of the request, at the second, and so on, until the request has no such point
/// any more.
async fn every_cut<U: UseCase>() {
    let servers = Servers::new().await;
    let serving = servers.serve().await;
    let api = serving.api();
    for point in 1.. {
        let use_case = U::prepared(api, &format!("ada{point}@example.org")).await;

        servers.gate.cut_at(point);
        let response = use_case.request(api).send().await;
        let is_cut = servers.gate.is_reached();
        servers.disarm();

        let acknowledged = if response.status == U::SUCCESS {
            Some(response.json())
        } else {
            response.expect_problem(503, "unavailable");
            None
        };
        use_case.check(api, acknowledged).await;
        if !is_cut {
            assert!(point > FEWEST, "nothing was ever cut");
            return;
        }
    }
}

#[tokio::test]
async fn interrupted_sign_up_leaves_a_whole_account_or_none() {
    every_cut::<SignUp>().await;
}

#[tokio::test]
async fn interrupted_login_leaves_earlier_sessions_valid() {
    every_cut::<Login>().await;
}

#[tokio::test]
async fn interrupted_refresh_ends_no_session() {
    every_cut::<Refresh>().await;
}

#[tokio::test]
async fn interrupted_logout_ends_the_session_or_leaves_it_valid() {
    every_cut::<Logout>().await;
}

#[tokio::test]
async fn interrupted_password_change_leaves_one_password() {
    every_cut::<PasswordChange>().await;
}

#[tokio::test]
async fn interrupted_change_of_all_sessions_leaves_one_password() {
    every_cut::<PasswordAndSessionsChange>().await;
}
