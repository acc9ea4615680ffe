//! Probes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use super::{
    access::Stranger,
    input::Nothing,
    output::{Json, Probe},
    problem::Problem,
    service::Context,
};
use crate::{
    accounts::Accounts,
    store::{StoreError, StoreTime},
};

/// Whether traffic may come: once each store has answered, and until the process drains.
#[derive(Debug, Default)]
pub struct Readiness {
    users_answered: AtomicBool,
    sessions_answered: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// Takes this replica out of service for good: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }
}

/// What a probe is answered.
#[derive(Serialize)]
pub struct Status {
    status: &'static str,
}

/// What the readiness probe is answered: each store's state as of now.
#[derive(Serialize)]
pub struct ReadyStatus {
    status: &'static str,
    users: &'static str,
    sessions: &'static str,
}

const OK: Status = Status { status: "ok" };

/// `GET /healthz`: the public API is served. No store is asked.
pub async fn health(_: Context, _: Stranger, _: Nothing) -> Result<Json<Status>, Problem> {
    Ok(Json(OK))
}

/// `GET /livez`: the process answers. No store is asked: a restart would not mend one.
pub async fn live(_: Context, _: Stranger, _: Nothing) -> Result<Json<Status>, Problem> {
    Ok(Json(OK))
}

/// `GET /readyz`: 503 until each store has answered once, and while draining. A shared store that goes down later is
/// named, but taking every replica out of service would only hide its 503s.
pub async fn ready(context: Context, _: Stranger, _: Nothing) -> Result<Probe<ReadyStatus>, Problem> {
    let readiness = Arc::clone(&context.readiness);
    let (users, sessions) = ping(&context.accounts, context.store_timeout).await;
    let users_answered = readiness.users_answered.fetch_or(users.is_ok(), Ordering::SeqCst) || users.is_ok();
    let sessions_answered =
        readiness.sessions_answered.fetch_or(sessions.is_ok(), Ordering::SeqCst) || sessions.is_ok();
    let draining = readiness.draining.load(Ordering::SeqCst);
    let is_ready = users_answered && sessions_answered && !draining;
    let status = match (draining, is_ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let state = |answer: &Result<(), StoreError>| if answer.is_ok() { "up" } else { "down" };
    Ok(Probe { is_ready, body: ReadyStatus { status, users: state(&users), sessions: state(&sessions) } })
}

async fn ping(accounts: &Accounts, timeout: Duration) -> (Result<(), StoreError>, Result<(), StoreError>) {
    let time = StoreTime::of(timeout);
    tokio::join!(accounts.users.ping(&time), accounts.sessions.ping(&time))
}
