//! Sessions in Redis.

use std::sync::Arc;

use futures_util::future::join_all;
use postern::{
    clock::{SystemClock, unix_ms},
    model::{FIRST_CURRENT, FIRST_NEXT, NewSession},
    store::{SessionStore as _, TimeBudget, redis::RedisStore},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _};

use super::{Account, Common, LIFETIME};
use crate::sessions::{connect, encode};

/// The largest number of sessions that are opened by Postern's own script, one by one.
const MAX_OPENED: usize = 10_000;

/// The number of concurrent calls.
const CALLS: usize = 256;

/// The number of sessions whose commands are sent at once.
const CHUNK: usize = 1000;

/// The number of commands for a session, each with a number as its response.
const COMMANDS: usize = 4;

/// Opens the sessions. More than [`MAX_OPENED`] are written by bare commands, which leave the same fields.
pub async fn open(url: &str, accounts: &[Account], common: &Common) {
    if accounts.len() > MAX_OPENED {
        write(url, accounts, common).await;
        return;
    }
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

/// Writes the sessions by commands whose responses are not awaited one by one.
async fn write(url: &str, accounts: &[Account], common: &Common) {
    let mut stream = connect(url).await.expect("Redis responds");
    for chunk in accounts.chunks(CHUNK) {
        let commands: Vec<u8> = chunk.iter().flat_map(|account| commands(account, common)).collect();
        let (mut reader, mut writer) = stream.split();
        let (written, ()) =
            tokio::join!(writer.write_all(&commands), read_numbers(&mut reader, chunk.len() * COMMANDS));
        written.expect("Redis responds");
    }
}

/// Returns the commands that leave what `session.open.lua` leaves.
fn commands(account: &Account, common: &Common) -> Vec<u8> {
    let (user, session) = (account.user, account.session.to_string());
    let (key, index) = (format!("session:{{{user}}}:{session}"), format!("sessions:{{{user}}}"));
    let lifetime = LIFETIME.as_millis().to_string();
    let created = unix_ms(common.created);
    let expires = (created + i64::try_from(LIFETIME.as_millis()).expect("a day")).to_string();
    let (created, epoch, address) =
        (created.to_string(), account.epoch.0.to_string(), common.client.address.to_string());
    let (current, next) = (FIRST_CURRENT.to_string(), FIRST_NEXT.to_string());
    let refresh_key = u32::from_be_bytes(common.refresh_key.0).to_string();
    let fields = [
        ["epoch", &epoch],
        ["held", &current],
        ["successor", &next],
        ["successor_key", &refresh_key],
        ["rotated", &created],
        ["created", &created],
        ["expires", &expires],
        ["last_used", &created],
        ["idle", "0"],
        ["address", &address],
        ["user_agent", common.client.user_agent.as_str()],
    ];
    let fields: Vec<_> = ["HSET", &key].into_iter().chain(fields.into_iter().flatten()).collect();
    [
        encode(&fields),
        encode(&["PEXPIRE", &key, &lifetime]),
        encode(&["ZADD", &index, &expires, &session]),
        encode(&["PEXPIRE", &index, &lifetime]),
    ]
    .concat()
}

/// Reads this number of responses, each a line with a number.
async fn read_numbers(reader: &mut (impl AsyncReadExt + Unpin), count: usize) {
    let (mut left, mut bytes, mut is_start) = (count, Vec::with_capacity(64 * 1024), true);
    while left > 0 {
        bytes.clear();
        assert!(reader.read_buf(&mut bytes).await.expect("Redis responds") > 0, "Redis has closed the connection");
        for byte in &bytes {
            assert!(!is_start || *byte == b':', "Redis responds with a number");
            is_start = *byte == b'\n';
            left -= usize::from(is_start);
        }
    }
}
