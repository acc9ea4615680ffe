//! Sessions of a user, for administrators.

use serde::Serialize;

use super::page_memory::{PageMemory, SESSION_BYTES};
use crate::{
    accounts::UserRef,
    clock::rfc3339,
    http::{
        admin_caller::AdminCaller,
        context::Context,
        error::ApiError,
        extract::{Path, Paths, WithoutBody},
        query::WithoutQuery,
        response::{JsonText, NoContent},
    },
    model::{Session, SessionId, UserId},
};

/// The valid sessions of a user.
#[derive(Serialize)]
struct UserSessionsView {
    sessions: Vec<UserSessionView>,
}

/// A session, as shown to administrators.
#[derive(Serialize)]
struct UserSessionView {
    id: String,
    created: String,
    authenticated: String,
    last_used: String,
    expires: String,
    ip: String,
    user_agent: String,
}

impl From<&Session> for UserSessionView {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            created: rfc3339(session.created),
            authenticated: rfc3339(session.authenticated),
            last_used: rfc3339(session.last_used),
            expires: rfc3339(session.expires),
            ip: session.client.address.to_string(),
            user_agent: session.client.user_agent.as_str().to_owned(),
        }
    }
}

/// `GET /admin/api/users/{id}/sessions/`
pub async fn list(
    context: Context,
    _: AdminCaller,
    WithoutQuery(Path(id)): WithoutQuery<Path<UserId>>,
) -> Result<JsonText, ApiError> {
    let memory = reserve(&context)?;
    let sessions = context.user_admin.list_sessions(id, &context.call.time).await?;
    Ok(memory.json(&UserSessionsView { sessions: sessions.iter().map(UserSessionView::from).collect() }))
}

/// Charges the request for all sessions that a user can have.
fn reserve(context: &Context) -> Result<PageMemory<'_>, ApiError> {
    let sessions = usize::try_from(context.accounts.max_sessions).unwrap_or(usize::MAX);
    PageMemory::reserve(context, sessions, SESSION_BYTES)
}

/// `DELETE /admin/api/users/{id}/sessions/`
pub async fn end_all(
    context: Context,
    caller: AdminCaller,
    WithoutBody(WithoutQuery(Path(id))): WithoutBody<WithoutQuery<Path<UserId>>>,
) -> Result<NoContent, ApiError> {
    context.user_admin.end_sessions(&UserRef::Id(id), &context.admin_call(&caller)).await?;
    Ok(NoContent)
}

/// `DELETE /admin/api/users/{id}/sessions/{session}/`
pub async fn end(
    context: Context,
    caller: AdminCaller,
    WithoutBody(WithoutQuery(Paths(id, session))): WithoutBody<WithoutQuery<Paths<UserId, SessionId>>>,
) -> Result<NoContent, ApiError> {
    // The user's sessions are read to find the valid ones.
    let memory = reserve(&context)?;
    context.user_admin.end_session((id, session), &context.admin_call(&caller)).await?;
    memory.release();
    Ok(NoContent)
}
