//! Login, refresh and logout, and the list of sessions.

use serde::Serialize;

use crate::{
    accounts::{Credentials, CurrentUser, Tokens},
    clock::rfc3339,
    http::{
        auth::Anonymous,
        context::Context,
        error::ApiError,
        extract::{NoBody, Path, PathParameter},
        fields::Fields,
        response::{Json, NoContent},
    },
    model::{Session, SessionId},
};

/// A response that only confirms the success.
#[derive(Serialize)]
pub struct Message {
    /// A sentence for people.
    pub message: &'static str,
}

/// The tokens of a new session: the response of a login.
#[derive(Serialize)]
pub struct TokenPair {
    access: String,
    refresh: String,
}

impl From<Tokens> for TokenPair {
    fn from(tokens: Tokens) -> Self {
        Self { access: tokens.access, refresh: tokens.refresh }
    }
}

/// `POST /token/`
pub async fn login(context: Context, _: Anonymous, mut body: Fields) -> Result<Json<TokenPair>, ApiError> {
    let email = body.login_email("email");
    let password = body.password("password");
    let refresh_token = body.optional_text("refresh");
    let (email, password) = body.finish(email.zip(password))?;
    context.client.check_login();
    let credentials = Credentials { email: email.ok(), password, refresh_token };
    let tokens = context.accounts.login(credentials, &context.call).await?;
    Ok(Json(tokens.into()))
}

/// The response of a refresh.
#[derive(Serialize)]
pub struct NewTokens {
    access: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
}

/// `POST /refresh/`
pub async fn refresh(context: Context, _: Anonymous, mut body: Fields) -> Result<Json<NewTokens>, ApiError> {
    let token = body.text("refresh");
    let token = body.finish(token)?;
    let refreshed = context.accounts.refresh(&token, &context.call).await?;
    Ok(Json(NewTokens { access: refreshed.access, refresh: refreshed.refresh }))
}

/// `POST /logout/`
pub async fn logout(context: Context, _: Anonymous, mut body: Fields) -> Result<Json<Message>, ApiError> {
    let token = body.text("refresh");
    let token = body.finish(token)?;
    context.accounts.logout(&token, &context.call).await?;
    Ok(Json(Message { message: "Logged out successfully" }))
}

/// The response of `GET /sessions/`.
#[derive(Serialize)]
pub struct SessionList {
    sessions: Vec<SessionView>,
}

/// A session, as shown to its user.
#[derive(Serialize)]
pub struct SessionView {
    id: String,
    created: String,
    last_used: String,
    expires: String,
    ip: String,
    user_agent: String,
    /// Whether the request was made in this session.
    current: bool,
}

impl SessionView {
    pub fn of(session: &Session, current: &CurrentUser) -> Self {
        Self {
            id: session.id.to_string(),
            created: rfc3339(session.created),
            last_used: rfc3339(session.last_used),
            expires: rfc3339(session.expires),
            ip: session.client.address.to_string(),
            user_agent: session.client.user_agent.as_str().to_owned(),
            current: session.id == current.session.id,
        }
    }
}

/// `GET /sessions/`
pub async fn list(context: Context, current: CurrentUser, _: NoBody) -> Result<Json<SessionList>, ApiError> {
    let sessions = context.accounts.list_sessions(&current, &context.call).await?;
    let views = sessions.iter().map(|session| SessionView::of(session, &current));
    Ok(Json(SessionList { sessions: views.collect() }))
}

impl PathParameter for SessionId {
    fn not_found() -> ApiError {
        ApiError::SessionNotFound
    }
}

/// `DELETE /sessions/{id}/`
pub async fn end(context: Context, current: CurrentUser, Path(id): Path<SessionId>) -> Result<NoContent, ApiError> {
    context.accounts.end_session(&current, id, &context.call).await?;
    Ok(NoContent)
}

/// The response of a reauthentication.
#[derive(Serialize)]
pub struct Reauthenticated {
    authenticated_at: String,
}

/// `POST /reauthenticate/`
pub async fn reauthenticate(
    context: Context,
    current: CurrentUser,
    mut body: Fields,
) -> Result<Json<Reauthenticated>, ApiError> {
    let password = body.password("password");
    let password = body.finish(password)?;
    let authenticated = context.accounts.renew_authentication(&current, &password, &context.call).await?;
    Ok(Json(Reauthenticated { authenticated_at: rfc3339(authenticated) }))
}

/// `POST /logout-everywhere/`
pub async fn logout_everywhere(context: Context, current: CurrentUser, _: NoBody) -> Result<Json<Message>, ApiError> {
    context.accounts.logout_everywhere(&current, &context.call).await?;
    Ok(Json(Message { message: "Logged out everywhere" }))
}
