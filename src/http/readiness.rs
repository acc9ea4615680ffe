//! Whether this replica takes traffic.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    accounts::Accounts,
    store::{StoreError, StoreHealth, TimeBudget},
};

/// How far a store's clock may be from ours before the log says so: far more than a clock that is kept right ever is, and
/// far less than what tokens and sessions would notice.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// Whether traffic may come: once each store has answered, and until the process drains.
#[derive(Debug, Default)]
pub struct Readiness {
    users_answered: AtomicBool,
    sessions_answered: AtomicBool,
    pub(super) draining: AtomicBool,
}

impl Readiness {
    /// Asks the stores until each has answered once, whether anybody asks about that or not: a store that goes down later
    /// shall not look like one that was never there.
    ///
    /// What is amiss with them is logged: settings that lose sessions, and clocks that disagree.
    pub async fn wait_for_stores(&self, accounts: &Accounts, store_timeout: Duration) {
        const PAUSE: Duration = Duration::from_secs(1);
        let mut unmet = vec!["users", "sessions"];
        loop {
            let asked = accounts.clock.now();
            let (users, sessions) = self.ask(accounts, &TimeBudget::new(store_timeout)).await;
            let asked = asked..=accounts.clock.now();
            for (store, answer) in [("users", users), ("sessions", sessions)] {
                match answer {
                    Err(error) if unmet.contains(&store) => warn!(%error, "not ready yet"),
                    Ok(health) if unmet.contains(&store) => {
                        unmet.retain(|unmet| *unmet != store);
                        say_what_is_amiss(store, &health, &asked);
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

    pub(super) async fn ask(
        &self,
        accounts: &Accounts,
        time: &TimeBudget,
    ) -> (Result<StoreHealth, StoreError>, Result<StoreHealth, StoreError>) {
        let (users, sessions) = tokio::join!(accounts.users.ping(time), accounts.sessions.ping(time));
        self.users_answered.fetch_or(users.is_ok(), Ordering::SeqCst);
        self.sessions_answered.fetch_or(sessions.is_ok(), Ordering::SeqCst);
        (users, sessions)
    }

    pub(super) fn have_answered(&self) -> bool {
        self.users_answered.load(Ordering::SeqCst) && self.sessions_answered.load(Ordering::SeqCst)
    }
}

/// Says what a store that was asked within this time should be looked at for.
fn say_what_is_amiss(store: &str, health: &StoreHealth, asked: &RangeInclusive<OffsetDateTime>) {
    let apart = (health.clock - *asked.end()).max(*asked.start() - health.clock);
    if apart > CLOCK_TOLERANCE {
        let seconds_ahead = (health.clock - *asked.end()).whole_seconds();
        warn!(store, seconds_ahead, "the clocks of this store and of this server disagree: let NTP set both");
    }
    if let Some(warning) = &health.warning {
        warn!(store, warning, "this store may lose what it keeps");
    }
}
