//! The table of differences on the page, against both servers.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    page::table,
    project::Project,
    support::{Api, PASSWORD, Postern, RequestBuilder, Response, Tokens},
};

/// One of the servers, with what administers it.
#[derive(Clone, Copy)]
enum Server<'test> {
    Django(&'test Project, SocketAddr),
    Postern(&'test Postern, SocketAddr),
}

impl Server<'_> {
    fn address(self) -> SocketAddr {
        match self {
            Self::Django(_, address) | Self::Postern(_, address) => address,
        }
    }

    async fn deactivate(self, email: &str) {
        match self {
            Self::Django(project, _) => {
                let sql = format!("UPDATE users_user SET is_active = false WHERE email = '{email}'");
                project.psql(&sql).await.expect_done();
            }
            Self::Postern(postern, _) => drop(postern.run(&["user", "deactivate", email]).await.expect_done()),
        }
    }

    async fn delete(self, email: &str) {
        match self {
            Self::Django(project, _) => {
                let delete = format!("from users.models import User; User.objects.get(email='{email}').delete()");
                project.manage(&["shell", "--no-imports", "--command", &delete], "").await;
            }
            Self::Postern(postern, _) => drop(postern.run(&["user", "delete", email]).await.expect_done()),
        }
    }
}

/// A user who signed up for one row of the table.
struct Client<'test> {
    server: Server<'test>,
    address: SocketAddr,
    email: String,
    tokens: Tokens,
}

impl<'test> Client<'test> {
    async fn signed_up(server: Server<'test>, number: usize) -> Self {
        let (address, email) = (server.address(), format!("user{number}@example.org"));
        let response = Api(address).sign_up(&email).unchecked().send().await;
        Self { server, address, tokens: Tokens::of(&response.expect(201)), email }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.address, method, path).unchecked()
    }

    fn signed_in(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).bearer(&self.tokens.access)
    }

    async fn sign_up(&self, name: Value, email: &str, password: &str) -> Response {
        let body = json!({"name": name, "email": email, "password": password});
        self.request("POST", "/create-user/").json(body).send().await
    }

    async fn log_in(&self, email: &str, password: &str) -> Response {
        Api(self.address).log_in(email, password).unchecked().send().await
    }

    /// Logs out. Django needs the access token too.
    async fn log_out(&self) -> Response {
        let body = json!({"refresh": self.tokens.refresh});
        self.signed_in("POST", "/logout/").json(body).send().await
    }

    async fn refresh(&self, tokens: &Tokens) -> Response {
        Api(self.address).refresh(tokens).unchecked().send().await
    }

    async fn change_password(&self, old: &str, new: &str) -> Response {
        Api(self.address).change_password(&self.tokens, old, new).unchecked().send().await
    }

    /// Does what a row of the table says.
    async fn perform(&self, row: &str) -> Response {
        let new = format!("new.{}", self.email);
        let address = self.email.as_str();
        match row {
            "sign-up with an email that is taken" => self.sign_up(json!("Ada"), address, PASSWORD).await,
            "sign-up with an email that is taken, in another case" => {
                self.sign_up(json!("Ada"), &address.to_uppercase(), PASSWORD).await
            }
            "sign-up with a name that is a number" => self.sign_up(json!(42), &new, PASSWORD).await,
            "sign-up with a password that is like the name" => {
                self.sign_up(json!("Wilhelmina Rumpelstilt"), &new, "Wilhelmina.Rumpelstilt").await
            }
            "sign-up with a weak password" => self.sign_up(json!("Ada"), &new, "12345").await,
            "sign-up as a form" => {
                let form = format!("name=Ada&email={new}&password={PASSWORD}");
                self.request("POST", "/create-user/").body("application/x-www-form-urlencoded", form).send().await
            }
            "sign-up with an invalid access token" => {
                let body = json!({"name": "Ada", "email": new, "password": PASSWORD});
                self.request("POST", "/create-user/").bearer("invalid").json(body).send().await
            }
            "login with a wrong password" => self.log_in(address, "wrong").await,
            "login with the email in another case" => self.log_in(&address.to_uppercase(), PASSWORD).await,
            "login with spaces around the password" => self.log_in(address, &format!(" {PASSWORD} ")).await,
            _ => self.perform_with_tokens(row).await,
        }
    }

    async fn perform_with_tokens(&self, row: &str) -> Response {
        match row {
            "logout without an access token" => Api(self.address).log_out(&self.tokens).unchecked().send().await,
            "second logout" => {
                self.log_out().await.expect(200);
                self.log_out().await
            }
            "refresh after the logout" => {
                self.log_out().await.expect(200);
                self.refresh(&self.tokens).await
            }
            "access token after the logout" => {
                self.log_out().await.expect(200);
                self.signed_in("GET", "/profile/").send().await
            }
            "password change with a wrong old password" => self.change_password("wrong", "another_password_7").await,
            "password change to the same password" => self.change_password(PASSWORD, PASSWORD).await,
            "refresh of another session after a password change" => {
                let other = Tokens::of(&self.log_in(&self.email, PASSWORD).await.expect(200));
                self.change_password(PASSWORD, "another_password_7").await.expect(200);
                self.refresh(&other).await
            }
            "access token in a header with `bearer`" => {
                let header = format!("bearer {}", self.tokens.access);
                self.request("GET", "/profile/").header("authorization", &header).send().await
            }
            "invalid access token" => self.request("GET", "/profile/").bearer("invalid").send().await,
            "no access token" => self.request("GET", "/profile/").send().await,
            _ => self.perform_without_account(row).await,
        }
    }

    async fn perform_without_account(&self, row: &str) -> Response {
        match row {
            "login of an inactive user" => {
                self.server.deactivate(&self.email).await;
                self.log_in(&self.email, PASSWORD).await
            }
            "access token of an inactive user" => {
                self.server.deactivate(&self.email).await;
                self.signed_in("GET", "/profile/").send().await
            }
            "refresh of an inactive user" => {
                self.server.deactivate(&self.email).await;
                self.refresh(&self.tokens).await
            }
            "access token of a deleted user" => {
                self.server.delete(&self.email).await;
                self.signed_in("GET", "/profile/").send().await
            }
            "refresh of a deleted user" => {
                self.server.delete(&self.email).await;
                self.refresh(&self.tokens).await
            }
            _ => self.perform_http(row).await,
        }
    }

    async fn perform_http(&self, row: &str) -> Response {
        let token = |body: String| self.request("POST", "/token/").body("application/json", body).send();
        let (email, password) = (&self.email, PASSWORD);
        match row {
            "wrong method without an access token" => self.request("POST", "/profile/").json(json!({})).send().await,
            "`OPTIONS` without an access token" => self.request("OPTIONS", "/profile/").send().await,
            "`POST` to a path without its trailing slash" => {
                self.request("POST", "/token").json(json!({"email": email, "password": password})).send().await
            }
            "empty body" => self.request("POST", "/token/").body("application/json", "").send().await,
            "field given twice" => token(format!(r#"{{"email":"x","email":"{email}","password":"{password}"}}"#)).await,
            "body of more than 16 KiB" => {
                let padding = "x".repeat(17_000);
                token(json!({"email": email, "password": password, "padding": padding}).to_string()).await
            }
            "`Accept: image/png`" => self.signed_in("GET", "/profile/").header("accept", "image/png").send().await,
            "`?format=xml`" => self.signed_in("GET", "/profile/?format=xml").send().await,
            "unknown path" => self.request("GET", "/unknown/").send().await,
            _ => panic!("no check for the row {row:?}"),
        }
    }
}

/// Returns the status, and the code of an error of Postern in code quotes.
fn outcome(response: &Response) -> String {
    let code =
        serde_json::from_slice::<Value>(&response.body).ok().and_then(|body| body["code"].as_str().map(str::to_owned));
    match code {
        Some(code) => format!("{} `{code}`", response.status),
        None => response.status.to_string(),
    }
}

#[tokio::test]
async fn table_of_differences_matches_both_servers() {
    let Some(project) = Project::cheap(&json!([])).await else { return };
    let served = project.serve().await;
    let postern = Postern::new().with("POSTERN_THROTTLE", "off");
    let serving = postern.serve().await;
    let (django, postern) = (Server::Django(&project, served.address), Server::Postern(&postern, serving.public));
    let rows = table("### Responses");
    assert!(rows.len() > 20, "{rows:?}");
    let mut wrong = Vec::new();

    for (number, row) in rows.iter().enumerate() {
        let [request, of_django, of_postern, _] = row[..] else { panic!("four cells: {row:?}") };
        let client = Client::signed_up(django, number).await;
        let measured_django = client.perform(request).await.status.to_string();
        let client = Client::signed_up(postern, number).await;
        let measured_postern = outcome(&client.perform(request).await);
        if (of_django, of_postern) != (&*measured_django, &*measured_postern) {
            wrong.push(format!("{request}: {measured_django} | {measured_postern}"));
        }
    }

    assert!(wrong.is_empty(), "measured:\n{}", wrong.join("\n"));
}
