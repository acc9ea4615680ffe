//! Readiness: whether this replica takes traffic.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::{
    accounts::Accounts,
    store::{StoreError, StoreHealth, TimeBudget},
};

/// How far the clock of a store may be off before a warning is logged: far more than between clocks that NTP sets, and far
/// less than would affect tokens and sessions.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Whether this replica takes traffic: from the first response of each store until it drains.
#[derive(Debug, Default)]
pub struct Readiness {
    users_responded: AtomicBool,
    sessions_responded: AtomicBool,
    is_draining: AtomicBool,
}

/// A phase in the life of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyState {
    /// Some store has not responded yet.
    Starting,
    /// Each store has responded at least once.
    Ready,
    /// The process is about to stop.
    Draining,
}

impl Readiness {
    /// Waits until each store has responded once, and pings both every second until then. It does not rely on the readiness
    /// probe: if nothing probes, a store that goes down later must not look like one that never responded.
    ///
    /// Logs a warning if the configuration of a store can lose sessions, or if its clock is off.
    pub async fn wait_for_stores(&self, accounts: &Accounts, store_timeout: Duration) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut pending = vec!["users", "sessions"];
        loop {
            let sent = accounts.clock.now();
            let (users, sessions) = self.ping_stores(accounts, &TimeBudget::new(store_timeout)).await;
            let pinged = sent..=accounts.clock.now();
            for (store, response) in [("users", users), ("sessions", sessions)] {
                match response {
                    _ if !pending.contains(&store) => {}
                    Err(error) if error.is_outage() => warn!(store, %error, "store is not reachable; retrying"),
                    Err(error) => error!(store, %error, "store is not usable; retrying"),
                    Ok(health) => {
                        pending.retain(|pending| *pending != store);
                        warn_about(store, &health, &pinged);
                    }
                }
            }
            if pending.is_empty() {
                info!("all stores responded");
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes this replica out of service permanently.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Pings the store of users and the store of sessions at the same time, and records their responses.
    pub async fn ping_stores(
        &self,
        accounts: &Accounts,
        time: &TimeBudget,
    ) -> (Result<StoreHealth, StoreError>, Result<StoreHealth, StoreError>) {
        let (users, sessions) = tokio::join!(accounts.users.ping(time), accounts.sessions.ping(time));
        self.users_responded.fetch_or(users.is_ok(), Ordering::SeqCst);
        self.sessions_responded.fetch_or(sessions.is_ok(), Ordering::SeqCst);
        (users, sessions)
    }

    /// Returns the current state, without a call to a store.
    pub fn state(&self) -> ReadyState {
        let have_responded =
            self.users_responded.load(Ordering::SeqCst) && self.sessions_responded.load(Ordering::SeqCst);
        match (self.is_draining.load(Ordering::SeqCst), have_responded) {
            (true, _) => ReadyState::Draining,
            (false, true) => ReadyState::Ready,
            (false, false) => ReadyState::Starting,
        }
    }
}

/// Logs a warning if a store that was pinged in this interval has a clock that is off, or a risky configuration.
fn warn_about(store: &str, health: &StoreHealth, pinged: &RangeInclusive<OffsetDateTime>) {
    let difference = (health.clock - *pinged.end()).max(*pinged.start() - health.clock);
    if difference > CLOCK_TOLERANCE {
        let seconds_ahead = (health.clock - *pinged.end()).whole_seconds();
        warn!(store, seconds_ahead, "store and server clocks differ; synchronize both with NTP");
    }
    if let Some(warning) = &health.warning {
        warn!(store, warning, "store may lose data");
    }
}
