//! Pages of audit events.

use std::{net::IpAddr, time::Duration};

use postern::{
    model::{AuditEvent, EventId, EventKind, EventPage, EventPageQuery, UserId},
    store::{MAX_EXAMINED, read_events},
};
use time::OffsetDateTime;

use super::{
    directory::{START, event},
    suite::Fixture,
};
use crate::{Sql as _, support::time};

const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

fn all() -> EventPageQuery {
    EventPageQuery { limit: 200, ..EventPageQuery::default() }
}

/// Returns the event number `number`, whose second is its number.
fn numbered(number: u64, users: [UserId; 2]) -> AuditEvent {
    let kind = [EventKind::Login, EventKind::Logout, EventKind::LoginFailed][(number % 3) as usize];
    let mut event = event(kind, Some(users[(number / 3 % 2) as usize]), START + Duration::from_secs(number));
    event.origin.address = Some(ADDRESSES[(number / 6 % 2) as usize]);
    event
}

impl Fixture {
    async fn event_page(&self, query: &EventPageQuery) -> EventPage {
        let page = self.stores.audit_reader.page(query, &time()).await.expect("a page");
        assert!(page.events.len() <= query.limit as usize);
        page
    }

    /// Returns the events of all pages, and the number of pages.
    async fn walked_events(&self, mut query: EventPageQuery) -> (Vec<AuditEvent>, usize) {
        let mut events = Vec::new();
        for pages in 1..=100 {
            let page = self.event_page(&query).await;
            events.extend(page.events);
            let Some(next) = page.next else { return (events, pages) };
            query.before = Some(next);
        }
        panic!("the pages do not end");
    }

    /// Appends `count` events, and returns them newest first, and their users.
    async fn with_events(&self, count: u64) -> (Vec<AuditEvent>, [UserId; 2]) {
        let users = [UserId::new(START), UserId::new(START)];
        let mut events: Vec<_> = (0..count).map(|number| numbered(number, users)).collect();
        for batch in events.chunks(500) {
            self.stores.audit.append(batch, &time()).await.expect("a response");
        }
        events.reverse();
        (events, users)
    }
}

#[tokio::test]
async fn pages_of_events_together_are_the_matching_ones() {
    let fixture = Fixture::empty().await;
    let (events, [user, _]) = fixture.with_events(48).await;
    let at = |seconds| Some(START + Duration::from_secs(seconds));
    let (kind, address) = (Some(EventKind::Logout), Some(ADDRESSES[1]));
    let user = Some(user);

    for query in [
        all(),
        EventPageQuery { user, ..all() },
        EventPageQuery { kind, ..all() },
        EventPageQuery { address, ..all() },
        EventPageQuery { user, kind, ..all() },
        EventPageQuery { user, address, ..all() },
        EventPageQuery { kind, address, ..all() },
        EventPageQuery { user, kind, address, ..all() },
        EventPageQuery { from: at(30), ..all() },
        EventPageQuery { until: at(30), kind, ..all() },
        EventPageQuery { user, from: at(10), until: at(40), ..all() },
        EventPageQuery { address, from: at(40), until: at(10), ..all() },
        EventPageQuery { user: Some(UserId::new(START)), ..all() },
    ] {
        let matches = |event: &&AuditEvent| {
            query.accepts(event)
                && query.from.is_none_or(|from| event.at >= from)
                && query.until.is_none_or(|until| event.at < until)
        };
        let expected: Vec<_> = events.iter().filter(matches).cloned().collect();
        for limit in [1, 5, 200] {
            let (found, _) = fixture.walked_events(EventPageQuery { limit, ..query.clone() }).await;
            assert_eq!(found, expected, "{query:?}");
        }
    }
}

#[tokio::test]
async fn times_of_events_are_compared_exactly() {
    let fixture = Fixture::empty().await;
    let (events, _) = fixture.with_events(3).await;
    let at = events[1].at;
    let nanosecond = Duration::from_nanos(1);
    let found = async |from: Option<OffsetDateTime>, until| {
        fixture.event_page(&EventPageQuery { from, until, ..all() }).await.events.len()
    };

    assert_eq!(found(Some(at), None).await, 2);
    assert_eq!(found(Some(at + nanosecond), None).await, 1);
    assert_eq!(found(None, Some(at)).await, 1);
    assert_eq!(found(None, Some(at + nanosecond)).await, 2);
    let years =
        [time::macros::datetime!(-9999-01-01 0:00 UTC), time::macros::datetime!(9999-12-31 23:59:59.999_999_999 UTC)];
    assert_eq!(found(Some(years[0]), Some(years[1])).await, 3);
}

#[tokio::test]
async fn full_last_page_of_events_has_no_next_one() {
    let fixture = Fixture::empty().await;
    let (events, _) = fixture.with_events(5).await;
    let page = async |limit| fixture.event_page(&EventPageQuery { limit, ..all() }).await;

    assert_eq!(page(5).await, EventPage { events: events.clone(), next: None });
    assert_eq!(page(4).await, EventPage { next: Some(events[3].id), events: events[..4].to_vec() });
    let before = Some(EventId(uuid::Uuid::nil()));
    assert_eq!(fixture.event_page(&EventPageQuery { before, ..all() }).await, EventPage { events: vec![], next: None });
}

#[tokio::test]
async fn rare_events_are_found_at_once_by_one_filter() {
    let fixture = Fixture::empty().await;
    let user = UserId::new(START);
    let mut rare = event(EventKind::KeysChanged, Some(user), START - Duration::from_secs(1));
    rare.origin.address = Some(IpAddr::from([192, 0, 2, 1]));
    fixture.stores.audit.append(std::slice::from_ref(&rare), &time()).await.expect("a response");
    fixture.with_events(u64::from(MAX_EXAMINED) + 200).await;

    for query in [
        EventPageQuery { user: Some(user), ..all() },
        EventPageQuery { kind: Some(EventKind::KeysChanged), ..all() },
        EventPageQuery { address: rare.origin.address, ..all() },
        EventPageQuery { until: Some(START), ..all() },
    ] {
        assert_eq!(fixture.event_page(&query).await, EventPage { events: vec![rare.clone()], next: None }, "{query:?}");
    }
}

#[tokio::test]
async fn filters_that_match_no_event_make_short_pages() {
    let fixture = Fixture::empty().await;
    let user = UserId::new(START);
    let login = |number| event(EventKind::Login, Some(user), START + Duration::from_secs(number));
    let events: Vec<_> = (0..u64::from(MAX_EXAMINED) + 200).map(login).collect();
    let oldest = event(EventKind::SignUp, Some(user), START - Duration::from_secs(1));
    fixture
        .stores
        .audit
        .append(&[&events[..], std::slice::from_ref(&oldest)].concat(), &time())
        .await
        .expect("a response");
    let query = EventPageQuery { user: Some(user), kind: Some(EventKind::SignUp), limit: 10, ..all() };

    let page = fixture.event_page(&query).await;

    assert!(page.events.is_empty() && page.next.is_some());
    assert_eq!(fixture.walked_events(query.clone()).await, (vec![oldest.clone()], 2));
    // Other readers go on until they have as many as they want.
    let read = read_events(&*fixture.stores.audit_reader, query, 1, &time()).await;
    assert_eq!(read, Ok(vec![oldest]));
    let read = read_events(&*fixture.stores.audit_reader, all(), 1100, &time()).await;
    assert_eq!(read.map(|events| events.len()), Ok(1100));
}

#[tokio::test]
async fn events_of_a_newer_version_are_left_out() {
    let fixture = Fixture::empty().await;
    let user = UserId::new(START);
    let login = event(EventKind::Login, Some(user), START);
    fixture.stores.audit.append(std::slice::from_ref(&login), &time()).await.expect("a response");
    let newer =
        "INSERT INTO audit_events (id, at, event, user_id) SELECT user_id, at, 'logi', user_id FROM audit_events";
    fixture.backend.sql(newer).await.expect("a row");

    for query in [all(), EventPageQuery { user: Some(user), ..all() }] {
        assert_eq!(fixture.event_page(&query).await, EventPage { events: vec![login.clone()], next: None });
    }
}
