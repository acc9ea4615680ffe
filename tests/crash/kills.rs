//! `kill -9` at every point of a use case: another process finds a state that docs/sessions.md describes.

use super::Here;
use crate::crash_points::every_kill;
use crate::targets::CrashTarget as _;
use crate::use_cases::Login;
use crate::use_cases::Logout;
use crate::use_cases::PasswordAndSessionsChange;
use crate::use_cases::PasswordChange;
use crate::use_cases::Refresh;
use crate::use_cases::SignUp;

#[tokio::test]
async fn killed_sign_up_leaves_a_whole_account_or_none() {
    every_kill::<SignUp>(Here::new().await).await;
}

#[tokio::test]
async fn killed_login_leaves_earlier_sessions_valid() {
    every_kill::<Login>(Here::new().await).await;
}

#[tokio::test]
async fn killed_refresh_ends_no_session() {
    every_kill::<Refresh>(Here::new().await).await;
}

#[tokio::test]
async fn killed_logout_ends_the_session_or_leaves_it_valid() {
    every_kill::<Logout>(Here::new().await).await;
}

#[tokio::test]
async fn killed_password_change_leaves_one_password_and_its_sessions() {
    every_kill::<PasswordChange>(Here::new().await).await;
}

#[tokio::test]
async fn killed_change_of_all_sessions_leaves_one_password() {
    every_kill::<PasswordAndSessionsChange>(Here::new().await).await;
}
