//! The command that shows the audit trail.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use time::OffsetDateTime;

use super::output::{Format, json};
use crate::{
    accounts::UserRef,
    model::{AuditEvent, AuditEventView, EventKind, EventPageQuery, UserId},
    store::{AuditReader, StoreError, TimeBudget, UserStore, read_events},
};

/// The time limit of the store: a user and a kind that few of many events match are read for a while.
const STORE_TIMEOUT: Duration = Duration::from_mins(1);

/// The command `audit list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCommand {
    /// Only events of this user. A deleted user is found by the id only.
    pub user: Option<UserRef>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events younger than this.
    pub since: Option<Duration>,
    /// The maximum number of events.
    pub limit: u32,
    /// The format of the output.
    pub format: Format,
}

/// An error of the command `audit list`.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// No user has this email.
    #[error("no such user: {0}: expected an existing email, or the id of a deleted user")]
    NoSuchUser(UserRef),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuditCommand {
    /// Returns the events to print, newest first.
    ///
    /// # Errors
    /// Returns [`AuditError`] if there is no such user or the store fails.
    pub async fn run(
        &self,
        users: &dyn UserStore,
        events: &dyn AuditReader,
        now: OffsetDateTime,
    ) -> Result<String, AuditError> {
        let time = TimeBudget::new(STORE_TIMEOUT);
        let user = match &self.user {
            Some(user) => Some(user_id(user, users, &time).await?),
            None => None,
        };
        let from = self.since.map(|since| now - since);
        let query = EventPageQuery { user, kind: self.kind, from, ..EventPageQuery::default() };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let events = read_events(events, query, limit, &time).await?;
        Ok(render(&events, self.format))
    }
}

async fn user_id(user: &UserRef, users: &dyn UserStore, time: &TimeBudget) -> Result<UserId, AuditError> {
    match user {
        UserRef::Id(id) => Ok(*id),
        UserRef::Email(email) => {
            let found = users.by_email(email, time).await?;
            found.map(|found| found.id).ok_or_else(|| AuditError::NoSuchUser(user.clone()))
        }
    }
}

/// Returns the fields besides time and kind, on one line. The user agent is quoted: a client chooses it.
fn details(event: &AuditEventView<'_>) -> String {
    let agent = event.user_agent.map(|agent| format!("{agent:?}"));
    let fields = [
        ("user", event.user.as_deref()),
        ("session", event.session.as_deref()),
        ("from", event.address.as_deref().or(event.actor)),
        ("by", event.address.as_ref().and(event.actor)),
        ("detail", event.detail),
        ("request", event.request_id),
        ("agent", agent.as_deref()),
    ];
    fields.into_iter().filter_map(|(name, value)| Some(format!("  {name} {}", value?))).collect()
}

#[derive(Serialize)]
struct EventListView<'events> {
    events: Vec<AuditEventView<'events>>,
}

fn render(events: &[AuditEvent], format: Format) -> String {
    let events: Vec<_> = events.iter().map(AuditEventView::from).collect();
    if format == Format::Json {
        return json(&EventListView { events });
    }
    let mut text = format!("{:<20}  {:<28}  ABOUT", "AT", "EVENT");
    for event in &events {
        let _ = write!(text, "\n{}  {:<28}{}", event.at, event.event, details(event));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::{AuditOrigin, AuditSubject, EventId};

    #[test]
    fn event_of_the_admin_api_has_its_address_and_its_actor() {
        let line = |origin| {
            let (id, at, kind) = (EventId(uuid::Uuid::nil()), OffsetDateTime::UNIX_EPOCH, EventKind::AdminUserDeleted);
            details(&AuditEventView::from(&AuditEvent { id, at, kind, subject: AuditSubject::default(), origin }))
        };
        let request = AuditOrigin { address: Some(Ipv4Addr::LOCALHOST.into()), ..AuditOrigin::default() };

        assert_eq!(line(request.clone()), "  from 127.0.0.1");
        assert_eq!(line(request.with_actor("API key shop")), "  from 127.0.0.1  by API key shop");
        assert_eq!(line(AuditOrigin::default().with_actor("server")), "  from server");
    }
}
