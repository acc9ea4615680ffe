//! Sessions in Redis.

use std::sync::Arc;

use futures_util::future::join_all;
use postern::{
    clock::SystemClock,
    model::NewSession,
    store::{SessionStore as _, TimeBudget, redis::RedisStore},
};

use super::{Account, Common, LIFETIME};

/// The number of concurrent calls.
const CALLS: usize = 256;

/// Opens the sessions as a server does.
pub async fn open(url: &str, accounts: &[Account], common: &Common) {
    let store = RedisStore::new(&url.parse().expect("a URL"), Arc::new(SystemClock)).expect("a store");
    let time = TimeBudget::new(LIFETIME);
    for chunk in accounts.chunks(CALLS) {
        let calls = chunk.iter().map(async |account| store.open(&new_session(account, common), &time).await);
        for opened in join_all(calls).await {
            opened.expect("Redis responds");
        }
    }
}

fn new_session(account: &Account, common: &Common) -> NewSession {
    NewSession {
        id: account.session,
        user: account.user,
        epoch: account.epoch,
        next_key: common.refresh_key,
        lifetime: LIFETIME,
        idle: None,
        max_sessions: 100,
        valid_epoch: account.epoch,
        surviving_session: None,
        client: common.client.clone(),
    }
}
