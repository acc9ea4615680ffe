//! The command that shows the audit trail.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use time::OffsetDateTime;

use super::format::{Format, json};
use crate::{
    accounts::UserRef,
    clock::rfc3339,
    model::{AuditEvent, EventKind, EventQuery, UserId},
    store::{AuditStore, StoreError, TimeBudget, UserStore},
};

/// How long the command waits for the store: where few events are wanted of many, it may read for a while.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which events to show, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCommand {
    /// Only those about this user; one who is gone is known by the id alone.
    pub user: Option<UserRef>,
    /// Only those of this kind.
    pub kind: Option<EventKind>,
    /// Only those that are younger than this.
    pub since: Option<Duration>,
    /// How many at most.
    pub limit: u32,
    /// How to say it.
    pub format: Format,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Nobody has this email now.
    #[error("there is no user {0}; the events of one who is gone are found by the id")]
    NoSuchUser(UserRef),
    /// The store did not do what it was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuditCommand {
    /// The events, as they are printed, newest first.
    ///
    /// # Errors
    /// Where they could not be read.
    pub async fn run(
        &self,
        users: &dyn UserStore,
        events: &dyn AuditStore,
        now: OffsetDateTime,
    ) -> Result<String, AuditError> {
        let time = TimeBudget::new(PATIENCE);
        let user = match &self.user {
            Some(who) => Some(id(who, users, &time).await?),
            None => None,
        };
        let since = self.since.map(|since| now - since);
        let query = EventQuery { user, kind: self.kind, since, limit: self.limit };
        let events = events.list(&query, &time).await?;
        Ok(said(&events, self.format))
    }
}

async fn id(who: &UserRef, users: &dyn UserStore, time: &TimeBudget) -> Result<UserId, AuditError> {
    match who {
        UserRef::Id(id) => Ok(*id),
        UserRef::Email(email) => {
            let user = users.by_email(email, time).await?;
            user.map(|user| user.id).ok_or_else(|| AuditError::NoSuchUser(who.clone()))
        }
    }
}

/// An event, as programs see one.
#[derive(Serialize)]
struct EventView<'event> {
    id: String,
    at: String,
    event: &'static str,
    user: Option<String>,
    session: Option<String>,
    address: Option<String>,
    user_agent: Option<&'event str>,
    request_id: Option<&'event str>,
    actor: Option<&'event str>,
    detail: Option<&'event str>,
}

impl<'event> EventView<'event> {
    fn of(event: &'event AuditEvent) -> Self {
        let AuditEvent { id, at, kind, subject, origin } = event;
        Self {
            id: id.0.to_string(),
            at: rfc3339(*at),
            event: kind.name(),
            user: subject.user.map(|user| user.to_string()),
            session: subject.session.map(|session| session.to_string()),
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.as_deref(),
            request_id: origin.request_id.as_deref(),
            actor: origin.actor.as_deref(),
            detail: subject.detail.as_deref(),
        }
    }

    /// What there is to tell beside time and kind, in one line. What others have made up is in quotes.
    fn rest(&self) -> String {
        let agent = self.user_agent.map(|agent| format!("{agent:?}"));
        let parts = [
            ("user", self.user.as_deref()),
            ("session", self.session.as_deref()),
            ("from", self.address.as_deref().or(self.actor)),
            ("detail", self.detail),
            ("request", self.request_id),
            ("agent", agent.as_deref()),
        ];
        let told = parts.into_iter().filter_map(|(name, value)| value.map(|value| format!("  {name} {value}")));
        told.collect()
    }
}

#[derive(Serialize)]
struct EventListView<'events> {
    events: Vec<EventView<'events>>,
}

fn said(events: &[AuditEvent], format: Format) -> String {
    let events: Vec<_> = events.iter().map(EventView::of).collect();
    if format == Format::Json {
        return json(&EventListView { events });
    }
    let mut text = format!("{:<20}  {:<28}  ABOUT", "AT", "EVENT");
    for event in &events {
        let _ = write!(text, "\n{}  {:<28}{}", event.at, event.event, event.rest());
    }
    text
}
