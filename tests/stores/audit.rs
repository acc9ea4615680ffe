//! The contract of audit stores.

use std::{net::IpAddr, time::Duration};

use postern::{
    clock::{Clock as _, whole_milliseconds},
    model::{AuditEvent, AuditOrigin, AuditSubject, Client, EventId, EventKind, EventPageQuery, SessionId, UserId},
    store::{StoreError, read_events},
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

    async fn events(&self, query: EventPageQuery) -> Vec<AuditEvent> {
        read_events(&*self.stores.audit_reader, query, usize::MAX, &time()).await.expect("a response")
    }

    async fn all(&self) -> Vec<AuditEvent> {
        self.events(EventPageQuery::default()).await
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
    let newest = read_events(&*fixture.second().await.audit_reader, EventPageQuery::default(), 1, &time()).await;
    assert_eq!(newest.map(|events| events.len()), Ok(1));
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

    let by_user = EventPageQuery { user: last.subject.user, ..EventPageQuery::default() };
    assert_eq!(fixture.events(by_user).await.iter().collect::<Vec<_>>(), [last]);
    let by_kind = EventPageQuery { kind: Some(EventKind::SignUp), ..EventPageQuery::default() };
    assert_eq!(fixture.events(by_kind).await.iter().collect::<Vec<_>>(), [first]);
    let by_time = EventPageQuery { from: Some(last.at - Duration::from_secs(4)), ..EventPageQuery::default() };
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
