//! What is counted of audit events: hourly statistics and last logins.

use std::time::Duration;

use postern::{
    model::{AuditEvent, EventKind, HourlyCount, Statistic, User, UserOrder, UserSummary},
    store::ImportDecision,
};
use time::{OffsetDateTime, macros::datetime};

use super::{
    directory::{START, event, first, login},
    suite::{DAY, Fixture},
};
use crate::{OpenImport as _, Sql as _, support::time};

impl Fixture {
    async fn statistics(&self) -> Vec<(OffsetDateTime, &'static str, u64)> {
        self.statistics_between(START - DAY, START + DAY).await
    }

    async fn statistics_between(
        &self,
        from: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Vec<(OffsetDateTime, &'static str, u64)> {
        let counts = self.stores.audit_reader.statistics(from, until, &time()).await.expect("a response");
        counts.into_iter().map(|HourlyCount { hour, statistic, events }| (hour, statistic.name(), events)).collect()
    }

    async fn append_all(&self, events: &[AuditEvent]) {
        self.stores.audit.append(events, &time()).await.expect("a response");
    }

    async fn last_login(&self, user: &User) -> Option<OffsetDateTime> {
        let found = self.stores.directory.summary(user.id, &time()).await.expect("a response");
        found.expect("a user").last_login
    }
}

/// Returns what the events of a kind count as.
fn counted(kind: EventKind) -> &'static [Statistic] {
    match kind {
        EventKind::SignUp => &[Statistic::SignUps, Statistic::SessionsOpened],
        EventKind::Login => &[Statistic::Logins, Statistic::SessionsOpened],
        EventKind::LoginFailed => &[Statistic::LoginFailures],
        EventKind::RefreshTokenTheft
        | EventKind::Logout
        | EventKind::LogoutEverywhere
        | EventKind::SessionEnded
        | EventKind::SessionsDisplaced
        | EventKind::PasswordChanged
        | EventKind::AccountDeleted
        | EventKind::AdminPasswordSet
        | EventKind::AdminPasswordDisabled
        | EventKind::AdminUserDeactivated
        | EventKind::AdminUserDeleted
        | EventKind::AdminSessionEnded
        | EventKind::AdminSessionsEnded => &[Statistic::SessionsEnded],
        // Nobody signed up, logged in or lost one session that can be counted.
        EventKind::Throttled
        | EventKind::PasswordFailures
        | EventKind::RefreshTokenReused
        | EventKind::SessionStoreRollback
        | EventKind::LogoutRepeated
        | EventKind::PasswordConfirmationFailed
        | EventKind::ProfileChanged
        | EventKind::ProfileExported
        | EventKind::KeysChanged
        | EventKind::ServerStarted
        | EventKind::Reauthenticated
        | EventKind::AdminUserCreated
        | EventKind::AdminUserChanged
        | EventKind::AdminUserRenamed
        | EventKind::AdminUserActivated
        | EventKind::AdminAllSessionsEnded
        | EventKind::AdminUsersExported
        | EventKind::AdminUsersImported => &[],
    }
}

#[tokio::test]
async fn each_kind_of_event_counts_as_defined() {
    let fixture = Fixture::empty().await;
    let hour = |number: usize| START + Duration::from_hours(number as u64);
    let events: Vec<_> =
        EventKind::ALL.into_iter().enumerate().map(|(number, kind)| event(kind, None, hour(number))).collect();
    fixture.append_all(&events).await;

    for (number, kind) in EventKind::ALL.into_iter().enumerate() {
        let found = fixture.statistics_between(hour(number), hour(number + 1)).await;
        let mut expected: Vec<_> = counted(kind).iter().map(|counted| (hour(number), counted.name(), 1)).collect();
        expected.sort();
        assert_eq!(found, expected, "{kind}");
    }
    for statistic in Statistic::ALL {
        assert!(EventKind::ALL.iter().any(|kind| counted(*kind).contains(&statistic)), "{statistic:?}");
    }
}

#[tokio::test]
async fn only_newly_inserted_events_count() {
    let fixture = Fixture::empty().await;
    let failed: Vec<_> =
        (0..5).map(|second| event(EventKind::LoginFailed, None, START + Duration::from_secs(second))).collect();

    fixture.append_all(&failed[..3]).await;
    fixture.append_all(&failed[..3]).await;
    fixture.append_all(&failed).await;

    assert_eq!(fixture.statistics().await, [(START, "login_failures", 5)]);
}

#[tokio::test]
async fn events_count_in_their_hour_of_utc() {
    let fixture = Fixture::empty().await;
    let times = [
        datetime!(2026-03-01 12:59:59.999 UTC),
        datetime!(2026-03-01 13:00 UTC),
        datetime!(2026-03-01 19:15 +5:45),
        datetime!(2026-03-01 14:00 UTC),
    ];
    fixture.append_all(&times.map(|at| event(EventKind::LoginFailed, None, at))).await;
    let of_hour = |hour: u64, events| (START + Duration::from_hours(hour), "login_failures", events);

    assert_eq!(fixture.statistics().await, [of_hour(0, 1), of_hour(1, 2), of_hour(2, 1)]);
    let second = Duration::from_secs(1);
    let (from, until) = (START + Duration::from_hours(1), START + Duration::from_hours(2));
    assert_eq!(fixture.statistics_between(from, until).await, [of_hour(1, 2)]);
    assert_eq!(fixture.statistics_between(from + second, until + second).await, [of_hour(2, 1)]);
    assert_eq!(fixture.statistics_between(until, from).await, []);
    let ever = (datetime!(-9999-01-01 0:00 UTC), datetime!(9999-12-31 23:59:59.999_999_999 UTC));
    assert_eq!(fixture.statistics_between(ever.0, ever.1).await.len(), 3);
}

#[tokio::test]
async fn statistics_of_a_newer_version_are_left_out() {
    let fixture = Fixture::empty().await;
    fixture.append_all(&[event(EventKind::LoginFailed, None, START)]).await;
    let newer =
        "INSERT INTO hourly_statistics (hour, statistic, events) SELECT hour, 'newer', 1 FROM hourly_statistics";
    fixture.backend.sql(newer).await.expect("a row");

    assert_eq!(fixture.statistics().await, [(START, "login_failures", 1)]);
}

#[tokio::test]
async fn last_login_is_written_at_most_once_a_minute() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let at = |seconds| START + Duration::from_secs(seconds);
    assert_eq!(fixture.last_login(&user).await, None);

    for (second, expected) in [(0, 0), (59, 0), (60, 60), (100, 60), (3600, 3600), (30, 3600)] {
        fixture.append_all(&[login(&user, at(second))]).await;
        assert_eq!(fixture.last_login(&user).await, Some(at(expected)), "{second}");
    }
}

#[tokio::test]
async fn sign_ups_and_logins_are_the_events_of_last_logins() {
    for kind in EventKind::ALL {
        let fixture = Fixture::empty().await;
        let user = fixture.inserted("ada@example.org").await;

        fixture.append_all(&[event(kind, Some(user.id), START)]).await;

        let is_login = matches!(kind, EventKind::SignUp | EventKind::Login);
        assert_eq!(fixture.last_login(&user).await, is_login.then_some(START), "{kind}");
    }
}

#[tokio::test]
async fn imported_users_are_found_by_their_names() {
    let fixture = Fixture::empty().await;
    let user = User { name: "Grace Murray-Hopper".parse().expect("a name"), ..fixture.user("grace@example.org") };
    let mut import = fixture.backend.open_import().await;
    let staged = postern::store::StagedUser {
        row: 1,
        old_id: "1".to_owned(),
        user: user.clone(),
        recipe: None,
        decision: ImportDecision::Insert,
        remark: None,
    };
    import.stage(vec![staged]).await.expect("staged");
    import.decide().await.expect("decided");
    import.merge().await.expect("merged");
    import.finish().await.expect("finished");

    let page = fixture.page(&first(UserOrder::WordPrefix("hop".to_owned()))).await;

    assert_eq!(page.users, [UserSummary::of(&user, None)]);
}
