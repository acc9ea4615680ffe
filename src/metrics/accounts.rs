//! Metrics of the use cases.

use prometheus::{IntCounter, IntCounterVec};

use super::families;
use super::instruments::{Outcomes, Registrar};

/// The use cases.
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
    refresh_tokens: IntCounterVec,
    /// Answers of `/verify/` that the session store had no part in.
    pub identified_without_session: IntCounter,
    /// Sessions opened by a sign-up.
    pub opened_by_sign_up: IntCounter,
    /// Sessions opened by a login.
    pub opened_by_login: IntCounter,
    /// Sessions ended by a logout.
    pub ended_by_logout: IntCounter,
    /// Sessions that their user has picked out.
    pub ended_by_user: IntCounter,
    /// Sessions ended by a logout everywhere.
    pub ended_by_logout_everywhere: IntCounter,
    /// Sessions ended by a password change.
    pub ended_by_password_change: IntCounter,
    /// Sessions ended by the deletion of their user's account.
    pub ended_by_account_deletion: IntCounter,
    /// Sessions ended because their user had too many.
    pub ended_as_too_many: IntCounter,
    /// Sessions ended because two had the same refresh token.
    pub ended_by_theft: IntCounter,
}

impl AccountMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let opened = make.counter(&families::SESSIONS_OPENED);
        let ended = make.counter(&families::SESSIONS_ENDED);
        Self {
            sign_ups: Outcomes(make.counter(&families::SIGN_UPS)),
            logins: Outcomes(make.counter(&families::LOGINS)),
            refreshes: Outcomes(make.counter(&families::REFRESHES)),
            password_changes: Outcomes(make.counter(&families::PASSWORD_CHANGES)),
            identified_without_session: make.counter(&families::DEGRADED_VERIFICATIONS).with_label_values::<&str>(&[]),
            opened_by_sign_up: opened.with_label_values(&["sign_up"]),
            opened_by_login: opened.with_label_values(&["login"]),
            refresh_tokens: make.counter(&families::REFRESH_TOKENS),
            ended_by_logout: ended.with_label_values(&["logout"]),
            ended_by_user: ended.with_label_values(&["ended_by_user"]),
            ended_by_logout_everywhere: ended.with_label_values(&["logout_everywhere"]),
            ended_by_password_change: ended.with_label_values(&["password_change"]),
            ended_by_account_deletion: ended.with_label_values(&["account_deletion"]),
            ended_as_too_many: ended.with_label_values(&["too_many"]),
            ended_by_theft: ended.with_label_values(&["reuse"]),
        }
    }

    /// A session in force was presented with a refresh token: what became of it.
    pub fn presented(&self, presentation: &'static str) {
        self.refresh_tokens.with_label_values(&[presentation]).inc();
    }
}
