//! The use cases that crash, and their guarantees.

use serde_json::Value;

use crate::support::{Api, NEW_PASSWORD, PASSWORD, RequestBuilder, Tokens};

impl Api {
    /// The session is valid: its access token is accepted, and its refresh token and the next one rotate.
    pub async fn expect_rotates(self, tokens: &Tokens) {
        self.profile(tokens).send().await.expect(200);
        let successors = self.rotated(tokens).await;
        self.profile(&self.rotated(&successors).await).send().await.expect(200);
    }
}

/// A use case: its preparation, the request that a crash may interrupt, and the guarantees after it.
pub trait UseCase: Sized {
    /// The status of the response without a crash.
    const SUCCESS: u16;

    /// Prepares the request.
    async fn prepared(api: Api, email: &str) -> Self;

    fn request(&self, api: Api) -> RequestBuilder;

    /// Checks the guarantees after an interruption at any point; `acknowledged` is the response, if there was one.
    async fn check(self, api: Api, acknowledged: Option<Value>);
}

/// Leaves a whole account or none.
pub struct SignUp {
    email: String,
}

impl UseCase for SignUp {
    const SUCCESS: u16 = 201;

    async fn prepared(_api: Api, email: &str) -> Self {
        Self { email: email.to_owned() }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.sign_up(&self.email)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        if let Some(body) = &acknowledged {
            api.expect_rotates(&Tokens::of(body)).await;
        }
        let login = api.log_in(&self.email, PASSWORD).send().await;
        if login.status == 200 {
            api.sign_up(&self.email).send().await.expect_problem(409, "email_taken");
            api.expect_rotates(&Tokens::of(&login.json())).await;
        } else {
            assert!(acknowledged.is_none(), "an account that was acknowledged is gone: {login:?}");
            login.expect_problem(401, "invalid_credentials");
            api.expect_rotates(&api.signed_up(&self.email).await).await;
        }
    }
}

/// Leaves earlier sessions valid, and opens one more or none.
pub struct Login {
    email: String,
    earlier: Tokens,
}

impl UseCase for Login {
    const SUCCESS: u16 = 200;

    async fn prepared(api: Api, email: &str) -> Self {
        Self { email: email.to_owned(), earlier: api.signed_up(email).await }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.log_in(&self.email, PASSWORD)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        let list = api.sessions(&self.earlier).send().await.expect(200);
        let sessions = list["sessions"].as_array().map_or(0, Vec::len);
        assert!((1..=2).contains(&sessions), "{list}");
        if let Some(body) = &acknowledged {
            assert_eq!(sessions, 2, "{list}");
            api.expect_rotates(&Tokens::of(body)).await;
        }
        api.expect_rotates(&api.logged_in(&self.email, PASSWORD).await).await;
        api.expect_rotates(&self.earlier).await;
    }
}

/// Leaves the session valid for a client that continues with the token of the response, or else with the one that it
/// sent.
pub struct Refresh {
    held: Tokens,
}

impl UseCase for Refresh {
    const SUCCESS: u16 = 200;

    async fn prepared(api: Api, email: &str) -> Self {
        let first = api.signed_up(email).await;
        Self { held: api.rotated(&first).await }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.refresh(&self.held)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        let held = acknowledged.map_or(self.held, |body| Tokens::of(&body));
        api.expect_rotates(&held).await;
    }
}

/// Leaves the session valid or ended, and every other one valid.
pub struct Logout {
    staying: Tokens,
    leaving: Tokens,
}

impl UseCase for Logout {
    const SUCCESS: u16 = 200;

    async fn prepared(api: Api, email: &str) -> Self {
        Self { staying: api.signed_up(email).await, leaving: api.logged_in(email, PASSWORD).await }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.log_out(&self.leaving)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        let is_valid = api.profile(&self.leaving).send().await.status == 200;
        if is_valid {
            assert!(acknowledged.is_none(), "a session that was ended is valid");
            api.expect_rotates(&self.leaving).await;
        } else {
            api.expect_ended(&self.leaving).await;
        }
        api.log_out(&self.leaving).send().await.expect(200);
        api.expect_ended(&self.leaving).await;
        api.expect_rotates(&self.staying).await;
    }
}

/// Leaves the old password and every session, or the new password and the session that set it.
pub struct PasswordChange {
    email: String,
    changing: Tokens,
    other: Tokens,
}

impl UseCase for PasswordChange {
    const SUCCESS: u16 = 200;

    async fn prepared(api: Api, email: &str) -> Self {
        let changing = api.signed_up(email).await;
        Self { email: email.to_owned(), changing, other: api.logged_in(email, PASSWORD).await }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.change_password(&self.changing, PASSWORD, NEW_PASSWORD)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        let logins = [PASSWORD, NEW_PASSWORD].map(|password| api.log_in(&self.email, password));
        let [old, new] = logins.map(RequestBuilder::send);
        match (old.await.status, new.await.status) {
            (200, 401) => {
                assert!(acknowledged.is_none(), "a change that was acknowledged is undone");
                api.expect_rotates(&self.other).await;
                api.change_password(&self.changing, PASSWORD, NEW_PASSWORD).send().await.expect(200);
                api.logged_in(&self.email, NEW_PASSWORD).await;
            }
            (401, 200) => {
                api.change_password(&self.changing, PASSWORD, NEW_PASSWORD)
                    .send()
                    .await
                    .expect_problem(400, "wrong_password");
            }
            statuses => panic!("not one password of the two: {statuses:?}"),
        }
        api.expect_ended(&self.other).await;
        api.expect_rotates(&self.changing).await;
    }
}

/// Leaves the old password and every session, or the new password and none of the earlier sessions.
pub struct PasswordAndSessionsChange {
    email: String,
    changing: Tokens,
    other: Tokens,
}

impl UseCase for PasswordAndSessionsChange {
    const SUCCESS: u16 = 200;

    async fn prepared(api: Api, email: &str) -> Self {
        let changing = api.signed_up(email).await;
        Self { email: email.to_owned(), changing, other: api.logged_in(email, PASSWORD).await }
    }

    fn request(&self, api: Api) -> RequestBuilder {
        api.change_password_and_sessions(&self.changing, PASSWORD, NEW_PASSWORD)
    }

    async fn check(self, api: Api, acknowledged: Option<Value>) {
        let opened = if api.log_in(&self.email, PASSWORD).send().await.status == 200 {
            assert!(acknowledged.is_none(), "a change that was acknowledged is undone");
            api.expect_rotates(&self.other).await;
            Some(self.request(api).send().await.expect(200))
        } else {
            acknowledged
        };
        if let Some(body) = &opened {
            api.expect_rotates(&Tokens::of(body)).await;
        }
        api.logged_in(&self.email, NEW_PASSWORD).await;
        api.expect_ended(&self.changing).await;
        api.expect_ended(&self.other).await;
    }
}
