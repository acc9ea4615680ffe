//! Probes and metrics.

use serde::Serialize;

use crate::{
    http::{
        auth::Anonymous,
        context::Context,
        error::ApiError,
        extract::NoBody,
        readiness::ReadyState,
        response::{Json, MetricsText, Probe},
    },
    store::{StoreError, StoreHealth},
};

/// The response of a probe that calls no store.
#[derive(Serialize)]
pub struct Status {
    status: &'static str,
}

/// The response of the readiness probe, with the current state of each store.
#[derive(Serialize)]
pub struct ReadyStatus {
    status: &'static str,
    users: &'static str,
    sessions: &'static str,
}

const OK: Status = Status { status: "ok" };

/// `GET /healthz`: the public API is served. Calls no store.
pub async fn health(_: Context, _: Anonymous, _: NoBody) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// `GET /livez`: the process responds. Calls no store, because a restart would not repair one.
pub async fn live(_: Context, _: Anonymous, _: NoBody) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// `GET /readyz`: 503 until each store has responded once, and during draining. If a store goes down later, the body says
/// so, but the status stays 200: the replicas share the store, and taking all of them out of service would only hide
/// their 503s.
pub async fn ready(context: Context, _: Anonymous, _: NoBody) -> Result<Probe<ReadyStatus>, ApiError> {
    let readiness = &context.readiness;
    let (users, sessions) = readiness.ping_stores(&context.accounts, &context.call.time).await;
    let state = readiness.state();
    let status = match state {
        ReadyState::Starting => "starting",
        ReadyState::Ready => "ready",
        ReadyState::Draining => "draining",
    };
    let body = ReadyStatus { status, users: store_status(&users), sessions: store_status(&sessions) };
    Ok(Probe { is_ready: state == ReadyState::Ready, body })
}

fn store_status(response: &Result<StoreHealth, StoreError>) -> &'static str {
    if response.is_ok() { "up" } else { "down" }
}

/// `GET /metrics`: all metrics in the Prometheus text format. Calls no store.
pub async fn metrics(context: Context, _: Anonymous, _: NoBody) -> Result<MetricsText, ApiError> {
    Ok(MetricsText(context.accounts.metrics.render()))
}
