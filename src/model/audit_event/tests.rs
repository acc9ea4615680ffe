use std::net::Ipv4Addr;

use super::*;

#[test]
fn names_of_event_kinds_do_not_change() {
    insta::assert_snapshot!(EventKind::ALL.map(EventKind::name).join(" "), @"sign_up login login_failed throttled password_failures refresh_token_reused refresh_token_theft session_store_rollback logout logout_repeated logout_everywhere session_ended sessions_displaced password_changed password_confirmation_failed profile_changed profile_exported account_deleted keys_changed server_started reauthenticated admin_user_created admin_user_changed admin_user_renamed admin_password_set admin_password_disabled admin_user_deactivated admin_user_activated admin_user_deleted admin_session_ended admin_sessions_ended admin_all_sessions_ended admin_users_exported admin_users_imported");
}

#[test]
fn event_kind_is_parsed_from_its_unique_name() {
    for kind in EventKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    assert!("Login".parse::<EventKind>().expect_err("no kind").starts_with("expected one of: sign_up, login, "));
}

#[test]
fn empty_user_agent_is_none() {
    let origin = |agent| AuditOrigin::request(&Client::new(Ipv4Addr::LOCALHOST.into(), agent), "1");

    assert_eq!(origin("curl\u{9b}").user_agent, Some(DisplayText::cleaned("curl\u{fffd}")));
    assert_eq!(origin("").user_agent, None);
}

#[test]
fn first_event_id_of_a_time_is_its_lowest() {
    let time = time::macros::datetime!(2027-01-15 12:00:00.123 UTC);

    let first = EventId::first_at(time);

    assert_eq!(first.0.get_version_num(), 7);
    let user = UserId::new(time);
    assert!(first.0 <= user.0, "{} {}", first.0, user.0);
    assert!(EventId::first_at(time + std::time::Duration::from_millis(1)).0 > user.0);
}
