//! Login, refresh, logout.

use serde::Serialize;

use super::{access::Stranger, input::Members, output::Json, problem::Problem, service::Context};
use crate::accounts::Credentials;

/// A sentence, and nothing else.
#[derive(Serialize)]
pub struct Message {
    /// The sentence.
    pub message: &'static str,
}

/// What a login is answered.
#[derive(Serialize)]
pub struct TokenPair {
    access: String,
    refresh: String,
}

/// `POST /token/`
pub async fn login(context: Context, _: Stranger, mut body: Members) -> Result<Json<TokenPair>, Problem> {
    let email = body.presented_email("email");
    let password = body.password("password");
    let (email, password) = body.finish(email.zip(password))?;
    let credentials = Credentials { email: email.ok(), password };
    let tokens = context.accounts.login(credentials, context.client, &context.store_time).await?;
    Ok(Json(TokenPair { access: tokens.access, refresh: tokens.refresh }))
}

/// What a refresh is answered.
#[derive(Serialize)]
pub struct NewTokens {
    access: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
}

/// `POST /refresh/`
pub async fn refresh(context: Context, _: Stranger, mut body: Members) -> Result<Json<NewTokens>, Problem> {
    let token = body.text("refresh");
    let token = body.finish(token)?;
    let refreshed = context.accounts.refresh(&token, &context.store_time).await?;
    Ok(Json(NewTokens { access: refreshed.access, refresh: refreshed.refresh }))
}

/// `POST /logout/`
pub async fn logout(context: Context, _: Stranger, mut body: Members) -> Result<Json<Message>, Problem> {
    let token = body.text("refresh");
    let token = body.finish(token)?;
    context.accounts.logout(&token, &context.store_time).await?;
    Ok(Json(Message { message: "Logged out successfully" }))
}
