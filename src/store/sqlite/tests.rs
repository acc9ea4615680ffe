//! Groups of jobs, and uses of sessions.

use std::{
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
use rusqlite::Transaction;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{DataDirectory, SqliteStore, error::STORE, sessions::record_use};
use crate::{
    clock::{Clock as _, ManualClock, whole_milliseconds},
    model::{Client, Epoch, KeyTag, LiveSession, NewSession, Session, SessionId, UserId},
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

type Work = Box<dyn FnOnce(&Transaction<'_>) -> Result<(), StoreError> + Send>;

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

    async fn held_writer(&self) -> Held {
        let (guard, running, work) = hold();
        tokio::spawn(self.write(work));
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

    fn touch(&self, session: &Session) -> Call<Option<LiveSession>> {
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

/// Queues a job without waiting for it.
fn queued<T>(mut call: Call<T>) -> Call<T> {
    assert!((&mut call).now_or_never().is_none(), "the thread is held");
    call
}

/// Returns a job that reads the notes, reports that it runs, and waits.
fn hold() -> (Held, oneshot::Receiver<()>, Work) {
    let (release, gate) = mpsc::channel();
    let (started, running) = oneshot::channel();
    let work = move |transaction: &Transaction<'_>| {
        notes(transaction)?;
        started.send(()).expect("the test waits");
        let _ = gate.recv();
        Ok(())
    };
    (Held(release), running, Box::new(work))
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
    let first = queued(fixture.write(insert(1)));
    let failing = queued(fixture.write(|transaction| {
        insert(2)(transaction)?;
        Err::<(), _>(StoreError::rejected(STORE, "on purpose"))
    }));
    let panicking = queued(fixture.write(|transaction| -> Result<(), _> {
        insert(3)(transaction)?;
        panic!("a panic on purpose")
    }));
    let last = queued(fixture.write(insert(4)));

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
    let mut first = queued(fixture.write(insert(1)));
    let (second_guard, running, work) = hold();
    let second = queued(fixture.write(work));

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
    let first = queued(fixture.write(insert(1)));
    let orphan = queued(fixture.sql("INSERT INTO notes (id, parent) VALUES (2, 99)"));
    let rejected = queued(fixture.sql("INSERT INTO notes (id) VALUES ('text')"));

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
    let first = queued(fixture.write(insert(1)));
    // As SQLite does at some errors of the disk.
    let ending = queued(fixture.sql("ROLLBACK"));
    let last = queued(fixture.write(insert(2)));

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
    let gone = queued(fixture.write(insert(1)));
    let waiting = queued(fixture.write(insert(2)));

    drop(gone);
    drop(held);

    assert_eq!(waiting.await, Ok(()));
    assert_eq!(fixture.notes().await, Ok(vec![2]));
}

#[tokio::test]
async fn caller_who_goes_during_the_group_is_not_written_for() {
    let fixture = Fixture::new().await;
    let held = fixture.held_writer().await;
    let (first_guard, running, work) = hold();
    let first = queued(fixture.write(work));
    let gone = queued(fixture.write(insert(1)));
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
    let (guard, running, work) = hold();
    let reading = queued(fixture.read(work));
    running.await.expect("the reader runs");
    fixture.write(insert(1)).await.expect("a response");

    let read = queued(fixture.notes());
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
    assert_eq!(LiveSession::from(&fixture.recorded(&session).await), used);
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
    let listed = fixture.store.list(session.user, &time()).await.expect("a response");
    assert_eq!(listed.iter().map(LiveSession::from).collect::<Vec<_>>(), [used]);
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
