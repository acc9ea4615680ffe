//! No secret and no full email leaks: the tests send recognisable secrets to everything that takes one, and then search
//! all output.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::secrets::{EMAIL, MARK, Secrets, keys_in, password};
use crate::support::{Postern, RequestBuilder, Serving, exchange_half_closed, string_field, write_private};

/// A server that gets secrets, and its responses.
struct Target {
    serving: Serving,
    secrets: Secrets,
    errors: Vec<String>,
    requests: usize,
}

impl Target {
    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        RequestBuilder::new(self.serving.public, method, path)
    }

    /// Sends a request; the tokens in the response count as secrets from then on.
    async fn ask(&mut self, request: RequestBuilder, status: u16) -> Value {
        let response = request.send().await;
        assert_eq!(response.status, status, "{response:?}");
        self.requests += 1;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        for token in ["access", "refresh"].iter().filter_map(|field| body[field].as_str()) {
            self.secrets.add(token);
            assert!(self.secrets.first_in(&text).is_some(), "what is searched for can be found");
        }
        if status >= 400 {
            self.errors.push(text);
        }
        body
    }

    async fn post(&mut self, path: &str, body: Value, status: u16) -> Value {
        let request = self.request("POST", path).json(body);
        self.ask(request, status).await
    }

    async fn get(&mut self, path: &str, bearer: &str, status: u16) -> Value {
        let request = self.request("GET", path).bearer(bearer);
        self.ask(request, status).await
    }

    /// Signs up, and makes every use of a password succeed and fail.
    async fn passwords(&mut self) -> Value {
        let (right, wrong, new) = (password("right"), password("wrong"), password("new"));
        let sign_up = json!({"name": "Ada Lovelace", "email": EMAIL, "password": right});
        let first = self.post("/create-user/", sign_up.clone(), 201).await;
        self.post("/create-user/", sign_up, 409).await;
        let too_close = json!({"name": MARK, "email": format!("{MARK}@leaks.example"), "password": MARK});
        self.post("/create-user/", too_close, 400).await;
        let too_long = format!("{MARK}{}", "x".repeat(300));
        for (email, password) in [
            (EMAIL, wrong.as_str()),
            ("nobody@leaks.example", &right),
            (EMAIL, &too_long),
            ("no address@@leaks.example", &right),
            // Each in place of the other.
            (&right, EMAIL),
        ] {
            self.post("/token/", json!({"email": email, "password": password}), 401).await;
        }
        let tokens = self.post("/token/", json!({"email": EMAIL, "password": right}), 200).await;
        let bearer = string_field(&tokens, "access");
        for (old, new, status) in
            [(&wrong, &new, 400), (&right, &right, 400), (&right, &too_long, 400), (&right, &new, 200)]
        {
            let change = json!({"old_password": old, "new_password": new});
            let request = self.request("POST", "/change-password/").json(change).bearer(bearer);
            self.ask(request, status).await;
        }
        let deletion = self.request("DELETE", "/profile/").json(json!({"password": wrong})).bearer(bearer);
        self.ask(deletion, 400).await;
        // The password change has ended it.
        self.get("/profile/", string_field(&first, "access"), 401).await;
        tokens
    }

    /// Makes every use of a token succeed and fail.
    async fn tokens(&mut self, tokens: &Value, api_key: &str) {
        let (access, refresh) = (string_field(tokens, "access"), string_field(tokens, "refresh"));
        for path in ["/profile/", "/sessions/", "/verify/"] {
            self.get(path, access, 200).await;
        }
        let forged = format!("{}AAAA", &access[..access.len() - 4]);
        for token in [forged.as_str(), refresh, &password("no-token")] {
            self.get("/profile/", token, 401).await;
        }
        for (key, status) in [(api_key, 200), (access, 401)] {
            let request = self.request("POST", "/introspect/").json(json!({"token": access})).bearer(key);
            self.ask(request, status).await;
        }
        let second = self.post("/refresh/", json!({"refresh": refresh}), 200).await;
        let third = self.post("/refresh/", json!({"refresh": string_field(&second, "refresh")}), 200).await;
        // Reused: the session ends.
        self.post("/refresh/", json!({"refresh": refresh}), 401).await;
        self.post("/logout/", json!({"refresh": string_field(&third, "refresh")}), 200).await;
        self.post("/logout/", json!({"refresh": access}), 401).await;
        self.get("/verify/some/path", string_field(&third, "access"), 401).await;
    }

    /// Sends secrets in wrong places.
    async fn misplaced(&mut self, tokens: &Value) {
        let (right, access, refresh) =
            (password("new"), string_field(tokens, "access"), string_field(tokens, "refresh"));
        for path in [
            format!("/{right}/"),
            format!("/sessions/{right}/{access}/"),
            format!("/nowhere?password={right}&email={EMAIL}"),
            format!("/token/{refresh}"),
        ] {
            let request = self.request("GET", &path);
            self.ask(request, 404).await;
        }
        for path in [format!("/sessions/{access}/"), format!("/sessions/{right}/?token={refresh}")] {
            let request = self.request("DELETE", &path).bearer(access);
            self.ask(request, 401).await;
        }
        let query = self.request("GET", &format!("/healthz?access_token={access}&email={EMAIL}"));
        self.ask(query, 200).await;
        for name in ["user-agent", "referer", "cookie", "x-forwarded-for", "from", "origin"] {
            let request = self.request("GET", "/profile/").header(name, &format!("{right} {access} {EMAIL}"));
            self.ask(request, 401).await;
        }
        // A request id with other characters is not repeated.
        let request_id = self.request("GET", "/healthz").header("x-request-id", &format!("{right} {EMAIL}"));
        self.ask(request_id, 200).await;
        let basic = format!("Basic {}", STANDARD.encode(format!("{EMAIL}:{}", password("right"))));
        let request = self.request("GET", "/profile/").header("authorization", &basic);
        self.ask(request, 401).await;
        for (content_type, body, status) in [
            ("application/json", format!(r#"{{"email":"{EMAIL}","password":"{right}""#), 400),
            ("application/json", format!(r#"{{"password":"{right}","password":"{right}"}}"#), 400),
            ("application/json", format!(r#"{{"{right}":"{EMAIL}"}}"#), 400),
            ("application/json", format!(r#"{{"email":["{EMAIL}"],"password":{{"{right}":1}}}}"#), 400),
            ("application/x-www-form-urlencoded", format!("email={EMAIL}&password={right}"), 415),
            ("application/json", format!(r#"{{"password":"{right}","x":"{}"}}"#, "x".repeat(17_000)), 413),
        ] {
            let request = self.request("POST", "/token/").body(content_type, body);
            self.ask(request, status).await;
        }
    }

    /// Sends requests that are not HTTP.
    async fn outside_of_http(&mut self) {
        let right = password("new");
        for request in [
            format!("{right} / HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET / {right}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\n{right}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nX: {right}\u{1}{EMAIL}\r\n\r\n"),
            format!("POST /token/ HTTP/1.1\r\nContent-Length: {right}\r\n\r\n"),
            format!("{{\"email\":\"{EMAIL}\",\"password\":\"{right}\"}}"),
        ] {
            let stream = TcpStream::connect(self.serving.public).await.expect("it accepts");
            self.errors.push(exchange_half_closed(stream, request.as_bytes()).await);
        }
    }

    /// Searches all output, up to the end of the process.
    async fn expect_no_leak(self) {
        let metrics = self.serving.probe("/metrics").send().await;
        let ready = self.serving.probe("/readyz").send().await;
        let line = self.serving.line.clone();
        let ended = self.serving.stopped().await;

        assert!(self.errors.len() > 30 && self.secrets.count() > 100, "there is something to search for");
        let logged = ended.stderr.matches("duration_ms").count();
        assert!(logged >= self.requests, "{logged} of {} requests are in the log", self.requests);
        for (place, text) in [
            ("standard error", &ended.stderr),
            ("standard output", &(line + &ended.stdout)),
            ("metrics", &String::from_utf8_lossy(&metrics.body).into_owned()),
            ("readiness", &String::from_utf8_lossy(&ready.body).into_owned()),
            ("errors", &self.errors.join("\n")),
        ] {
            assert!(!text.is_empty(), "{place}");
            self.secrets.expect_none_in(place, text);
        }
    }
}

/// A server that gets every kind of secret and logs at the highest level leaks none.
async fn expect_no_leak(postern: Postern, keys_dir: &str, format: &str) {
    let api_key = format!("{MARK}-is-the-key-of-an-api-client-of-ours");
    write_private(&postern.path("api-keys"), &format!("billing {api_key}\n"));
    let postern = postern
        .with("POSTERN_API_KEYS_FILE", "api-keys")
        .with("POSTERN_REFRESH_ROTATION", "on")
        .with("POSTERN_LOG", "trace")
        .with("POSTERN_LOG_FORMAT", format);
    let serving = postern.serve().await;
    let mut target = Target { serving, secrets: Secrets::new(), errors: Vec::new(), requests: 0 };
    let keys = keys_in(&postern, keys_dir);
    assert!(keys.len() >= 3, "{keys:?}");
    for key in keys {
        // The part after version and purpose.
        target.secrets.add(key.trim().rsplit('.').next().expect("a key"));
    }

    let tokens = target.passwords().await;
    target.tokens(&tokens, &api_key).await;
    target.misplaced(&tokens).await;
    target.outside_of_http().await;

    target.expect_no_leak().await;
}

#[tokio::test]
async fn embedded_server_leaks_no_secret() {
    for format in ["text", "json"] {
        expect_no_leak(Postern::new(), "postern-data/keys", format).await;
    }
}

#[tokio::test]
async fn server_on_postgres_and_redis_leaks_no_secret() {
    for format in ["text", "json"] {
        let postern = Postern::on_migrated_servers().await;
        expect_no_leak(postern, "keys", format).await;
    }
}
