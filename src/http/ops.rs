//! Probes and metrics.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    access::Stranger,
    input::Nothing,
    output::{Json, MetricsText, Probe},
    problem::Problem,
    service::Context,
};
use crate::{
    accounts::Accounts,
    store::{Pong, StoreError, StoreTime},
};

/// How far a store's clock may be from ours before the log says so: far more than a clock that is kept right ever is, and
/// far less than what tokens and sessions would notice.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Whether traffic may come: once each store has answered, and until the process drains.
#[derive(Debug, Default)]
pub struct Readiness {
    users_answered: AtomicBool,
    sessions_answered: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// Asks the stores until each has answered once, whether anybody asks about that or not: a store that goes down later
    /// shall not look like one that was never there.
    ///
    /// What is amiss with them is logged: settings that lose sessions, and clocks that disagree.
    pub async fn meet_stores(&self, accounts: &Accounts, store_timeout: Duration) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut unmet = vec!["users", "sessions"];
        loop {
            let asked = accounts.clock.now();
            let (users, sessions) = self.ask(accounts, &StoreTime::of(store_timeout)).await;
            let asked = asked..=accounts.clock.now();
            for (store, answer) in [("users", users), ("sessions", sessions)] {
                match answer {
                    Err(error) if unmet.contains(&store) => warn!(%error, "not ready yet"),
                    Ok(pong) if unmet.contains(&store) => {
                        unmet.retain(|unmet| *unmet != store);
                        say_what_is_amiss(store, &pong, &asked);
                    }
                    _ => {}
                }
            }
            if unmet.is_empty() {
                info!("each store has answered");
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes this replica out of service for good: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    async fn ask(&self, accounts: &Accounts, time: &StoreTime) -> (Result<Pong, StoreError>, Result<Pong, StoreError>) {
        let (users, sessions) = tokio::join!(accounts.users.ping(time), accounts.sessions.ping(time));
        self.users_answered.fetch_or(users.is_ok(), Ordering::SeqCst);
        self.sessions_answered.fetch_or(sessions.is_ok(), Ordering::SeqCst);
        (users, sessions)
    }

    fn have_answered(&self) -> bool {
        self.users_answered.load(Ordering::SeqCst) && self.sessions_answered.load(Ordering::SeqCst)
    }
}

/// Says what a store that was asked within this time should be looked at for.
fn say_what_is_amiss(store: &str, pong: &Pong, asked: &RangeInclusive<OffsetDateTime>) {
    let apart = (pong.clock - *asked.end()).max(*asked.start() - pong.clock);
    if apart > CLOCK_TOLERANCE {
        let seconds_ahead = (pong.clock - *asked.end()).whole_seconds();
        warn!(store, seconds_ahead, "the clocks of this store and of this server disagree: let NTP set both");
    }
    if let Some(concern) = &pong.concern {
        warn!(store, concern, "this store may lose what it keeps");
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
    let readiness = &context.readiness;
    let (users, sessions) = readiness.ask(&context.accounts, &context.call.time).await;
    let draining = readiness.draining.load(Ordering::SeqCst);
    let is_ready = readiness.have_answered() && !draining;
    let status = match (draining, is_ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let state = |answer: &Result<Pong, StoreError>| if answer.is_ok() { "up" } else { "down" };
    Ok(Probe { is_ready, body: ReadyStatus { status, users: state(&users), sessions: state(&sessions) } })
}

/// `GET /metrics`: everything that is counted, for Prometheus. No store is asked.
pub async fn metrics(context: Context, _: Stranger, _: Nothing) -> Result<MetricsText, Problem> {
    Ok(MetricsText(context.accounts.metrics.render()))
}
