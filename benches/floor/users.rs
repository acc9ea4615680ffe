//! Users in PostgreSQL, by their ids.

use std::{collections::HashMap, future::Future};

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Connection, NoTls, Row, Socket, tls::NoTlsStream};
use uuid::Uuid;

/// The fields that a signed-in request needs.
pub struct User {
    pub email: String,
    pub name: String,
    pub is_active: bool,
    pub epoch: i64,
    pub created: OffsetDateTime,
}

const BY_IDS: &str = "SELECT id, email, name, standing, epoch, created FROM users WHERE id = ANY($1)";

/// The largest batch. There are fewer connections than that.
const MAX_BATCH: usize = 256;

struct Question {
    id: Uuid,
    reply: oneshot::Sender<Option<User>>,
}

/// Finds users. All that wait while a batch is under way are in the next one.
#[derive(Clone)]
pub struct Users(mpsc::UnboundedSender<Question>);

impl Users {
    /// Connects to this database.
    pub async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let (questions, receiver) = mpsc::unbounded_channel();
        tokio::spawn(drive(client, connection, receiver));
        Ok(Self(questions))
    }

    /// Asks for a user. The question is sent when this function returns; the future waits for the response.
    pub fn by_id(&self, id: Uuid) -> impl Future<Output = Option<User>> + use<> {
        let (reply, response) = oneshot::channel();
        let sent = self.0.send(Question { id, reply });
        async move {
            sent.ok()?;
            response.await.ok()?
        }
    }
}

/// Runs the connection and the batches in one task: no batch wakes another task before it is complete.
async fn drive(
    client: Client,
    connection: Connection<Socket, NoTlsStream>,
    receiver: mpsc::UnboundedReceiver<Question>,
) {
    let (connection, batches) = tokio::join!(connection, find_batches(client, receiver));
    connection.and(batches).expect("PostgreSQL responds");
}

async fn find_batches(
    client: Client,
    mut receiver: mpsc::UnboundedReceiver<Question>,
) -> Result<(), tokio_postgres::Error> {
    let statement = client.prepare(BY_IDS).await?;
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let ids: Vec<Uuid> = batch.iter().map(|question: &Question| question.id).collect();
        let rows = client.query(&statement, &[&ids]).await?;
        let found: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.get(0), row)).collect();
        for Question { id, reply } in batch.drain(..) {
            // The client of a dropped request does not wait any more.
            let _ = reply.send(found.get(&id).map(user));
        }
    }
    Ok(())
}

fn user(row: &Row) -> User {
    User {
        email: row.get(1),
        name: row.get(2),
        is_active: row.get::<_, &str>(3) == "active",
        epoch: row.get(4),
        created: row.get(5),
    }
}
