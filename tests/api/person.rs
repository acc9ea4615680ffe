//! The people who use a service.

use serde_json::{Value, json};

use crate::{
    asking::Answer,
    service::{PASSWORD, Server},
};

/// What somebody was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    #[track_caller]
    fn of(body: &Value) -> Self {
        let token = |member: &str| body[member].as_str().unwrap_or_else(|| panic!("{member}: {body}")).to_owned();
        Self { access: token("access"), refresh: token("refresh") }
    }
}

/// Somebody who has an account and a session.
pub struct Person {
    server: Server,
    pub email: String,
    pub tokens: Tokens,
}

impl Person {
    /// Somebody whom an answer has handed out tokens.
    pub fn new(server: &Server, email: &str, answer: &Value) -> Self {
        Self { server: server.clone(), email: email.to_owned(), tokens: Tokens::of(answer) }
    }

    /// The same person and session, talking to another server.
    pub fn at(&self, server: &Server) -> Self {
        Self { server: server.clone(), email: self.email.clone(), tokens: self.tokens.clone() }
    }

    pub async fn profile(&self) -> Answer {
        self.server.get("/profile/").bearer(&self.tokens.access).send().await
    }

    /// What a proxy is told of a request of theirs.
    pub async fn verify(&self) -> Answer {
        self.server.get("/verify/").bearer(&self.tokens.access).send().await
    }

    /// What an operator is told of the access token.
    pub async fn introspected(&self) -> Answer {
        self.server.introspect(&self.tokens.access).await
    }

    pub async fn refresh(&self) -> Answer {
        self.server.post("/refresh/", json!({"refresh": self.tokens.refresh})).send().await
    }

    /// Refreshes, and keeps what the answer hands out.
    pub async fn rotate(&mut self) {
        self.tokens = Tokens::of(&self.refresh().await.expect(200));
    }

    /// The same person with another refresh token.
    pub fn with_refresh_token(&self, refresh: &str) -> Self {
        let tokens = Tokens { access: self.tokens.access.clone(), refresh: refresh.to_owned() };
        Self { server: self.server.clone(), email: self.email.clone(), tokens }
    }

    pub async fn sessions(&self) -> Answer {
        self.server.get("/sessions/").bearer(&self.tokens.access).send().await
    }

    /// The id of this session, as the list of sessions has it.
    pub async fn session_id(&self) -> String {
        let list = self.sessions().await.expect(200);
        let sessions = list["sessions"].as_array().expect("a list");
        let current: Vec<_> = sessions.iter().filter(|session| session["current"] == true).collect();
        assert_eq!(current.len(), 1, "{list}");
        current[0]["id"].as_str().expect("a text").to_owned()
    }

    pub async fn end_session(&self, id: &str) -> Answer {
        self.server.asking("DELETE", &format!("/sessions/{id}/")).bearer(&self.tokens.access).send().await
    }

    pub async fn log_out_everywhere(&self) -> Answer {
        self.server.asking("POST", "/logout-everywhere/").bearer(&self.tokens.access).send().await
    }

    pub async fn rename(&self, body: Value) -> Answer {
        self.server.asking("PATCH", "/profile/").json(body).bearer(&self.tokens.access).send().await
    }

    pub async fn delete_account(&self, body: Value) -> Answer {
        self.server.asking("DELETE", "/profile/").json(body).bearer(&self.tokens.access).send().await
    }

    pub async fn log_out(&self) -> Answer {
        self.server.post("/logout/", json!({"refresh": self.tokens.refresh})).send().await
    }

    pub async fn change_password(&self, old: &str, new: &str) -> Answer {
        let body = json!({"old_password": old, "new_password": new});
        self.server.post("/change-password/", body).bearer(&self.tokens.access).send().await
    }

    /// Another session of the same person.
    pub async fn second_session(&self) -> Self {
        self.server.logged_in(&self.email, PASSWORD).await
    }

    /// The session is in force: its access token and its refresh token are good, and others are told so.
    pub async fn expect_in_force(&self) {
        self.profile().await.expect(200);
        self.refresh().await.expect(200);
        assert_eq!(self.verify().await.status, 200);
        assert_eq!(self.introspected().await.expect(200)["active"], true);
    }

    /// The session has ended: neither of its tokens is good, and others are told so.
    pub async fn expect_ended(&self) {
        self.profile().await.expect_problem(401, "invalid_token");
        self.refresh().await.expect_problem(401, "invalid_refresh_token");
        self.verify().await.expect_problem(401, "invalid_token");
        assert_eq!(self.introspected().await.expect(200), json!({"active": false}));
    }
}
