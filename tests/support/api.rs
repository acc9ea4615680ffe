//! A client of the public API.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{RequestBuilder, Response};

/// The first password of every user.
pub const PASSWORD: &str = "secure_password";

/// The password that users change theirs to.
pub const NEW_PASSWORD: &str = "new_password";

/// The API key of a client that may introspect tokens.
pub const API_KEY: &str = "an-api-key-that-has-32-characters";

/// The public API of one server.
#[derive(Debug, Clone, Copy)]
pub struct Api(pub SocketAddr);

/// The tokens of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    #[track_caller]
    pub fn of(body: &Value) -> Self {
        Self { access: string_field(body, "access").to_owned(), refresh: string_field(body, "refresh").to_owned() }
    }
}

/// Returns a field of a JSON object that is a string.
#[track_caller]
pub fn string_field<'json>(body: &'json Value, field: &str) -> &'json str {
    body[field].as_str().unwrap_or_else(|| panic!("{field}: {body}"))
}

impl Api {
    pub fn request(self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.0, method, path)
    }

    pub fn get(self, path: &str) -> RequestBuilder {
        self.request("GET", path)
    }

    pub fn post(self, path: &str, body: Value) -> RequestBuilder {
        self.request("POST", path).json(body)
    }

    pub fn sign_up(self, email: &str) -> RequestBuilder {
        self.post("/create-user/", json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD}))
    }

    pub fn log_in(self, email: &str, password: &str) -> RequestBuilder {
        self.post("/token/", json!({"email": email, "password": password}))
    }

    pub fn refresh(self, tokens: &Tokens) -> RequestBuilder {
        self.post("/refresh/", json!({"refresh": tokens.refresh}))
    }

    pub fn log_out(self, tokens: &Tokens) -> RequestBuilder {
        self.post("/logout/", json!({"refresh": tokens.refresh}))
    }

    pub fn change_password(self, tokens: &Tokens, old: &str, new: &str) -> RequestBuilder {
        let body = json!({"old_password": old, "new_password": new});
        self.post("/change-password/", body).bearer(&tokens.access)
    }

    /// Changes the password and ends every session, this one included.
    pub fn change_password_and_sessions(self, tokens: &Tokens, old: &str, new: &str) -> RequestBuilder {
        let body = json!({"old_password": old, "new_password": new, "end_all_sessions": true});
        self.post("/change-password/", body).bearer(&tokens.access)
    }

    pub fn profile(self, tokens: &Tokens) -> RequestBuilder {
        self.get("/profile/").bearer(&tokens.access)
    }

    pub fn sessions(self, tokens: &Tokens) -> RequestBuilder {
        self.get("/sessions/").bearer(&tokens.access)
    }

    /// Introspects a token, as the API client that has [`API_KEY`].
    pub async fn introspect(self, token: &str) -> Response {
        self.post("/introspect/", json!({"token": token})).bearer(API_KEY).send().await
    }

    /// Signs up a new user.
    pub async fn signed_up(self, email: &str) -> Tokens {
        Tokens::of(&self.sign_up(email).send().await.expect(201))
    }

    pub async fn logged_in(self, email: &str, password: &str) -> Tokens {
        Tokens::of(&self.log_in(email, password).send().await.expect(200))
    }

    /// Refreshes a session whose refresh tokens rotate.
    pub async fn rotated(self, tokens: &Tokens) -> Tokens {
        Tokens::of(&self.refresh(tokens).send().await.expect(200))
    }

    /// Refreshes a session, and returns its new access token with the refresh token that it had.
    pub async fn refreshed(self, tokens: &Tokens) -> Tokens {
        let body = self.refresh(tokens).send().await.expect(200);
        Tokens { access: string_field(&body, "access").to_owned(), ..tokens.clone() }
    }

    /// Both tokens of the session are accepted.
    pub async fn expect_valid(self, tokens: &Tokens) {
        self.profile(tokens).send().await.expect(200);
        self.refresh(tokens).send().await.expect(200);
    }

    /// The session has ended: neither of its tokens is accepted.
    pub async fn expect_ended(self, tokens: &Tokens) {
        self.profile(tokens).send().await.expect_problem(401, "invalid_token");
        self.refresh(tokens).send().await.expect_problem(401, "invalid_refresh_token");
    }
}
