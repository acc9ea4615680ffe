//! The floor program: the least that a signed-in request needs, if a session that has ended is refused at once. It has no
//! access token to verify, no log and no metrics.
//!
//! `GET /profile/` and `/verify/` read the session and the user, side by side. `POST /refresh/` reads the user, replaces the
//! refresh token of the session and signs an access token. Responses have the bytes of Postern's, but for ids and dates.

use std::{convert::Infallible, io, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use postern::clock::{Clock as _, SystemClock, rfc3339, unix_ms};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    common_headers::with_common_headers,
    sessions::Sessions,
    signature::Signer,
    users::{User, Users},
};

/// How many connections to each store share the load.
pub struct Lanes(pub usize);

/// The connections to the stores, and the key of access tokens.
#[derive(Clone)]
struct Floor {
    users: Users,
    sessions: Sessions,
    signer: Arc<Signer>,
}

#[derive(Serialize)]
struct Profile {
    name: String,
    email: String,
    creation_date: String,
}

#[derive(Deserialize, Serialize)]
struct Refresh {
    #[serde(default, skip_deserializing)]
    access: String,
    refresh: String,
}

/// The user and the session that a request names.
type Subject = (Uuid, Uuid);

/// Serves these stores until it is stopped.
pub async fn serve(listener: TcpListener, database: &str, redis: &str, Lanes(count): Lanes) -> io::Result<()> {
    let signer = Arc::new(Signer::new());
    let mut lanes = Vec::new();
    for _ in 0..count {
        let users = Users::connect(database).await.map_err(io::Error::other)?;
        lanes.push(Floor { users, sessions: Sessions::connect(redis).await?, signer: Arc::clone(&signer) });
    }
    for floor in lanes.iter().cycle() {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = floor.clone();
        let service = service_fn(move |request| {
            let floor = floor.clone();
            async move { Ok::<_, Infallible>(floor.respond(request).await.unwrap_or_else(unauthorized)) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
    Ok(())
}

impl Floor {
    /// Returns `None` if the user or the session does not exist or is not valid.
    async fn respond(&self, request: Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        match request.uri().path() {
            "/profile/" => {
                let user = self.user(bearer(request.headers())?).await?;
                let creation_date = rfc3339(user.created);
                Some(json(&Profile { name: user.name, email: user.email, creation_date }))
            }
            "/verify/" => {
                let subject = bearer(request.headers())?;
                let user = self.user(subject).await?;
                verified(subject, &user)
            }
            "/refresh/" => self.refresh(&request.into_body().collect().await.ok()?.to_bytes()).await,
            _ => None,
        }
    }

    /// Returns the user of a valid session.
    async fn user(&self, (user, session): Subject) -> Option<User> {
        let (user, session) = (self.users.by_id(user), self.sessions.find(user, session));
        let (user, (epoch, expires)) = (user.await?, session.await?);
        let is_valid = user.is_active && user.epoch == epoch && expires > now_ms();
        is_valid.then_some(user)
    }

    async fn refresh(&self, body: &[u8]) -> Option<Response<Full<Bytes>>> {
        let token = serde_json::from_slice::<Refresh>(body).ok()?.refresh;
        let mut bytes = [0; 77];
        URL_SAFE_NO_PAD.decode_slice(&token, &mut bytes).ok()?;
        let (user_id, session) = (Uuid::from_slice(&bytes[5..21]).ok()?, Uuid::from_slice(&bytes[21..37]).ok()?);
        let counter = u64::from_be_bytes(bytes[37..45].try_into().ok()?);
        let user = self.users.by_id(user_id).await.filter(|user| user.is_active)?;
        let next = self.sessions.rotate(user_id, session, user.epoch, counter).await?;
        bytes[37..45].copy_from_slice(&next.to_be_bytes());
        Some(json(&Refresh { access: self.signer.token(user_id, session), refresh: URL_SAFE_NO_PAD.encode(bytes) }))
    }
}

/// Reads a token of the floor program: the ids of user and session, with a dot after each, then padding.
fn bearer(headers: &HeaderMap) -> Option<Subject> {
    let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let mut parts = token.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn json(body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("structs of text");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    with_common_headers(response)
}

fn verified((id, session): Subject, user: &User) -> Option<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert("x-user-id", HeaderValue::from_str(&id.to_string()).ok()?);
    headers.insert("x-user-email", HeaderValue::from_str(&user.email).ok()?);
    headers.insert("x-user-email-verified", HeaderValue::from_static("false"));
    headers.insert("x-session-id", HeaderValue::from_str(&session.to_string()).ok()?);
    Some(with_common_headers(response))
}

fn unauthorized() -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

fn now_ms() -> u64 {
    u64::try_from(unix_ms(SystemClock.now())).unwrap_or_default()
}
