//! `kill -9` at every moment of a use case: what API.md describes is what another process finds.

use super::Here;
use crate::crash_points::every_kill;
use crate::targets::CrashTarget as _;
use crate::use_cases::Login;
use crate::use_cases::Logout;
use crate::use_cases::PasswordChange;
use crate::use_cases::Refresh;
use crate::use_cases::SignUp;

#[tokio::test]
async fn a_sign_up_that_is_killed_leaves_a_whole_account_or_none() {
    every_kill::<SignUp>(Here::new().await).await;
}

#[tokio::test]
async fn a_login_that_is_killed_leaves_earlier_sessions_as_they_are() {
    every_kill::<Login>(Here::new().await).await;
}

#[tokio::test]
async fn a_refresh_that_is_killed_signs_nobody_out() {
    every_kill::<Refresh>(Here::new().await).await;
}

#[tokio::test]
async fn a_logout_that_is_killed_has_ended_the_session_or_not_and_once_answered_it_has() {
    every_kill::<Logout>(Here::new().await).await;
}

#[tokio::test]
async fn a_password_change_that_is_killed_leaves_one_password_and_the_sessions_that_go_with_it() {
    every_kill::<PasswordChange>(Here::new().await).await;
}
