//! Users in a database of PostgreSQL.

use std::borrow::Cow;

use tokio::sync::mpsc;

use super::{
    columns::{Candidate, ColumnOptions, Columns, Eligibility, find_table},
    error::ImportError,
    rows::{Batch, ROWS, SourceRow, SourceUser},
};
use crate::store::postgres::{PostgresUrl, UserColumns, UserRows, UserTable, UserTables};

/// The table of allauth, and its columns.
const ADDRESSES: &str = "account_emailaddress";
const ADDRESS_COLUMNS: [&str; 3] = ["user_id", "email", "verified"];

/// Finds the table and its columns, and starts to read. Returns the number of rows.
pub(super) async fn open(
    url: &PostgresUrl,
    options: &ColumnOptions,
    channel: mpsc::Sender<Batch>,
) -> Result<u64, ImportError> {
    let database = UserTables::connect(url).await?;
    let tables = database.list().await.map_err(ImportError::Source)?;
    let candidates: Vec<_> = tables.iter().map(candidate).collect();
    let table = &tables[find_table(&candidates, options)?];
    let columns = Columns::find(&table.columns, table.key.as_deref(), options)?;
    columns.print_note();
    let is_addresses = |other: &&UserTable| {
        let has = |column: &&str| other.columns.iter().any(|name| name == column);
        other.name == ADDRESSES && other.schema == table.schema && ADDRESS_COLUMNS.iter().all(has)
    };
    let addresses = tables.iter().find(is_addresses);
    // The foreign key of allauth is the primary key, even if `--id-column` names another column.
    let key = table.key.as_deref().unwrap_or(&columns.id);
    let selected = UserColumns {
        columns: columns.all(),
        addresses: addresses.map(|addresses| (key, columns.email.as_str(), addresses)),
    };
    check_privileges(&database, table, &selected.columns).await?;
    if let Some(addresses) = addresses {
        check_privileges(&database, addresses, &ADDRESS_COLUMNS).await?;
    }
    let total = database.count(table).await.map_err(ImportError::Source)?;
    let rows = database.rows(table, &selected).await.map_err(ImportError::Source)?;
    tokio::spawn(async move { send(rows, &columns, &channel).await });
    Ok(total)
}

async fn check_privileges(database: &UserTables, table: &UserTable, columns: &[&str]) -> Result<(), ImportError> {
    match database.role_without_privilege(table, columns).await.map_err(ImportError::Source)? {
        None => Ok(()),
        Some(role) => Err(ImportError::Privilege { table: format!("{}.{}", table.schema, table.name), role }),
    }
}

fn candidate(table: &UserTable) -> Candidate<'_> {
    let qualified = format!("{}.{}", table.schema, table.name);
    // Among tables of one name, the name alone stands for the one that SQL finds.
    let names = if table.is_visible { vec![table.name.clone(), qualified] } else { vec![qualified] };
    let eligibility = match (table.is_table, table.is_visible) {
        (true, true) => Eligibility::First,
        (true, false) => Eligibility::Second,
        (false, _) => Eligibility::Never,
    };
    Candidate { names, columns: &table.columns, eligibility }
}

async fn send(mut rows: UserRows, columns: &Columns, channel: &mpsc::Sender<Batch>) {
    let mut number = 0;
    loop {
        let batch = next_batch(&mut rows, columns, &mut number).await;
        let is_last = !batch.as_ref().is_ok_and(|rows| rows.len() == ROWS);
        if channel.send(batch).await.is_err() || is_last {
            return;
        }
    }
}

/// Reads up to [`ROWS`] rows.
async fn next_batch(rows: &mut UserRows, columns: &Columns, number: &mut u64) -> Batch {
    let mut batch: Vec<SourceRow> = Vec::with_capacity(ROWS);
    while batch.len() < ROWS {
        let Some(row) = rows.next().await.map_err(ImportError::Source)? else { break };
        *number += 1;
        let user = SourceUser::read(*number, columns, |column| Ok(rows.bytes(&row, column).map(Cow::Borrowed)));
        let is_address_verified = rows.is_address_verified(&row);
        batch.push(user.map(|user| SourceUser { is_address_verified, ..user }));
    }
    Ok(batch)
}
