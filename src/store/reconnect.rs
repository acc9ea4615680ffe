//! The way to a store: shared by all who ask it, and made anew when it is lost, without a stampede.

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

/// From the beginning of the first attempt to that of the next one. Each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// The longest pause: a fraction of the time that requests have for their store calls, so that a store which is back is
/// met within the next one.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A connection that is made when it is wanted. While there is none, attempts to make one begin after pauses that grow, one
/// at a time but for those that hang: what was sent into a network that swallows everything is not answered when that is
/// mended, and nobody shall wait for it. Everybody who asks meanwhile waits for the same attempts.
pub struct SharedConnection<C> {
    connect: Connect<C>,
    state: Arc<watch::Sender<ConnectionState<C>>>,
    answers: AtomicU64,
}

type Connect<C> = Box<dyn Fn() -> BoxFuture<'static, Result<C, StoreError>> + Send + Sync>;

struct ConnectionState<C> {
    open: Option<Open<C>>,
    /// How many attempts have begun.
    begun: u64,
    /// How many of them since an answer came last.
    unanswered: u32,
    /// When the next one may begin.
    next: Instant,
    /// The attempt that has failed and began last.
    failure: Option<ConnectFailure>,
}

struct ConnectFailure {
    attempt: u64,
    error: StoreError,
}

/// A connection that was open when it was handed out.
#[derive(Clone)]
pub struct Open<C> {
    /// The connection.
    pub connection: C,
    attempt: u64,
}

impl<C: Clone + Send + Sync + 'static> SharedConnection<C> {
    /// A link that is made by `connect` when it is wanted, which must end by itself.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<C, StoreError>> + Send + 'static,
    {
        let state = ConnectionState { open: None, begun: 0, unanswered: 0, next: Instant::now(), failure: None };
        let state = Arc::new(watch::Sender::new(state));
        Self { connect: Box::new(move || Box::pin(connect())), state, answers: AtomicU64::new(0) }
    }

    /// The connection. Where there is none, waits for one, or for the failure of an attempt that has begun since.
    ///
    /// # Errors
    /// That of the attempt.
    pub async fn open(&self) -> Result<Open<C>, StoreError> {
        let mut state = self.state.subscribe();
        let before = state.borrow().begun;
        loop {
            let next = {
                let state = state.borrow_and_update();
                if let Some(open) = &state.open {
                    return Ok(open.clone());
                }
                if let Some(failure) = state.failure.as_ref().filter(|failure| failure.attempt > before) {
                    return Err(failure.error.clone());
                }
                state.next
            };
            tokio::select! {
                biased;
                _ = state.changed() => {}
                () = sleep_until(next) => self.begin_attempt(),
            }
        }
    }

    /// An answer has come over the connection: when it is lost, pauses begin anew with the shortest.
    pub fn has_answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if self.state.borrow().unanswered > 0 {
            self.state.send_if_modified(|state| {
                state.unanswered = 0;
                false
            });
        }
    }

    /// How many answers have come: whoever has waited in vain learns whether others have, too.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// The connection is not to be used again. Returns whether it was the current one.
    pub fn invalidate(&self, lost: &Open<C>) -> bool {
        self.state.send_if_modified(|state| {
            let is_current = state.open.as_ref().is_some_and(|open| open.attempt == lost.attempt);
            if is_current {
                state.open = None;
            }
            is_current
        })
    }

    /// Whether there is a connection now.
    pub fn is_open(&self) -> bool {
        self.state.borrow().open.is_some()
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        if self.is_open() { 0 } else { self.state.receiver_count() }
    }

    /// Begins an attempt, unless somebody else has.
    ///
    /// It is a task of its own: a request that has less time left than that takes would only ever begin.
    fn begin_attempt(&self) {
        let mut due = None;
        self.state.send_if_modified(|state| {
            due = state.begin_attempt();
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
    /// The number of the attempt that is to begin now, if it is time for one.
    fn begin_attempt(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.open.is_some() || self.next > now {
            return None;
        }
        self.next = now + jittered(pause_after(self.unanswered));
        self.unanswered = self.unanswered.saturating_add(1);
        self.begun += 1;
        Some(self.begun)
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

fn pause_after(attempts: u32) -> Duration {
    2_u32.checked_pow(attempts).map_or(LONGEST_PAUSE, |factor| FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE))
}

/// Why a store did not do what it was asked.
pub enum CallError {
    /// The connection was no more, and another one may do better.
    Connection(StoreError),
    /// Anything else.
    Other(StoreError),
}

impl From<CallError> for StoreError {
    fn from(broken: CallError) -> Self {
        match broken {
            CallError::Connection(error) | CallError::Other(error) => error,
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
    use tokio::time::advance;

    use parking_lot::Mutex;

    use super::*;

    /// A store, as a link meets it: how often it was tried, and what comes of an attempt.
    #[derive(Default)]
    struct Store {
        attempts: AtomicU32,
        answer: Mutex<Answer>,
    }

    #[derive(Default, Clone, Copy)]
    enum Answer {
        #[default]
        Accepts,
        Refuses,
        Hangs,
    }

    impl Store {
        fn link(self: &Arc<Self>) -> SharedConnection<u32> {
            let store = Arc::clone(self);
            SharedConnection::new(move || {
                let number = store.attempts.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = *store.answer.lock();
                async move {
                    match answer {
                        Answer::Accepts => Ok(number),
                        Answer::Refuses => Err(StoreError::unavailable("store", "refused")),
                        Answer::Hangs => pending().await,
                    }
                }
            })
        }

        fn now(&self, answer: Answer) {
            *self.answer.lock() = answer;
        }

        fn attempts(&self) -> u32 {
            self.attempts.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_share_one_connection() {
        let store = Arc::new(Store::default());
        let link = store.link();

        let opened = join_all((0..10).map(|_| link.open())).await;

        assert!(opened.iter().all(|open| open.as_ref().is_ok_and(|open| open.connection == 1)));
        assert_eq!(store.attempts(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_answered_is_replaced_at_once_and_what_has_not_after_a_pause() {
        let store = Arc::new(Store::default());
        let link = store.link();
        let first = link.open().await.expect("it accepts");
        link.has_answered();
        advance(LONGEST_PAUSE * 2).await;

        link.invalidate(&first);
        let second = link.open().now_or_never();
        assert!(second.is_none(), "it is made by a task of its own");
        tokio::task::yield_now().await;
        let second = link.open().now_or_never().expect("it is there").expect("it accepts");
        link.invalidate(&first);
        assert!(link.is_open(), "a later one is not lost with an earlier one");

        link.invalidate(&second);
        assert!(link.open().now_or_never().is_none());
        tokio::task::yield_now().await;
        assert!(link.open().now_or_never().is_none());
        assert_eq!(link.open().await.expect("it accepts").connection, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_refuses_is_tried_less_and_less_often_however_many_ask() {
        let store = Arc::new(Store::default());
        store.now(Answer::Refuses);
        let link = store.link();
        let begun = Instant::now();

        while begun.elapsed() < Duration::from_secs(10) {
            let refused = join_all((0..100).map(|_| link.open())).await;
            assert!(refused.iter().all(Result::is_err));
        }

        // 25, 50, 100 and 200 ms, and then 250, give or take a tenth.
        let attempts = store.attempts();
        assert!((4 + 35..=4 + 44).contains(&attempts), "{attempts}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_back_is_met_within_the_longest_pause_by_whoever_asks_next() {
        for away in [Answer::Refuses, Answer::Hangs] {
            let store = Arc::new(Store::default());
            store.now(away);
            let link = store.link();
            let _ = tokio::time::timeout(Duration::from_mins(1), link.open()).await;
            for _ in 0..10 {
                let _ = tokio::time::timeout(Duration::from_secs(1), link.open()).await;
            }

            store.now(Answer::Accepts);
            let begun = Instant::now();
            link.open().await.expect("it is back");

            assert!(begun.elapsed() <= jittered(LONGEST_PAUSE) * 2, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_told_of_a_failure_that_was_before_they_asked() {
        let store = Arc::new(Store::default());
        store.now(Answer::Refuses);
        let link = store.link();
        assert!(link.open().await.is_err());

        store.now(Answer::Accepts);

        assert!(link.open().await.is_ok());
    }
}
