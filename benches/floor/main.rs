//! The floor program: the baseline for requests that use a session. Also fills stores for measurements.
//!
//!     cargo bench --bench floor -- fill keys=DIRECTORY files=DIRECTORY users=NUMBER [token-users=NUMBER] [access=NUMBER]
//!                                       [refresh=NUMBER] (database=URL redis=URL | data=DIRECTORY)
//!     cargo bench --bench floor -- serve database=URL redis=URL [lanes=NUMBER]
//!
//! `fill` stores users with a session each, and writes files of tokens for 10,000 of them: one of each kind for each user, if no
//! numbers of access tokens and of refresh tokens are given. `serve` prints its address and
//! serves until it is stopped. Without arguments, or with `--test`, it fills the stores of `scripts/with-stores` with a few
//! users, and serves each kind of request once.

#[path = "../speed/common_headers.rs"]
mod common_headers;
mod population;
mod server;
mod sessions;
mod signature;
mod trial;
mod users;

use std::{collections::HashMap, io, path::PathBuf};

use population::{Population, StoreAddresses, TokenFiles};
use server::Lanes;
use tokio::net::TcpListener;

/// The connections to each store. With 1, 3 and 4, the rate was 0.90, 1.00 and 0.86 of that with 2 (64 connections of wrk, two
/// processors).
const DEFAULT_LANES: usize = 2;

/// The number of users that have tokens.
const TOKEN_USERS: usize = 10_000;

/// The arguments after the command: `NAME=VALUE`.
struct Options(HashMap<String, String>);

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let pairs = arguments.filter_map(|argument| {
        let (name, value) = argument.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let options = Options(pairs.collect());
    match command.as_deref() {
        Some("fill") => options.population().fill().await,
        Some("serve") => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("http://{}", listener.local_addr()?);
            let lanes = Lanes(options.number("lanes", DEFAULT_LANES));
            server::serve(listener, options.text("database"), options.text("redis"), lanes).await?;
        }
        _ => trial::run().await,
    }
    Ok(())
}

impl Options {
    fn population(&self) -> Population {
        let stores = match self.0.get("data") {
            Some(directory) => StoreAddresses::Embedded(directory.into()),
            None => StoreAddresses::Servers {
                database: self.text("database").to_owned(),
                redis: self.text("redis").to_owned(),
            },
        };
        let users = self.number("users", TOKEN_USERS);
        let token_users = self.number("token-users", users.min(TOKEN_USERS));
        let files = TokenFiles {
            directory: PathBuf::from(self.text("files")),
            users: token_users,
            access: self.number("access", token_users),
            refresh: self.number("refresh", token_users),
        };
        Population { users, stores, keys: PathBuf::from(self.text("keys")), files }
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("missing argument {name}=…"))
    }

    fn number(&self, name: &str, default: usize) -> usize {
        let parse =
            |text: &String| text.parse().unwrap_or_else(|_| panic!("invalid {name}=`{text}`: expected a number"));
        self.0.get(name).map_or(default, parse)
    }
}
