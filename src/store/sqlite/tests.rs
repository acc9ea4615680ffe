//! Groups of jobs, and uses of sessions.

use std::{
    fs,
    net::Ipv4Addr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use rusqlite::{Connection, Transaction};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{DataDirectory, SqliteStore, error::STORE, schema, sessions::record_use};
use crate::{
    clock::{Clock as _, ManualClock, whole_milliseconds},
    model::{Client, Epoch, KeyTag, NewSession, Session, SessionId, UserId},
    store::{SessionStore as _, StoreError, TimeBudget},
};

const MINUTE: Duration = Duration::from_mins(1);

struct Fixture {
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
    _directory: TempDir,
}

/// A thread of the store that waits in a job until this is dropped.
struct Held(#[expect(dead_code, reason = "the job waits until it is dropped")] mpsc::Sender<()>);

type Call<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

impl Fixture {
    /// A store with an empty table of notes.
    async fn new() -> Self {
        let (temporary, clock) =
            (tempfile::tempdir().expect("a temporary directory"), Arc::new(ManualClock::default()));
        let directory = DataDirectory::open(temporary.path()).expect("a directory");
        let lock = directory.lock().expect("no other server");
        let store = directory.store(&lock, Arc::clone(&clock) as Arc<_>).expect("an empty directory can be opened");
        let fixture = Self { store: Arc::new(store), clock, _directory: temporary };
        let table = "CREATE TABLE notes (id INTEGER PRIMARY KEY, number INTEGER, \
                     parent INTEGER REFERENCES notes DEFERRABLE INITIALLY DEFERRED)";
        fixture.sql(table).await.expect("valid SQL");
        fixture
    }

    fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Call<T> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.read(&time(), job).await })
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Call<T> {
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.write(&time(), job).await })
    }

    fn sql(&self, text: &'static str) -> Call<()> {
        self.write(move |transaction| transaction.execute_batch(text).map_err(StoreError::from))
    }

    fn notes(&self) -> Call<Vec<i64>> {
        self.read(notes)
    }

    /// Queues a job without waiting for it.
    fn queued<T>(&self, mut call: Call<T>) -> Call<T> {
        assert!((&mut call).now_or_never().is_none(), "the thread is held");
        call
    }

    async fn held_writer(&self) -> Held {
        let (guard, hold) = hold();
        let (started, running) = oneshot::channel();
        tokio::spawn(self.write(hold(started)));
        running.await.expect("the job runs");
        guard
    }

    async fn opened(&self, idle: Option<Duration>) -> Session {
        let (user, epoch) = (UserId::new(self.clock.now()), Epoch::random());
        let new = NewSession {
            id: SessionId::random(),
            user,
            epoch,
            next_key: KeyTag([0; 4]),
            lifetime: 60 * MINUTE,
            idle,
            max_sessions: 10,
            valid_epoch: epoch,
            surviving_session: None,
            client: Client::new(Ipv4Addr::LOCALHOST.into(), "curl"),
        };
        self.store.open(&new, &time()).await.expect("a response").session
    }

    fn touch(&self, session: &Session) -> Call<Option<Session>> {
        let (store, user, id) = (Arc::clone(&self.store), session.user, session.id);
        Box::pin(async move { store.touch(user, id, &time()).await })
    }

    async fn recorded(&self, session: &Session) -> Session {
        // What was queued before has been written when this is.
        self.sql("").await.expect("a response");
        self.store.list(session.user, &time()).await.expect("a response").remove(0)
    }
}

fn time() -> TimeBudget {
    TimeBudget::new(MINUTE)
}

/// Returns a job that reads the notes, reports that it runs, and waits.
fn hold()
-> (Held, impl FnOnce(oneshot::Sender<()>) -> Box<dyn FnOnce(&Transaction<'_>) -> Result<(), StoreError> + Send>) {
    let (release, gate) = mpsc::channel();
    let job = move |started: oneshot::Sender<()>| {
        let job = move |transaction: &Transaction<'_>| {
            notes(transaction)?;
            started.send(()).expect("the test waits");
            let _ = gate.recv();
            Ok(())
        };
        Box::new(job) as Box<_>
    };
    (Held(release), job)
}

fn notes(transaction: &Transaction<'_>) -> Result<Vec<i64>, StoreError> {
    let mut statement = transaction.prepare_cached("SELECT id FROM notes ORDER BY id")?;
    let notes = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>();
    Ok(notes?)
}

fn insert(id: i64) -> impl FnOnce(&Transaction<'_>) -> Result<(), StoreError> + Send + 'static {
    move |transaction| Ok(transaction.execute("INSERT INTO notes (id) VALUES (?1)", [id]).map(drop)?)
}

#[tokio::test]
async fn job_that_fails_or_panics_fails_only_itself() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let first = fixture.queued(fixture.write(insert(1)));
    let failing = fixture.queued(fixture.write(|transaction| {
        insert(2)(transaction)?;
        Err::<(), _>(StoreError::rejected(STORE, "on purpose"))
    }));
    let panicking = fixture.queued(fixture.write(|transaction| -> Result<(), _> {
        insert(3)(transaction)?;
        panic!("a panic on purpose")
    }));
    let last = fixture.queued(fixture.write(insert(4)));

    drop(held);

    assert_eq!(first.await, Ok(()));
    assert_eq!(failing.await, Err(StoreError::rejected(STORE, "on purpose")));
    assert_eq!(panicking.await, Err(StoreError::unavailable(STORE, "the job panicked")));
    assert_eq!(last.await, Ok(()));
    assert_eq!(fixture.notes().await, Ok(vec![1, 4]));
}

#[tokio::test]
async fn group_is_acknowledged_after_its_commit() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let mut first = fixture.queued(fixture.write(insert(1)));
    let (second_guard, hold_second) = hold();
    let (started, running) = oneshot::channel();
    let second = fixture.queued(fixture.write(hold_second(started)));

    drop(held);
    running.await.expect("the second job runs");

    assert!((&mut first).now_or_never().is_none());
    assert_eq!(fixture.notes().await, Ok(vec![]));
    drop(second_guard);
    assert_eq!((first.await, second.await), (Ok(()), Ok(())));
    assert_eq!(fixture.notes().await, Ok(vec![1]));
}

#[tokio::test]
async fn failed_commit_fails_its_whole_group() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let first = fixture.queued(fixture.write(insert(1)));
    let orphan = fixture.queued(fixture.sql("INSERT INTO notes (id, parent) VALUES (2, 99)"));
    let rejected = fixture.queued(fixture.sql("INSERT INTO notes (id) VALUES ('text')"));

    drop(held);

    let (first, orphan, rejected) = (first.await.expect_err("no commit"), orphan.await, rejected.await);
    assert!(first.to_string().contains("FOREIGN KEY"), "{first}");
    assert_eq!(orphan, Err(first));
    assert!(rejected.is_err_and(|error| error.to_string().contains("datatype mismatch")));
    assert_eq!(fixture.notes().await, Ok(vec![]));
    assert_eq!(fixture.write(insert(3)).await, Ok(()));
}

#[tokio::test]
async fn lost_transaction_fails_the_jobs_that_ran_in_it() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let first = fixture.queued(fixture.write(insert(1)));
    // As SQLite does at some errors of the disk.
    let ending = fixture.queued(fixture.sql("ROLLBACK"));
    let last = fixture.queued(fixture.write(insert(2)));

    drop(held);

    let rolled_back = StoreError::unavailable(STORE, "the transaction was rolled back");
    assert_eq!((first.await, ending.await), (Err(rolled_back.clone()), Err(rolled_back)));
    assert_eq!(last.await, Ok(()));
    assert_eq!(fixture.notes().await, Ok(vec![2]));
}

#[tokio::test]
async fn job_of_a_gone_caller_takes_no_effect() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let gone = fixture.queued(fixture.write(insert(1)));
    let waiting = fixture.queued(fixture.write(insert(2)));

    drop(gone);
    drop(held);

    assert_eq!(waiting.await, Ok(()));
    assert_eq!(fixture.notes().await, Ok(vec![2]));
}

#[tokio::test]
async fn caller_who_goes_during_the_group_is_not_written_for() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let (first_guard, hold_first) = hold();
    let (started, running) = oneshot::channel();
    let first = fixture.queued(fixture.write(hold_first(started)));
    let gone = fixture.queued(fixture.write(insert(1)));
    drop(held);
    running.await.expect("the first job runs");

    drop(gone);
    drop(first_guard);

    assert_eq!(first.await, Ok(()));
    assert_eq!(fixture.notes().await, Ok(vec![]));
}

#[tokio::test]
async fn read_joins_no_transaction_that_has_begun() {
    let fixture = Fixture::new().await;
    let (guard, hold) = hold();
    let (started, running) = oneshot::channel();
    let reading = fixture.queued(fixture.read(hold(started)));
    running.await.expect("the reader runs");
    fixture.write(insert(1)).await.expect("a response");

    let read = fixture.queued(fixture.notes());
    drop(guard);

    assert_eq!((reading.await, read.await), (Ok(()), Ok(vec![1])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn read_sees_every_write_acknowledged_before_it() {
    const WRITERS: usize = 6;
    const WRITES: i64 = 40;
    let fixture = Arc::new(Fixture::new().await);
    let rows = "INSERT INTO notes (id, number) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)";
    fixture.sql(rows).await.expect("valid SQL");
    let acknowledged: Arc<[AtomicI64; WRITERS]> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (fixture, acknowledged) = (Arc::clone(&fixture), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            for number in 1..=WRITES {
                let update = move |transaction: &Transaction<'_>| {
                    let update = "UPDATE notes SET number = ?1 WHERE id = ?2";
                    Ok(transaction.execute(update, (number, i64::try_from(writer).expect("small")))?)
                };
                assert_eq!(fixture.write(update).await, Ok(1));
                acknowledged[writer].store(number, Ordering::SeqCst);
            }
        });
    }
    for _ in 0..12 {
        let (fixture, acknowledged) = (Arc::clone(&fixture), Arc::clone(&acknowledged));
        tasks.spawn(async move {
            let is_done = || acknowledged.iter().all(|number| number.load(Ordering::SeqCst) == WRITES);
            while !is_done() {
                let before: Vec<i64> = acknowledged.iter().map(|number| number.load(Ordering::SeqCst)).collect();
                let numbers = |transaction: &Transaction<'_>| {
                    let mut statement = transaction.prepare_cached("SELECT number FROM notes ORDER BY id")?;
                    let numbers: Result<Vec<i64>, _> = statement.query_map([], |row| row.get(0))?.collect();
                    Ok(numbers?)
                };
                let found = fixture.read(numbers).await.expect("a response");
                assert!(found.iter().zip(&before).all(|(found, before)| found >= before), "{found:?} after {before:?}");
            }
        });
    }

    tokio::time::timeout(2 * MINUTE, tasks.join_all()).await.expect("in time");
}

#[tokio::test]
async fn use_without_an_idle_limit_is_recorded_without_waiting() {
    let fixture = Fixture::new().await;
    let session = fixture.opened(None).await;
    fixture.clock.advance(2 * MINUTE);
    let held = fixture.held_writer().await;

    let used = fixture.touch(&session).await.expect("a response").expect("a session");

    assert!(used.last_used - session.last_used >= 2 * MINUTE);
    assert!(fixture.store.uses().begin(session.id).is_none(), "it is queued");
    drop(held);
    assert_eq!(fixture.recorded(&session).await, used);
    assert!(fixture.store.uses().begin(session.id).is_some());
}

#[tokio::test]
async fn use_with_an_idle_limit_is_recorded_before_the_response() {
    let fixture = Fixture::new().await;
    let session = fixture.opened(Some(5 * MINUTE)).await;
    fixture.clock.advance(2 * MINUTE);
    let held = fixture.held_writer().await;
    let mut touch = pin!(fixture.touch(&session));
    // The read is not held, so its response is awaited first.
    tokio::time::timeout(Duration::from_millis(100), &mut touch).await.expect_err("it waits for the write");

    drop(held);

    let used = touch.await.expect("a response").expect("a session");
    assert!(used.last_used - session.last_used >= 2 * MINUTE);
    assert_eq!(fixture.store.list(session.user, &time()).await, Ok(vec![used]));
}

#[tokio::test]
async fn late_use_does_not_revive_a_session() {
    let fixture = Fixture::new().await;
    let session = fixture.opened(Some(5 * MINUTE)).await;
    fixture.clock.advance(4 * MINUTE);
    let held = fixture.held_writer().await;
    let mut touch = pin!(fixture.touch(&session));
    tokio::time::timeout(Duration::from_millis(100), &mut touch).await.expect_err("it waits for the write");

    fixture.clock.advance(2 * MINUTE);
    drop(held);

    assert_eq!(touch.await, Ok(None));
    assert_eq!(fixture.touch(&session).await, Ok(None));
}

#[tokio::test]
async fn last_use_never_goes_back() {
    let fixture = Fixture::new().await;
    let session = fixture.opened(None).await;
    let (later, earlier) = (session.created + 3 * MINUTE, session.created + 2 * MINUTE);
    for last_used in [later, earlier] {
        let (used, now) = (Session { last_used, ..session.clone() }, whole_milliseconds(fixture.clock.now()));
        fixture.write(move |transaction| record_use(transaction, &used, now)).await.expect("a response");
    }

    assert_eq!(fixture.recorded(&session).await.last_used, later);
}

/// Only commands list all users or audit events, or end the sessions of all users.
#[test]
fn no_query_of_a_request_scans_a_table() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = temporary.path().join("postern.db");
    let mut connection = schema::connect(&path).expect("an empty file");
    schema::migrate_schema(&mut connection, &path).expect("the latest version");

    let mut scans = Vec::new();
    for file in fs::read_dir("sql/sqlite/queries").expect("a directory") {
        let file = file.expect("a file");
        let query = fs::read_to_string(file.path()).expect("a text");
        if plan(&connection, &query).iter().any(|step| step.starts_with("SCAN")) {
            scans.push(file.file_name().into_string().expect("a name"));
        }
    }

    scans.sort();
    assert_eq!(scans, ["audit.list.sql", "users.end_all_sessions.sql", "users.list.sql"]);
}

fn plan(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).expect("valid SQL");
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("a plan") {
        steps.push(row.get("detail").expect("a step"));
    }
    steps
}
