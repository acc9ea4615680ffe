//! Tables of another program in PostgreSQL, from which users are imported.

use std::{collections::HashMap, pin::Pin};

use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_postgres::{
    Client, Row, RowStream,
    types::{FromSql, Type},
};

use super::{
    connector::PostgresConnector,
    error::SchemaError,
    url::{CONNECT_TIMEOUT, PostgresUrl},
};
use crate::store::StoreError;

const TABLES: &str = include_str!("../../../sql/postgres/queries/import.tables.sql");

/// One snapshot for all reads, and no writes. Times and floats are written in the form that every version of PostgreSQL has.
const SET_UP: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET statement_timeout = '6h'; \
                      BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The tables of a database, in one snapshot.
pub struct UserTables {
    client: Client,
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTable {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// Whether the name alone stands for this table.
    pub is_visible: bool,
    /// Whether it is a table, not a view.
    pub is_table: bool,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The column of the primary key, if the key has one column.
    pub key: Option<String>,
}

/// The columns to read from a table.
pub struct UserColumns<'names> {
    /// The names of the columns.
    pub columns: Vec<&'names str>,
    /// The columns of the key and the email, and the table with verified addresses (`user_id`, `email`, `verified`), if any.
    pub addresses: Option<(&'names str, &'names str, &'names UserTable)>,
}

impl UserTables {
    /// Connects to a database that nothing is written to; a standby will do.
    ///
    /// # Errors
    /// Returns [`SchemaError`] if PostgreSQL does not respond.
    pub async fn connect(url: &PostgresUrl) -> Result<Self, SchemaError> {
        let connector = PostgresConnector::new(&url.clone().for_reading())?;
        let connected = timeout(CONNECT_TIMEOUT, connector.connect()).await.map_err(|_| SchemaError::NoResponse)?;
        let (client, _) = connected?;
        client.batch_execute(SET_UP).await?;
        Ok(Self { client })
    }

    /// Returns the tables and views, except those of PostgreSQL itself.
    ///
    /// # Errors
    /// Returns [`StoreError`] if PostgreSQL fails.
    pub async fn list(&self) -> Result<Vec<UserTable>, StoreError> {
        let table = |row: &Row| {
            Ok(UserTable {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
                is_visible: row.try_get("is_visible")?,
                is_table: row.try_get("is_table")?,
                columns: row.try_get("columns")?,
                key: row.try_get("key")?,
            })
        };
        self.client.query(TABLES, &[]).await?.iter().map(table).collect()
    }

    /// Returns the number of rows of a table.
    ///
    /// # Errors
    /// Returns [`StoreError`] if PostgreSQL fails.
    pub async fn count(&self, table: &UserTable) -> Result<u64, StoreError> {
        let row = self.client.query_one(&format!("SELECT count(*) FROM {}", table.quoted()), &[]).await?;
        Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
    }

    /// Returns the role of the connection if it may not read these columns.
    ///
    /// # Errors
    /// Returns [`StoreError`] if PostgreSQL fails.
    pub async fn role_without_privilege(
        &self,
        table: &UserTable,
        columns: &[&str],
    ) -> Result<Option<String>, StoreError> {
        const PRIVILEGES: &str = "SELECT current_user::text, bool_and(has_column_privilege($1::text, name, 'SELECT')) \
                                  FROM unnest($2::text[]) AS columns (name)";
        let row = self.client.query_one(PRIVILEGES, &[&table.quoted(), &columns]).await?;
        Ok(if row.try_get(1)? { None } else { Some(row.try_get(0)?) })
    }

    /// Reads the rows of a table. The verified addresses are joined once, not looked up for each user: Django has no index for
    /// such a search.
    ///
    /// # Errors
    /// Returns [`StoreError`] if PostgreSQL fails, or if a privilege is missing.
    pub async fn rows(self, table: &UserTable, columns: &UserColumns<'_>) -> Result<UserRows, StoreError> {
        let texts = columns.columns.iter().map(|name| format!("users.{}::text", quoted(name)));
        let (verified, join) = columns.addresses.map_or_else(
            || ("false", String::new()),
            |(key, email, addresses)| {
                // The column `verified` is a boolean, or an integer in a database that was converted from another one.
                let join = format!(
                    " LEFT JOIN (SELECT DISTINCT user_id::text AS user_id, lower(email) AS email FROM {} \
                     WHERE verified::text IN ('t', 'true', '1')) AS addresses \
                     ON addresses.user_id = users.{}::text AND addresses.email = lower(users.{})",
                    addresses.quoted(),
                    quoted(key),
                    quoted(email)
                );
                ("addresses.user_id IS NOT NULL", join)
            },
        );
        let selected: Vec<_> = texts.chain([verified.to_owned()]).collect();
        let query = format!("SELECT {} FROM {} AS users{join}", selected.join(", "), table.quoted());
        let positions = columns.columns.iter().enumerate().map(|(position, name)| ((*name).to_owned(), position));
        let stream = self.client.query_raw(&query, std::iter::empty::<&str>()).await?;
        Ok(UserRows { _tables: self, stream: Box::pin(stream), positions: positions.collect() })
    }
}

impl UserTable {
    fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// Returns a quoted identifier (PostgreSQL documentation, section 4.1.1).
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows of a table, as a stream.
pub struct UserRows {
    _tables: UserTables,
    stream: Pin<Box<RowStream>>,
    positions: HashMap<String, usize>,
}

impl UserRows {
    /// Returns the next row.
    ///
    /// # Errors
    /// Returns [`StoreError`] if PostgreSQL fails.
    pub async fn next(&mut self) -> Result<Option<UserRow>, StoreError> {
        Ok(self.stream.next().await.transpose()?.map(UserRow))
    }

    /// Returns the bytes of a column, or `None` for NULL or a column that is not read.
    #[must_use]
    pub fn bytes<'row>(&self, row: &'row UserRow, column: &str) -> Option<&'row [u8]> {
        let position = *self.positions.get(column)?;
        row.0.try_get::<_, Option<Bytes<'row>>>(position).ok().flatten().map(|Bytes(bytes)| bytes)
    }

    /// Returns whether a verified address is the email of the user.
    #[must_use]
    pub fn is_address_verified(&self, row: &UserRow) -> bool {
        row.0.try_get(self.positions.len()).unwrap_or_default()
    }
}

/// A row of a table.
pub struct UserRow(Row);

/// A value as PostgreSQL sent it: a database with the encoding `SQL_ASCII` may contain text that is not UTF-8.
struct Bytes<'row>(&'row [u8]);

impl<'row> FromSql<'row> for Bytes<'row> {
    fn from_sql(_: &Type, raw: &'row [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
