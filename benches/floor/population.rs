//! Fills stores with users who have one session each, and writes files of their tokens.

mod embedded;
mod postgres;
mod redis;
mod token_files;

use std::{path::PathBuf, time::Duration};

use ::time::OffsetDateTime;
use argon2::Argon2;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use postern::{
    clock::{Clock as _, SystemClock},
    model::{Client, Epoch, KeyTag, SessionId, UserId},
};

/// The password of every user.
pub const PASSWORD: &str = "secure_password";

/// How long the sessions last.
const LIFETIME: Duration = Duration::from_hours(24);

/// The name of every user.
const NAME: &str = "Ada Lovelace";

/// A browser's user agent, of which a session stores the first 100 bytes.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// What to fill.
pub struct Population {
    /// The number of users.
    pub users: usize,
    pub stores: StoreAddresses,
    /// The directory of the keys, which must exist.
    pub keys: PathBuf,
    pub files: TokenFiles,
}

/// Where the users and sessions go.
pub enum StoreAddresses {
    /// URLs of PostgreSQL and Redis. The database is created if it does not exist.
    Servers { database: String, redis: String },
    /// The data directory of the embedded store.
    Embedded(PathBuf),
}

/// The files of tokens: `access` and `refresh`, and `floor` with the tokens of the floor program. Each token is a line, and
/// all lines of a file have the same length. The users take turns.
pub struct TokenFiles {
    pub directory: PathBuf,
    /// The number of users that have tokens.
    pub users: usize,
    /// The number of access tokens.
    pub access: usize,
    /// The number of refresh tokens.
    pub refresh: usize,
}

/// A user with a session.
pub struct Account {
    pub user: UserId,
    pub session: SessionId,
    pub epoch: Epoch,
    pub email: String,
}

/// What all users and sessions have in common.
pub struct Common {
    pub created: OffsetDateTime,
    pub password: String,
    pub client: Client,
    pub refresh_key: KeyTag,
}

impl Population {
    /// Fills the stores, then writes the files.
    pub async fn fill(&self) {
        let keys = token_files::Keys::open(&self.keys);
        let created = SystemClock.now();
        let client = Client::new(std::net::Ipv4Addr::LOCALHOST.into(), USER_AGENT);
        let common = Common { created, password: password_hash(), client, refresh_key: keys.refresh_key() };
        let accounts: Vec<_> = (0..self.users).map(|number| Account::new(number, created)).collect();
        match &self.stores {
            StoreAddresses::Servers { database, redis } => {
                postgres::insert(database, &accounts, &common).await;
                redis::open(redis, &accounts, &common).await;
            }
            StoreAddresses::Embedded(directory) => embedded::insert(directory, &accounts, &common),
        }
        let every = (self.users / self.files.users).max(1);
        let chosen: Vec<_> = accounts.iter().step_by(every).take(self.files.users).collect();
        token_files::write(&self.files, &chosen, &keys);
    }
}

impl Account {
    fn new(number: usize, created: OffsetDateTime) -> Self {
        let email = format!("user-{number:07}@example.org");
        Self { user: UserId::new(created), session: SessionId::random(), epoch: Epoch::random(), email }
    }
}

/// Returns the hash of [`PASSWORD`] with the default parameters of Argon2id, which are Postern's.
fn password_hash() -> String {
    let (salt, mut hash) = (b"sixteen bytes of", [0; 32]);
    Argon2::default().hash_password_into(PASSWORD.as_bytes(), salt, &mut hash).expect("valid parameters");
    format!("$argon2id$v=19$m=19456,t=2,p=1${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash))
}
