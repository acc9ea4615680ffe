//! Export of the current user's own data.

use serde::Serialize;
use tracing::debug;

use super::sessions::SessionView;
use crate::{
    accounts::{AccountError, CurrentUser, DisclosedEvent, ProfileExport},
    clock::rfc3339,
    http::{context::Context, error::ApiError, fields::Fields, response::JsonFile},
    model::{AuditEvent, DisplayText, User, UserId},
};

/// The most audit events of an export, at 60 to 700 bytes each: a user who logs in and out five times a day for the default
/// retention of a year has 3,650.
const MAX_EVENTS: usize = 10_000;

/// How many events are read at once.
const PAGE: usize = 500;

/// What a page takes, while it is converted, besides the document: its rows, its events and its text, 1 KiB for each event.
const PAGE_BYTES: u64 = 512 * 1024;

/// The name of the file as which browsers save the document.
const FILE_NAME: &str = "profile-export.json";

/// `POST /profile/export/`
pub async fn export(context: Context, current: CurrentUser, mut body: Fields) -> Result<JsonFile, ApiError> {
    let password = body.password("password");
    let password = body.finish(password)?;
    let exported = rfc3339(context.accounts.clock.now());
    let ProfileExport { user, sessions } = context.accounts.export_profile(&current, &password, &context.call).await?;
    let profile = ExportedProfile::of(&user);
    let sessions = sessions.iter().map(|session| SessionView::of(session, &current)).collect();
    let document = Document::start(&context, &DocumentHead { exported, profile, sessions })?;
    let text = document.with_events_of(user.id).await?;
    Ok(JsonFile { text, name: FILE_NAME })
}

/// The document up to its events.
#[derive(Serialize)]
struct DocumentHead<'user> {
    exported: String,
    profile: ExportedProfile<'user>,
    sessions: Vec<SessionView>,
}

/// The profile with all that is kept of a user, except what only checks a password or a session.
#[derive(Serialize)]
struct ExportedProfile<'user> {
    id: String,
    name: &'user str,
    email: &'user str,
    email_verified: bool,
    role: &'static str,
    status: &'static str,
    creation_date: String,
}

impl<'user> ExportedProfile<'user> {
    fn of(user: &'user User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.as_str(),
            email: user.email.as_str(),
            email_verified: user.email_verified,
            role: user.role.name(),
            status: user.status.name(),
            creation_date: rfc3339(user.created),
        }
    }
}

/// An audit event. An undisclosed field is missing, like one that the event does not have.
#[derive(Serialize)]
struct EventView<'event> {
    id: String,
    at: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'event str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'event str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'event str>,
}

impl<'event> EventView<'event> {
    fn of(disclosed: &'event DisclosedEvent) -> Self {
        let AuditEvent { id, at, kind, subject, origin } = disclosed.event();
        Self {
            id: id.0.to_string(),
            at: rfc3339(*at),
            event: kind.name(),
            session: subject.session.map(|session| session.to_string()),
            ip: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.as_ref().map(DisplayText::as_str),
            request_id: origin.request_id.as_deref(),
            detail: subject.detail.as_deref(),
        }
    }
}

/// The document, whose memory is charged to the request as it grows.
struct Document<'request> {
    context: &'request Context,
    text: Vec<u8>,
    events: usize,
}

impl<'request> Document<'request> {
    fn start(context: &'request Context, head: &DocumentHead<'_>) -> Result<Self, ApiError> {
        let mut document = Self { context, text: Vec::new(), events: 0 };
        let head = to_json(head);
        // Without its last brace: the events are the next field.
        document.append(&head[..head.len() - 1])?;
        document.append(br#","events":["#)?;
        Ok(document)
    }

    /// Adds the user's events, newest first, and ends the document.
    async fn with_events_of(mut self, user: UserId) -> Result<Vec<u8>, ApiError> {
        let (accounts, call) = (&self.context.accounts, &self.context.call);
        self.context.state.memory.grow(PAGE_BYTES)?;
        let mut before = None;
        let has_more = loop {
            let is_full = self.events >= MAX_EVENTS;
            let limit = if is_full { 1 } else { PAGE };
            let page = match accounts.disclosed_events(user, before, limit, call).await {
                // The export has been counted: better a part of the events than none.
                Err(AccountError::Store(error)) if before.is_some() => {
                    debug!(%error, %user, "failed to read all events of an export");
                    break true;
                }
                page => page?,
            };
            let Some(last) = page.last() else { break false };
            if is_full {
                break true;
            }
            before = Some(last.event().id);
            self.append_events(&page)?;
        };
        self.append(format!(r#"],"more_events":{has_more}}}"#).as_bytes())?;
        self.context.state.memory.shrink(PAGE_BYTES);
        Ok(self.text)
    }

    fn append_events(&mut self, page: &[DisclosedEvent]) -> Result<(), ApiError> {
        let mut text = Vec::new();
        for event in page {
            if self.events > 0 {
                text.push(b',');
            }
            text.extend(to_json(&EventView::of(event)));
            self.events += 1;
        }
        self.append(&text)
    }

    fn append(&mut self, text: &[u8]) -> Result<(), ApiError> {
        self.context.state.memory.grow(u64::try_from(text.len()).unwrap_or(u64::MAX))?;
        // Exactly: the text would otherwise take up to twice the memory that is charged.
        self.text.reserve_exact(text.len());
        self.text.extend_from_slice(text);
        Ok(())
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("all views are structs of text"))
}
