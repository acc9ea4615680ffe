//! A user with a session.

use serde_json::{Value, json};

use super::{Api, PASSWORD, Response, Server, Tokens};

/// A user with an account and a session at one server.
#[derive(Clone)]
pub struct TestUser {
    api: Api,
    pub email: String,
    pub tokens: Tokens,
}

impl TestUser {
    /// The user whom a response has given tokens.
    #[track_caller]
    pub fn new(api: Api, email: &str, body: &Value) -> Self {
        Self { api, email: email.to_owned(), tokens: Tokens::of(body) }
    }

    /// Returns the same user and session at another server.
    pub fn at(&self, server: &Server) -> Self {
        Self { api: server.api(), ..self.clone() }
    }

    pub async fn profile(&self) -> Response {
        self.api.profile(&self.tokens).send().await
    }

    /// Asks `/verify/` about a request of this user, as a proxy does.
    pub async fn verify(&self) -> Response {
        self.api.get("/verify/").bearer(&self.tokens.access).send().await
    }

    /// Introspects the access token.
    pub async fn introspected(&self) -> Response {
        self.api.introspect(&self.tokens.access).await
    }

    pub async fn refresh(&self) -> Response {
        self.api.refresh(&self.tokens).send().await
    }

    /// Returns the same user with the tokens of a response.
    #[track_caller]
    pub fn with_tokens_of(&self, body: &Value) -> Self {
        Self { tokens: Tokens::of(body), ..self.clone() }
    }

    /// Refreshes, and keeps the new tokens.
    pub async fn rotate(&mut self) {
        self.tokens = self.api.rotated(&self.tokens).await;
    }

    /// Returns the same user with another refresh token.
    pub fn with_refresh_token(&self, refresh: &str) -> Self {
        let mut user = self.clone();
        refresh.clone_into(&mut user.tokens.refresh);
        user
    }

    pub async fn sessions(&self) -> Response {
        self.api.sessions(&self.tokens).send().await
    }

    /// Returns the id of this session, as the list of sessions has it.
    pub async fn session_id(&self) -> String {
        let list = self.sessions().await.expect(200);
        let sessions = list["sessions"].as_array().expect("a list");
        let current: Vec<_> = sessions.iter().filter(|session| session["current"] == true).collect();
        assert_eq!(current.len(), 1, "{list}");
        current[0]["id"].as_str().expect("a text").to_owned()
    }

    pub async fn end_session(&self, id: &str) -> Response {
        self.api.request("DELETE", &format!("/sessions/{id}/")).bearer(&self.tokens.access).send().await
    }

    pub async fn log_out_everywhere(&self) -> Response {
        self.api.request("POST", "/logout-everywhere/").bearer(&self.tokens.access).send().await
    }

    pub async fn rename(&self, body: Value) -> Response {
        self.api.request("PATCH", "/profile/").json(body).bearer(&self.tokens.access).send().await
    }

    pub async fn delete_account(&self, body: Value) -> Response {
        self.api.request("DELETE", "/profile/").json(body).bearer(&self.tokens.access).send().await
    }

    pub async fn export(&self, body: Value) -> Response {
        self.api.request("POST", "/profile/export/").json(body).bearer(&self.tokens.access).send().await
    }

    /// Renews the authentication of the session.
    pub async fn reauthenticate(&self, password: &str) -> Response {
        let request = self.api.post("/reauthenticate/", json!({"password": password}));
        request.bearer(&self.tokens.access).send().await
    }

    pub async fn log_out(&self) -> Response {
        self.api.log_out(&self.tokens).send().await
    }

    pub async fn change_password(&self, old: &str, new: &str) -> Response {
        self.api.change_password(&self.tokens, old, new).send().await
    }

    /// Changes the password and ends every session, this one included.
    pub async fn change_password_and_sessions(&self, old: &str, new: &str) -> Response {
        self.api.change_password_and_sessions(&self.tokens, old, new).send().await
    }

    /// Opens another session of the same user.
    pub async fn second_session(&self) -> Self {
        let tokens = self.api.logged_in(&self.email, PASSWORD).await;
        Self { tokens, ..self.clone() }
    }

    /// The session is valid: both of its tokens are accepted, also by `/verify/` and `/introspect/`.
    pub async fn expect_valid(&self) {
        self.api.expect_valid(&self.tokens).await;
        assert_eq!(self.verify().await.status, 200);
        assert_eq!(self.introspected().await.expect(200)["active"], true);
    }

    /// The session has ended: neither of its tokens is accepted, nor by `/verify/` and `/introspect/`.
    pub async fn expect_ended(&self) {
        self.api.expect_ended(&self.tokens).await;
        self.verify().await.expect_problem(401, "invalid_token");
        assert_eq!(self.introspected().await.expect(200), json!({"active": false}));
    }
}
