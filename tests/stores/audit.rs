//! The contract of audit stores.

use std::{net::IpAddr, time::Duration};

use postern::{
    clock::{Clock as _, whole_milliseconds},
    model::{AuditEvent, AuditOrigin, AuditSubject, Client, EventId, EventKind, EventQuery, SessionId, UserId},
    store::StoreError,
};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use super::suite::{DAY, Fixture};
use crate::Sql as _;
use crate::support::time;

pub fn event(kind: EventKind, at: OffsetDateTime, subject: AuditSubject) -> AuditEvent {
    let at = whole_milliseconds(at);
    let seconds = u64::try_from(at.unix_timestamp()).expect("a time after 1970");
    let id = EventId(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond())));
    AuditEvent { id, at, kind, subject, origin: AuditOrigin::server() }
}

/// Returns one event of each kind, a second apart, each about another user.
fn one_of_each(end: OffsetDateTime) -> Vec<AuditEvent> {
    let count = u32::try_from(EventKind::ALL.len()).expect("few");
    let ages = (0..count).rev().map(|age| Duration::from_secs(age.into()));
    let some = |(kind, age)| event(kind, end - age, AuditSubject::from(Some(UserId::new(end))));
    EventKind::ALL.into_iter().zip(ages).map(some).collect()
}

impl Fixture {
    async fn append(&self, events: &[AuditEvent]) {
        self.stores.audit.append(events, &time()).await.expect("a response");
    }

    async fn events(&self, query: EventQuery) -> Vec<AuditEvent> {
        let query = EventQuery { limit: query.limit.max(1000), ..query };
        self.stores.audit.list(&query, &time()).await.expect("a response")
    }

    async fn all(&self) -> Vec<AuditEvent> {
        self.events(EventQuery::default()).await
    }
}

#[tokio::test]
async fn event_is_stored_with_all_of_its_fields() {
    let fixture = Fixture::empty().await;
    let subject = AuditSubject::from((UserId::new(fixture.clock.now()), SessionId::random()));
    let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let by_request = AuditEvent {
        origin: AuditOrigin::request(&Client::new(address, "curl/8 \"ë\"\n\u{0}'; DROP TABLE users"), "a-request"),
        ..event(EventKind::Login, fixture.clock.now(), subject)
    };
    let by_server =
        event(EventKind::KeysChanged, fixture.clock.now() + DAY, AuditSubject::default().with_detail("keys: none"));

    fixture.append(&[by_request.clone(), by_server.clone()]).await;

    assert_eq!(fixture.all().await, [by_server, by_request]);
    fixture.append(&[]).await;
    assert_eq!(
        fixture
            .second()
            .await
            .audit
            .list(&EventQuery { limit: 1, ..EventQuery::default() }, &time())
            .await
            .map(|events| events.len()),
        Ok(1)
    );
}

#[tokio::test]
async fn repeated_append_adds_only_missing_events() {
    let fixture = Fixture::empty().await;
    let mut events = one_of_each(fixture.clock.now());
    fixture.append(&events[..10]).await;

    fixture.append(&events).await;
    fixture.append(&events).await;

    events.reverse();
    assert_eq!(fixture.all().await, events);
}

#[tokio::test]
async fn events_are_found_by_user_kind_and_time() {
    let fixture = Fixture::empty().await;
    let events = one_of_each(fixture.clock.now());
    fixture.append(&events).await;
    let [first, .., last] = &events[..] else { panic!("{events:?}") };

    let by_user = EventQuery { user: last.subject.user, ..EventQuery::default() };
    assert_eq!(fixture.events(by_user).await.iter().collect::<Vec<_>>(), [last]);
    let by_kind = EventQuery { kind: Some(EventKind::SignUp), ..EventQuery::default() };
    assert_eq!(fixture.events(by_kind).await.iter().collect::<Vec<_>>(), [first]);
    let by_time = EventQuery { since: Some(last.at - Duration::from_secs(4)), ..EventQuery::default() };
    assert_eq!(fixture.events(by_time).await.len(), 5);
}

#[tokio::test]
async fn old_events_are_pruned_oldest_first_up_to_the_limit() {
    let fixture = Fixture::empty().await;
    let (old, new) = (one_of_each(fixture.clock.now() - 2 * DAY), one_of_each(fixture.clock.now()));
    fixture.append(&new).await;
    fixture.append(&old).await;
    let prune = async |limit| {
        let before = EventId::first_at(fixture.clock.now() - DAY);
        fixture.stores.audit.prune(before, limit, &time()).await
    };

    assert_eq!(prune(20).await, Ok(20));
    let left = fixture.all().await;
    assert_eq!((left.len(), left.last()), (new.len() + old.len() - 20, old.get(20)));

    assert_eq!(prune(20).await, Ok(old.len() as u64 - 20));
    assert_eq!(prune(20).await, Ok(0));
    assert!(fixture.all().await.iter().rev().eq(&new));
}

#[tokio::test]
async fn event_is_immutable_and_kept_until_it_is_old() {
    let fixture = Fixture::empty().await;
    let mut events = one_of_each(fixture.clock.now() - DAY);
    events.extend(one_of_each(fixture.clock.now()));
    fixture.append(&events).await;

    for change in ["UPDATE audit_events SET event = 'login'", "DELETE FROM audit_events"] {
        let error = fixture.backend.sql(change).await.expect_err(change);
        assert!(error.contains("audit events are appended"), "{error}");
    }
    let before = EventId::first_at(fixture.clock.now() + DAY);
    let outcome = fixture.stores.audit.prune(before, 1000, &time()).await;
    assert!(matches!(outcome, Err(StoreError::Rejected { .. })), "{outcome:?}");

    events.reverse();
    assert_eq!(fixture.all().await, events);
}

#[tokio::test]
async fn events_of_a_user_are_read_by_pages() {
    let fixture = Fixture::empty().await;
    let [ada, grace] = [1, 2].map(|_| UserId::new(fixture.clock.now()));
    let about = |user, age: u64| {
        event(EventKind::Login, fixture.clock.now() - Duration::from_secs(age), AuditSubject::from(Some(user)))
    };
    let of_ada: Vec<_> = (1..=5).map(|age| about(ada, age)).collect();
    let others = [about(grace, 3), event(EventKind::ServerStarted, fixture.clock.now(), AuditSubject::default())];
    fixture.append(&[&of_ada[..], &others[..]].concat()).await;
    let page =
        async |before, limit| fixture.stores.audit.of_user(ada, before, limit, &time()).await.expect("a response");

    assert_eq!(page(None, 2).await, of_ada[..2]);
    assert_eq!(page(Some(of_ada[1].id), 10).await, of_ada[2..]);
    assert_eq!(page(Some(of_ada[4].id), 10).await, []);
}

#[tokio::test]
async fn events_of_a_newer_version_are_no_error_for_their_user() {
    let fixture = Fixture::empty().await;
    let user = UserId::new(fixture.clock.now());
    let login = event(EventKind::Login, fixture.clock.now(), AuditSubject::from(Some(user)));
    fixture.append(std::slice::from_ref(&login)).await;
    let newer =
        "INSERT INTO audit_events (id, at, event, user_id) SELECT user_id, at, 'logi', user_id FROM audit_events";
    fixture.backend.sql(newer).await.expect("a row");

    let read = fixture.stores.audit.of_user(user, None, 10, &time()).await;

    assert_eq!(read, Ok(vec![login]));
}
