//! Audit events, for administrators.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    page_memory::{EVENT_BYTES, PageMemory},
    parameters::{limit, time},
};
use crate::{
    http::{admin_caller::AdminCaller, context::Context, error::ApiError, query::Query, response::JsonText},
    model::{AuditEventView, EventId, EventKind, EventPage, EventPageQuery},
};

/// A page of events.
#[derive(Serialize)]
struct EventPageView<'page> {
    events: Vec<AuditEventView<'page>>,
    next: Option<String>,
}

impl<'page> From<&'page EventPage> for EventPageView<'page> {
    fn from(page: &'page EventPage) -> Self {
        Self {
            events: page.events.iter().map(AuditEventView::from).collect(),
            next: page.next.map(|id| id.0.to_string()),
        }
    }
}

/// `GET /admin/api/audit-events/`
pub async fn list(context: Context, _: AdminCaller, mut query: Query) -> Result<JsonText, ApiError> {
    let page = event_page_query(&mut query);
    let page = query.finish(page)?;
    let memory = PageMemory::reserve(&context, page.limit as usize, EVENT_BYTES)?;
    let page = context.user_admin.audit_events(&page, &context.call.time).await?;
    Ok(memory.json(&EventPageView::from(&page)))
}

fn event_page_query(query: &mut Query) -> EventPageQuery {
    EventPageQuery {
        user: query.optional("user", |text| text.parse().map_err(|_| "Expected the id of a user.")),
        kind: query.choice("kind", &EventKind::ALL, EventKind::name),
        address: query.optional("address", address),
        from: time(query, "from"),
        until: time(query, "until"),
        before: query.optional("after", cursor),
        limit: limit(query),
    }
}

/// An IPv4-mapped IPv6 address is the IPv4 address, as in events.
fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| "Expected an IP address.")
}

fn cursor(text: &str) -> Result<EventId, &'static str> {
    text.parse().map(|id: uuid::fmt::Hyphenated| EventId(id.into_uuid())).map_err(|_| "Expected the cursor of a page.")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::parameters::finished, *};

    fn parsed(query: &str) -> Result<EventPageQuery, Vec<String>> {
        let mut query = Query::parse(query);
        let page = event_page_query(&mut query);
        finished(query, page)
    }

    #[test]
    fn each_filter_is_parsed() {
        let id = "0190f3d2-7c1a-7b3e-8f00-5a2b6c9d1e42";
        let page = parsed(&format!(
            "user={id}&kind=login_failed&address=::ffff:192.0.2.1&from=2027-01-01T00:00:00Z&until=2027-01-02T00:00:00Z&after={id}&limit=7"
        ));

        let expected = EventPageQuery {
            user: id.parse().ok(),
            kind: Some(EventKind::LoginFailed),
            address: "192.0.2.1".parse().ok(),
            from: Some(datetime!(2027-01-01 00:00 UTC)),
            until: Some(datetime!(2027-01-02 00:00 UTC)),
            before: Some(EventId(id.parse().expect("a UUID"))),
            limit: 7,
        };
        assert_eq!(page, Ok(expected));
        assert_eq!(parsed(""), Ok(EventPageQuery { limit: 50, ..EventPageQuery::default() }));
    }

    #[test]
    fn invalid_filter_is_named() {
        for (query, field) in [
            ("user=ada@example.org", "user"),
            ("user=0190f3d27c1a7b3e8f005a2b6c9d1e42", "user"),
            ("kind=Login", "kind"),
            ("kind=login%27--", "kind"),
            ("address=10.0.0.0/8", "address"),
            ("address=localhost", "address"),
            ("from=yesterday", "from"),
            ("until=2027-13-01T00:00:00Z", "until"),
            ("after=1", "after"),
            ("limit=1000", "limit"),
            ("event=login", "query"),
        ] {
            assert_eq!(parsed(query).expect_err(query), [field], "{query}");
        }
    }
}
