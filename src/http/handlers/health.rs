//! Probes and metrics.

use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::{
    http::{
        auth::Anonymous,
        context::Context,
        error::ApiError,
        extract::NoBody,
        response::{Json, MetricsText, Probe},
    },
    store::{StoreError, StoreHealth},
};

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
pub async fn health(_: Context, _: Anonymous, _: NoBody) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// `GET /livez`: the process answers. No store is asked: a restart would not mend one.
pub async fn live(_: Context, _: Anonymous, _: NoBody) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// `GET /readyz`: 503 until each store has answered once, and while draining. A shared store that goes down later is
/// named, but taking every replica out of service would only hide its 503s.
pub async fn ready(context: Context, _: Anonymous, _: NoBody) -> Result<Probe<ReadyStatus>, ApiError> {
    let readiness = &context.readiness;
    let (users, sessions) = readiness.ask(&context.accounts, &context.call.time).await;
    let draining = readiness.draining.load(Ordering::SeqCst);
    let is_ready = readiness.have_answered() && !draining;
    let status = match (draining, is_ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let state = |answer: &Result<StoreHealth, StoreError>| if answer.is_ok() { "up" } else { "down" };
    Ok(Probe { is_ready, body: ReadyStatus { status, users: state(&users), sessions: state(&sessions) } })
}

/// `GET /metrics`: everything that is counted, for Prometheus. No store is asked.
pub async fn metrics(context: Context, _: Anonymous, _: NoBody) -> Result<MetricsText, ApiError> {
    Ok(MetricsText(context.accounts.metrics.render()))
}
