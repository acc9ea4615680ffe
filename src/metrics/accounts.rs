//! Metrics of the use cases.

use prometheus::{IntCounter, IntCounterVec};

use super::families;
use super::instruments::Registrar;
use super::outcomes::Outcomes;

/// Metrics of the use cases.
#[derive(Debug, Clone)]
pub struct AccountMetrics {
    /// Sign-ups.
    pub sign_ups: Outcomes,
    /// Logins.
    pub logins: Outcomes,
    /// Refreshes.
    pub refreshes: Outcomes,
    /// Password changes.
    pub password_changes: Outcomes,
    /// Exports of a user's own data.
    pub exports: Outcomes,
    refresh_tokens: IntCounterVec,
    /// Successful responses of `/verify/` without the session store.
    pub identified_without_session: IntCounter,
    /// Sessions opened by a sign-up.
    pub opened_by_sign_up: IntCounter,
    /// Sessions opened by a login.
    pub opened_by_login: IntCounter,
    /// Sessions opened by a password change that ended all others.
    pub opened_by_password_change: IntCounter,
    /// Sessions ended by a logout.
    pub ended_by_logout: IntCounter,
    /// Sessions that the user ended in the list of sessions.
    pub ended_by_user: IntCounter,
    /// Sessions ended by a logout everywhere.
    pub ended_by_logout_everywhere: IntCounter,
    /// Sessions ended by a password change.
    pub ended_by_password_change: IntCounter,
    /// Sessions ended by the deletion of the user's account.
    pub ended_by_account_deletion: IntCounter,
    /// Sessions ended because the user had too many.
    pub ended_by_session_limit: IntCounter,
    /// Sessions ended because the reuse of a refresh token was detected.
    pub ended_by_reuse: IntCounter,
}

impl AccountMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let opened = make.counter(&families::SESSIONS_OPENED);
        let ended = make.counter(&families::SESSIONS_ENDED);
        Self {
            sign_ups: Outcomes::new(make, &families::SIGN_UPS),
            logins: Outcomes::new(make, &families::LOGINS),
            refreshes: Outcomes::new(make, &families::REFRESHES),
            password_changes: Outcomes::new(make, &families::PASSWORD_CHANGES),
            exports: Outcomes::new(make, &families::EXPORTS),
            refresh_tokens: make.counter(&families::REFRESH_TOKENS),
            identified_without_session: make.counter(&families::DEGRADED_VERIFICATIONS).with_label_values::<&str>(&[]),
            opened_by_sign_up: opened.with_label_values(&["sign_up"]),
            opened_by_login: opened.with_label_values(&["login"]),
            opened_by_password_change: opened.with_label_values(&["password_change"]),
            ended_by_logout: ended.with_label_values(&["logout"]),
            ended_by_user: ended.with_label_values(&["ended_by_user"]),
            ended_by_logout_everywhere: ended.with_label_values(&["logout_everywhere"]),
            ended_by_password_change: ended.with_label_values(&["password_change"]),
            ended_by_account_deletion: ended.with_label_values(&["account_deletion"]),
            ended_by_session_limit: ended.with_label_values(&["too_many"]),
            ended_by_reuse: ended.with_label_values(&["reuse"]),
        }
    }

    /// Counts a refresh token that was presented to a valid session, by its outcome.
    pub fn count_refresh_token(&self, outcome: &'static str) {
        self.refresh_tokens.with_label_values(&[outcome]).inc();
    }
}
