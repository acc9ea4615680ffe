//! A signed-in request as an application on axum serves it: users in PostgreSQL by sqlx, sessions in Redis by tower-sessions and
//! fred, and axum-login between them. All are set up as their documentation shows.
//!
//! Environment: `LISTEN`, `DATABASE_URL`, `REDIS_URL`; `USERS` for the number of users to create, with a session each; `COOKIES`
//! for the file of their session cookies. Prints its address and serves until it is stopped.

use std::{env, error::Error, fs};

use axum::{
    Json, Router,
    body::Body,
    extract::Path,
    http::{Request, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use tower::ServiceExt as _;
use tower_sessions::{Expiry, SessionManagerLayer, cookie::time::Duration};
use tower_sessions_redis_store::{RedisStore, fred::prelude::*};

#[derive(Debug, Clone, FromRow)]
struct User {
    id: i64,
    name: String,
    email: String,
    created: String,
    password: String,
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    /// A changed password ends the sessions.
    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Debug, Clone)]
struct Backend {
    database: PgPool,
}

const USER: &str =
    "SELECT id, name, email, to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS created,
    password FROM users";

impl AuthnBackend for Backend {
    type User = User;
    /// The email. The measurement needs no login with a password.
    type Credentials = String;
    type Error = sqlx::Error;

    async fn authenticate(&self, email: String) -> Result<Option<User>, sqlx::Error> {
        sqlx::query_as(&format!("{USER} WHERE email = $1")).bind(email).fetch_optional(&self.database).await
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, sqlx::Error> {
        sqlx::query_as(&format!("{USER} WHERE id = $1")).bind(id).fetch_optional(&self.database).await
    }
}

type AuthSession = axum_login::AuthSession<Backend>;

#[derive(Serialize)]
struct Profile {
    name: String,
    email: String,
    creation_date: String,
}

async fn profile(auth: AuthSession) -> impl IntoResponse {
    match auth.user {
        Some(user) => Json(Profile { name: user.name, email: user.email, creation_date: user.created }).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn log_in(Path(email): Path<String>, mut auth: AuthSession) -> StatusCode {
    match auth.authenticate(email).await {
        Ok(Some(user)) if auth.login(&user).await.is_ok() => StatusCode::OK,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Creates users, and logs each in by a request that no client can send. Returns the values of the session cookies.
async fn fill(database: &PgPool, application: Router, users: usize) -> Result<String, Box<dyn Error>> {
    sqlx::raw_sql(&format!(
        "CREATE TABLE IF NOT EXISTS users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
             email text NOT NULL UNIQUE, password text NOT NULL, created timestamptz NOT NULL DEFAULT now());
         INSERT INTO users (name, email, password)
             SELECT 'Ada Lovelace', 'user-' || lpad(number::text, 7, '0') || '@example.org', repeat('$', 97)
             FROM generate_series(0, {users} - 1) AS number;
         ANALYZE users;"
    ))
    .execute(database)
    .await?;
    let mut cookies = String::new();
    for number in 0..users {
        let request = Request::get(format!("/log-in/user-{number:07}@example.org")).body(Body::empty())?;
        let response = application.clone().oneshot(request).await?;
        let cookie = response.headers().get(header::SET_COOKIE).ok_or("no session")?.to_str()?;
        let value = cookie.strip_prefix("id=").and_then(|rest| rest.split(';').next()).ok_or("no session cookie")?;
        cookies.push_str(value);
        cookies.push('\n');
    }
    Ok(cookies)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = PgPool::connect(&env::var("DATABASE_URL")?).await?;
    let redis = Pool::new(Config::from_url(&env::var("REDIS_URL")?)?, None, None, None, 6)?;
    let _connection = redis.connect();
    redis.wait_for_connect().await?;
    let sessions = SessionManagerLayer::new(RedisStore::new(redis))
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::days(1)));
    let layer = AuthManagerLayerBuilder::new(Backend { database: database.clone() }, sessions).build();
    let log_in = Router::new().route("/log-in/{email}", get(log_in)).layer(layer.clone());
    fs::write(env::var("COOKIES")?, fill(&database, log_in, env::var("USERS")?.parse()?).await?)?;
    let application = Router::new().route("/profile/", get(profile)).layer(layer);
    let listener = tokio::net::TcpListener::bind(env::var("LISTEN")?).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, application).await?;
    Ok(())
}
