//! A shared connection that reconnects with backoff.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::error::StoreError;
use crate::clock::jittered;

/// The time from the start of the first attempt to the start of the next one. It doubles with each attempt.
const INITIAL_BACKOFF: Duration = Duration::from_millis(25);

/// The longest time between the starts of two attempts: a fraction of the time that a request has for its store calls,
/// so that the next request reaches a store that has recovered.
const MAX_BACKOFF: Duration = Duration::from_millis(250);

/// A shared connection that is opened on demand and reconnects with backoff.
///
/// While there is no connection, all callers wait for the same attempts. An attempt starts after the backoff even if
/// the one before hangs: a packet that a broken network lost gets no response after the network has recovered.
pub(super) struct SharedConnection<C> {
    connect: Connect<C>,
    state: Arc<watch::Sender<ConnectionState<C>>>,
    responses: AtomicU64,
}

type Connect<C> = Box<dyn Fn() -> BoxFuture<'static, Result<C, StoreError>> + Send + Sync>;

struct ConnectionState<C> {
    open: Option<Open<C>>,
    /// The number of attempts started.
    started: u64,
    /// The number of attempts started since the last response.
    started_since_response: u32,
    /// When the next attempt may start.
    next_attempt: Instant,
    /// The failed attempt that started last.
    failure: Option<ConnectFailure>,
}

struct ConnectFailure {
    attempt: u64,
    error: StoreError,
}

/// A connection that was open when [`SharedConnection::open`] returned it.
#[derive(Clone)]
pub(super) struct Open<C> {
    pub(super) connection: C,
    attempt: u64,
}

impl<C: Clone + Send + Sync + 'static> SharedConnection<C> {
    /// Creates a shared connection that `connect` opens on demand. `connect` must have a time limit.
    pub(super) fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<C, StoreError>> + Send + 'static,
    {
        let state = ConnectionState {
            open: None,
            started: 0,
            started_since_response: 0,
            next_attempt: Instant::now(),
            failure: None,
        };
        let state = Arc::new(watch::Sender::new(state));
        Self { connect: Box::new(move || Box::pin(connect())), state, responses: AtomicU64::new(0) }
    }

    /// Returns the connection. If there is none, waits for one, or for the failure of an attempt that started after the
    /// call.
    ///
    /// # Errors
    /// Returns the error of that attempt.
    pub(super) async fn open(&self) -> Result<Open<C>, StoreError> {
        let mut state = self.state.subscribe();
        let before = state.borrow().started;
        loop {
            let next_attempt = {
                let state = state.borrow_and_update();
                if let Some(open) = &state.open {
                    return Ok(open.clone());
                }
                if let Some(failure) = state.failure.as_ref().filter(|failure| failure.attempt > before) {
                    return Err(failure.error.clone());
                }
                state.next_attempt
            };
            tokio::select! {
                biased;
                _ = state.changed() => {}
                () = sleep_until(next_attempt) => self.start_attempt(),
            }
        }
    }

    /// Records that a response came over the connection, which resets the backoff.
    pub(super) fn record_response(&self) {
        self.responses.fetch_add(1, Ordering::Relaxed);
        if self.state.borrow().started_since_response > 0 {
            self.state.send_if_modified(|state| {
                state.started_since_response = 0;
                false
            });
        }
    }

    /// Returns the number of responses, from which a call that timed out learns whether others got one meanwhile.
    pub(super) fn responses(&self) -> u64 {
        self.responses.load(Ordering::Relaxed)
    }

    /// Discards a connection. Returns whether it was the current one.
    pub(super) fn invalidate(&self, discarded: &Open<C>) -> bool {
        self.state.send_if_modified(|state| {
            let is_current = state.open.as_ref().is_some_and(|open| open.attempt == discarded.attempt);
            if is_current {
                state.open = None;
            }
            is_current
        })
    }

    /// Returns whether there is a connection now.
    pub(super) fn is_open(&self) -> bool {
        self.state.borrow().open.is_some()
    }

    /// Returns the number of callers that wait for a connection.
    pub(super) fn waiting(&self) -> usize {
        if self.is_open() { 0 } else { self.state.receiver_count() }
    }

    /// Starts an attempt, if one is due.
    ///
    /// The attempt is a separate task: a request with too little time left would otherwise cancel each attempt it
    /// starts.
    fn start_attempt(&self) {
        let mut due = None;
        self.state.send_if_modified(|state| {
            due = state.start_attempt();
            false
        });
        let Some(attempt) = due else { return };
        let (connecting, state) = ((self.connect)(), Arc::clone(&self.state));
        tokio::spawn(async move {
            let outcome = connecting.await;
            state.send_modify(|state| state.end_attempt(attempt, outcome));
        });
    }
}

impl<C> ConnectionState<C> {
    /// Returns the number of the attempt to start now, if one is due.
    fn start_attempt(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.open.is_some() || self.next_attempt > now {
            return None;
        }
        self.next_attempt = now + jittered(backoff_after(self.started_since_response));
        self.started_since_response = self.started_since_response.saturating_add(1);
        self.started += 1;
        Some(self.started)
    }

    fn end_attempt(&mut self, attempt: u64, outcome: Result<C, StoreError>) {
        match outcome {
            Ok(connection) if self.open.is_none() => self.open = Some(Open { connection, attempt }),
            Ok(_) => {}
            Err(error) => {
                if self.failure.as_ref().is_none_or(|failure| failure.attempt < attempt) {
                    self.failure = Some(ConnectFailure { attempt, error });
                }
            }
        }
    }
}

fn backoff_after(attempts: u32) -> Duration {
    2_u32.checked_pow(attempts).map_or(MAX_BACKOFF, |factor| INITIAL_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF))
}

/// The error of a store call, which says whether a retry may help.
pub(super) enum CallError {
    /// The connection broke: a retry on another one may succeed.
    Connection(StoreError),
    /// The store did not run the call, because a prepared statement was stale: a retry on another connection may succeed, and
    /// is safe even if the call is not idempotent.
    NotRun(StoreError),
    /// Another user has the email that the call was to write. The call had no effect.
    EmailTaken(StoreError),
    /// Any other error.
    Other(StoreError),
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Connection(error)
            | CallError::NotRun(error)
            | CallError::EmailTaken(error)
            | CallError::Other(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicU32, Ordering},
    };

    use futures_util::{FutureExt as _, future::join_all};
    use parking_lot::Mutex;
    use tokio::time::advance;

    use super::*;

    /// A fake store that counts the attempts to connect to it.
    #[derive(Default)]
    struct Store {
        attempts: AtomicU32,
        behavior: Mutex<Behavior>,
    }

    #[derive(Default, Clone, Copy)]
    enum Behavior {
        #[default]
        Accepts,
        Refuses,
        Hangs,
    }

    impl Store {
        fn connection(self: &Arc<Self>) -> SharedConnection<u32> {
            let store = Arc::clone(self);
            SharedConnection::new(move || {
                let number = store.attempts.fetch_add(1, Ordering::SeqCst) + 1;
                let behavior = *store.behavior.lock();
                async move {
                    match behavior {
                        Behavior::Accepts => Ok(number),
                        Behavior::Refuses => Err(StoreError::unavailable("store", "refused")),
                        Behavior::Hangs => pending().await,
                    }
                }
            })
        }

        fn set(&self, behavior: Behavior) {
            *self.behavior.lock() = behavior;
        }

        fn attempts(&self) -> u32 {
            self.attempts.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_callers_share_one_connection() {
        let store = Arc::new(Store::default());
        let connection = store.connection();

        let opened = join_all((0..10).map(|_| connection.open())).await;

        assert!(opened.iter().all(|open| open.as_ref().is_ok_and(|open| open.connection == 1)));
        assert_eq!(store.attempts(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn reconnects_at_once_after_a_response_and_else_after_a_backoff() {
        let store = Arc::new(Store::default());
        let connection = store.connection();
        let first = connection.open().await.expect("the store accepts");
        connection.record_response();
        advance(MAX_BACKOFF * 2).await;

        connection.invalidate(&first);
        let second = connection.open().now_or_never();
        assert!(second.is_none(), "a separate task opens it");
        tokio::task::yield_now().await;
        let second = connection.open().now_or_never().expect("it is open").expect("the store accepts");
        connection.invalidate(&first);
        assert!(connection.is_open(), "a later connection stays when an earlier one is discarded");

        connection.invalidate(&second);
        assert!(connection.open().now_or_never().is_none());
        tokio::task::yield_now().await;
        assert!(connection.open().now_or_never().is_none());
        assert_eq!(connection.open().await.expect("the store accepts").connection, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_back_off_regardless_of_the_number_of_callers() {
        let store = Arc::new(Store::default());
        store.set(Behavior::Refuses);
        let connection = store.connection();
        let started = Instant::now();

        let mut rounds = 0;
        while started.elapsed() < Duration::from_secs(10) {
            rounds += 1;
            assert!(rounds <= 100, "the attempts do not back off");
            let outcomes = join_all((0..100).map(|_| connection.open())).await;
            assert!(outcomes.iter().all(Result::is_err));
        }

        // 25, 50, 100 and 200 ms, then 250 ms, ±10 %.
        let attempts = store.attempts();
        assert!((4 + 35..=4 + 44).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn recovered_store_is_reached_within_the_maximum_backoff() {
        for outage in [Behavior::Refuses, Behavior::Hangs] {
            let store = Arc::new(Store::default());
            store.set(outage);
            let connection = store.connection();
            let _ = tokio::time::timeout(Duration::from_mins(1), connection.open()).await;
            for _ in 0..10 {
                let _ = tokio::time::timeout(Duration::from_secs(1), connection.open()).await;
            }

            store.set(Behavior::Accepts);
            let started = Instant::now();
            connection.open().await.expect("the store has recovered");

            assert!(started.elapsed() <= jittered(MAX_BACKOFF) * 2, "{:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failure_before_the_call_is_not_returned() {
        let store = Arc::new(Store::default());
        store.set(Behavior::Refuses);
        let connection = store.connection();
        assert!(connection.open().await.is_err());

        store.set(Behavior::Accepts);

        assert!(connection.open().await.is_ok());
    }
}
