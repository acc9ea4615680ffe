//! Users and sessions in the embedded store.

use std::{path::Path, sync::Arc};

use postern::{
    clock::{SystemClock, unix_ms},
    model::{FIRST_CURRENT, FIRST_NEXT},
    store::sqlite::DataDirectory,
};
use rusqlite::{Connection, Transaction, params};

use super::{Account, Common, LIFETIME, NAME};

const INSERT_USER: &str = "INSERT INTO users (id, email, name, password, has_password, standing, epoch, created)
    VALUES (?, ?, ?, ?, true, 'active', ?, ?)";

const INSERT_SESSION: &str = "INSERT INTO sessions (user, id, epoch, held, successor, successor_key, rotated, created,
    expires, last_used, address, user_agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Creates the store, and inserts all users and sessions in one transaction.
pub fn insert(directory: &Path, accounts: &[Account], common: &Common) {
    let data = DataDirectory::open(directory).expect("a directory");
    let lock = data.lock().expect("no server uses it");
    drop(data.store(&lock, Arc::new(SystemClock)).expect("the store opens"));
    let mut connection = Connection::open(directory.join("postern.db")).expect("the file of the store");
    let transaction = connection.transaction().expect("a transaction");
    insert_all(&transaction, accounts, common).expect("valid SQL");
    transaction.commit().expect("the disk has space");
}

fn insert_all(transaction: &Transaction<'_>, accounts: &[Account], common: &Common) -> rusqlite::Result<()> {
    let created = unix_ms(common.created);
    let expires = created + i64::try_from(LIFETIME.as_millis()).expect("a day");
    let mut user = transaction.prepare(INSERT_USER)?;
    let mut session = transaction.prepare(INSERT_SESSION)?;
    for account in accounts {
        let (id, epoch) = (account.user.0.as_bytes(), account.epoch.0);
        user.execute(params![id, account.email, NAME, common.password, epoch, created])?;
        session.execute(params![
            id,
            account.session.0.as_bytes(),
            epoch,
            FIRST_CURRENT.cast_signed(),
            FIRST_NEXT.cast_signed(),
            common.refresh_key.0,
            created,
            created,
            expires,
            created,
            common.client.address.to_string(),
            common.client.user_agent.as_str(),
        ])?;
    }
    Ok(())
}
