//! What a client asks a server.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::asking::Asking;

/// The password that people have at first.
pub const PASSWORD: &str = "correct horse battery staple";

/// The one that they change it to.
pub const NEW_PASSWORD: &str = "a stable for another horse";

/// A server, by its public address.
#[derive(Clone, Copy)]
pub struct Api(pub SocketAddr);

/// What somebody was handed out.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    #[track_caller]
    pub fn of(body: &Value) -> Self {
        let token = |member: &str| body[member].as_str().unwrap_or_else(|| panic!("{member}: {body}")).to_owned();
        Self { access: token("access"), refresh: token("refresh") }
    }
}

impl Api {
    pub fn sign_up(self, email: &str) -> Asking {
        self.post("/create-user/", json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD}))
    }

    pub fn log_in(self, email: &str, password: &str) -> Asking {
        self.post("/token/", json!({"email": email, "password": password}))
    }

    pub fn refresh(self, tokens: &Tokens) -> Asking {
        self.post("/refresh/", json!({"refresh": tokens.refresh}))
    }

    pub fn log_out(self, tokens: &Tokens) -> Asking {
        self.post("/logout/", json!({"refresh": tokens.refresh}))
    }

    pub fn change_password(self, tokens: &Tokens) -> Asking {
        let body = json!({"old_password": PASSWORD, "new_password": NEW_PASSWORD});
        self.post("/change-password/", body).bearer(&tokens.access)
    }

    pub fn get(self, path: &str, tokens: &Tokens) -> Asking {
        Asking::new(self.0, "GET", path).bearer(&tokens.access)
    }

    /// Somebody who has just signed up.
    pub async fn signed_up(self, email: &str) -> Tokens {
        Tokens::of(&self.sign_up(email).send().await.expect(201))
    }

    pub async fn logged_in(self, email: &str, password: &str) -> Tokens {
        Tokens::of(&self.log_in(email, password).send().await.expect(200))
    }

    pub async fn refreshed(self, tokens: &Tokens) -> Tokens {
        Tokens::of(&self.refresh(tokens).send().await.expect(200))
    }

    /// The session is in force: the access token is good, and so are the refresh token and the one that takes its place.
    pub async fn expect_in_force(self, tokens: &Tokens) {
        self.get("/profile/", tokens).send().await.expect(200);
        let successors = self.refreshed(tokens).await;
        self.get("/profile/", &self.refreshed(&successors).await).send().await.expect(200);
    }

    /// The session has ended: neither of its tokens is good.
    pub async fn expect_ended(self, tokens: &Tokens) {
        self.get("/profile/", tokens).send().await.expect_problem(401, "invalid_token");
        self.refresh(tokens).send().await.expect_problem(401, "invalid_refresh_token");
    }

    fn post(self, path: &str, body: Value) -> Asking {
        Asking::new(self.0, "POST", path).json(body)
    }
}
