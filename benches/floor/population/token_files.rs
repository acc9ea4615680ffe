//! Files of tokens.

use std::{fs, path::Path, sync::Arc, thread};

use postern::{
    clock::{Clock as _, SystemClock},
    keys::LiveKeyring,
    model::{FIRST_NEXT, KeyTag},
    tokens::{AccessFormat, AccessTokens, RefreshClaims, RefreshTokens},
};
use time::OffsetDateTime;

use super::{Account, LIFETIME, TokenFiles};

/// Issues tokens of a server with default settings.
pub struct Keys {
    access: AccessTokens,
    refresh: RefreshTokens,
}

impl Keys {
    pub fn open(directory: &Path) -> Self {
        let keys = Arc::new(LiveKeyring::open(directory).expect("keys"));
        let named = || "postern".to_owned();
        let access = AccessTokens::new(Arc::clone(&keys), AccessFormat::Paseto, named(), named());
        Self { access: access.expect("short tokens"), refresh: RefreshTokens::new(keys) }
    }

    pub fn refresh_key(&self) -> KeyTag {
        self.refresh.active_key()
    }

    fn access_token(&self, account: &Account, now: OffsetDateTime) -> String {
        self.access.issue(account.user, account.session, now, now + LIFETIME)
    }

    fn refresh_token(&self, account: &Account, counter: u64) -> String {
        let claims = RefreshClaims { user: account.user, session: account.session, counter };
        self.refresh.issue(claims, self.refresh_key())
    }
}

/// Writes the files. Refresh tokens are in the order in which rotation issues them.
pub fn write(files: &TokenFiles, accounts: &[&Account], keys: &Keys) {
    let now = SystemClock.now();
    let account = |number: usize| accounts[number % accounts.len()];
    let access = lines(files.access, |number| keys.access_token(account(number), now));
    let token_bytes = access.iter().position(|byte| *byte == b'\n').unwrap_or_default();
    let refresh = lines(files.refresh, |number| {
        keys.refresh_token(account(number), FIRST_NEXT + (number / accounts.len()) as u64)
    });
    // Padded to the length of an access token, so that the requests have the same length.
    let floor = lines(accounts.len(), |number| {
        let Account { user, session, .. } = account(number);
        format!("{:x<token_bytes$}", format!("{user}.{session}."))
    });
    fs::create_dir_all(&files.directory).expect("a directory");
    for (name, lines) in [("access", access), ("refresh", refresh), ("floor", floor)] {
        fs::write(files.directory.join(name), lines).expect("a file");
    }
}

/// Returns lines of equal length, computed on all processors.
fn lines(count: usize, line: impl Fn(usize) -> String + Sync) -> Vec<u8> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (line, each) = (&line, count.div_ceil(threads));
    thread::scope(|scope| {
        let part = |start: usize| {
            scope.spawn(move || {
                let lines = (start..(start + each).min(count)).map(line);
                lines.flat_map(|line| (line + "\n").into_bytes()).collect::<Vec<_>>()
            })
        };
        let parts: Vec<_> = (0..threads).map(|thread| part(thread * each)).collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    })
}
