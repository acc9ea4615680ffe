//! The activity of a connection, and the deadlines that follow from it.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, Waker, ready},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Duration, Instant, sleep_until};

use super::limits::ConnectionTimeouts;

/// How long a connection may be without its first byte, within a request head, or with unread responses, before it can be
/// evicted for that.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The most requests of an HTTP/2 connection that its client may reset before their response, unless it lets at least half
/// of all requests complete. h2 itself limits only resets of streams that hyper has not accepted yet, and each reset may
/// cost a store its connection.
const MAX_ABANDONED: u64 = 100;

/// The most responses of an HTTP/2 connection to requests that were not admitted, and that its client has not read. They are
/// part of what the connection is charged.
const MAX_REJECTING: usize = 8;

/// Why a connection may be evicted, the best reason last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionPriority {
    /// Its client does not read the responses.
    Unread,
    /// Its request head is incomplete.
    SlowHead,
    /// It is between two requests.
    Idle,
    /// It has never sent anything.
    NoFirstByte,
}

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The client has sent nothing.
    #[error("no first byte in time")]
    NoFirstByte,
    /// The client has begun to send a request head, or HTTP/2, and no request has followed.
    #[error("no complete request head in time")]
    SlowHead,
    /// The client has sent no further request.
    #[error("idle")]
    Idle,
    /// The client does not read its responses.
    #[error("response not read in time")]
    Stalled,
    /// Another connection needs the slot.
    #[error("evicted")]
    Evicted,
    /// The client resets most of its requests.
    #[error("too many abandoned requests")]
    Abandoning,
    /// The client is still sending after the last response.
    #[error("input after the last response")]
    Lingered,
}

/// Records the activity of one connection, and closes it when a deadline has passed. Shared by the connection's task, its
/// stream, its responses and the slots.
#[derive(Debug)]
pub struct ConnectionActivity {
    timeouts: ConnectionTimeouts,
    state: Mutex<ActivityState>,
}

#[derive(Debug)]
struct ActivityState {
    is_http2: bool,
    /// Requests so far.
    requests: u64,
    /// Requests that were dropped before hyper had taken their response.
    abandoned: u64,
    /// Requests whose responses hyper has not taken yet.
    in_flight: usize,
    /// Of these, the requests that were not admitted.
    rejecting: usize,
    /// When each response became ready that hyper has not taken yet, with the number of its request.
    ready: BTreeSet<(Instant, u64)>,
    /// When `in_flight` last changed; before the first request, the accept or the end of the TLS handshake.
    last_change: Instant,
    /// When the first byte of an HTTP/1 request head arrived. It stays `None` if that byte was read with the request before:
    /// hyper has both in its buffer.
    head_since: Option<Instant>,
    /// Since when the client does not read.
    blocked_since: Option<Instant>,
    close_mode: CloseMode,
    /// Since when input is read only to be discarded.
    lingering_since: Option<Instant>,
    is_evicted: bool,
    waker: Option<Waker>,
}

/// When the connection is to be closed, its deadlines apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseMode {
    KeepAlive,
    AfterResponse,
    WhenIdle { since: Instant },
}

/// A request in flight: dropped when hyper has taken its whole response.
pub struct InFlight {
    activity: Arc<ConnectionActivity>,
    number: u64,
    is_complete: bool,
    ready_since: Option<Instant>,
    is_rejected: bool,
}

impl InFlight {
    /// Returns whether the connection closes after this request's response.
    pub fn is_last(&self) -> bool {
        self.activity.state().close_mode != CloseMode::KeepAlive
    }

    /// Records that the response is ready, and that only the client can delay it now.
    pub fn responded(&mut self) {
        let now = Instant::now();
        self.ready_since = Some(now);
        self.activity.state().ready.insert((now, self.number));
    }

    /// Records that the request was not admitted. Its response is not charged, so few may be unread: returns whether it is one
    /// too many, and the stream must be reset.
    pub fn rejected(&mut self) -> bool {
        let mut state = self.activity.state();
        if state.is_http2 && state.rejecting >= MAX_REJECTING {
            self.is_complete = true;
            return true;
        }
        state.rejecting += 1;
        self.is_rejected = true;
        false
    }

    /// Records that hyper has taken the response. A request that is dropped before that counts as abandoned.
    pub fn completed(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.in_flight -= 1;
        state.last_change = Instant::now();
        state.rejecting -= usize::from(self.is_rejected);
        if let Some(since) = self.ready_since {
            state.ready.remove(&(since, self.number));
        }
        if !self.is_complete {
            state.abandoned = state.abandoned.saturating_add(1);
            state.wake();
        }
    }
}

impl ConnectionActivity {
    /// Creates the state of a connection that has just been accepted.
    pub fn new(timeouts: ConnectionTimeouts) -> Self {
        let state = ActivityState {
            is_http2: false,
            requests: 0,
            abandoned: 0,
            in_flight: 0,
            rejecting: 0,
            ready: BTreeSet::new(),
            last_change: Instant::now(),
            head_since: None,
            blocked_since: None,
            close_mode: CloseMode::KeepAlive,
            lingering_since: None,
            is_evicted: false,
            waker: None,
        };
        Self { timeouts, state: Mutex::new(state) }
    }

    /// Records the end of the TLS handshake: the first byte has its full time from here.
    pub fn handshake_done(&self) {
        self.state().last_change = Instant::now();
    }

    /// Records that the client speaks HTTP/2.
    pub fn http2_detected(&self) {
        let mut state = self.state();
        state.is_http2 = true;
        state.head_since = None;
    }

    /// Records input. Over HTTP/1, input outside a request is the beginning of a request head, or more of it.
    pub fn bytes_arrived(&self) {
        let mut state = self.state();
        if !state.is_http2 && state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
        }
    }

    /// Records a request that hyper has parsed.
    pub fn request_started(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.requests = state.requests.saturating_add(1);
        state.head_since = None;
        state.last_change = Instant::now();
        let number = state.requests;
        InFlight { activity: Arc::clone(self), number, is_complete: false, ready_since: None, is_rejected: false }
    }

    /// Records that the client does not read its response.
    pub fn write_blocked(&self) {
        self.state().blocked_since = Some(Instant::now());
    }

    /// Records that the client reads its response again.
    pub fn write_resumed(&self) {
        self.state().blocked_since = None;
    }

    /// Records that input is read only to be discarded.
    pub fn lingering(&self) {
        self.state().lingering_since = Some(Instant::now());
    }

    /// Makes the next response the last one.
    pub fn close_after_response(&self) {
        let mut state = self.state();
        if state.close_mode == CloseMode::KeepAlive {
            state.close_mode = CloseMode::AfterResponse;
        }
    }

    /// Closes the connection soon after its last response.
    pub fn close_when_idle(&self) {
        self.state().close_mode = CloseMode::WhenIdle { since: Instant::now() };
    }

    /// Waits for the first request. Only polling the connection beside it wakes the task.
    pub async fn first_request(&self) {
        poll_fn(|_| if self.state().has_had_request() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Waits until the connection has been idle for [`ConnectionTimeouts::closing_idle`].
    pub async fn idle(&self) {
        let due = || self.state().resting_since() + self.timeouts.closing_idle;
        while due() > Instant::now() {
            sleep_until(due()).await;
        }
    }

    /// Returns why the connection may be evicted, and for how long that has been so; `None` if it must not be.
    pub fn eviction_priority(&self) -> Option<(EvictionPriority, Duration)> {
        self.state().eviction_priority()
    }

    /// Returns whether the connection is about to close because it was evicted.
    pub fn is_evicted(&self) -> bool {
        self.state().is_evicted
    }

    /// Closes the connection if it may still be evicted.
    pub fn evict(&self) {
        let mut state = self.state();
        state.is_evicted = true;
        state.wake();
    }

    /// Runs `work` until it is done or the connection's deadline has passed.
    ///
    /// # Errors
    /// The deadline that has passed.
    pub async fn run_until_deadline<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Result<T, CloseReason> {
        let mut timer = pin!(sleep_until(self.state().deadline(&self.timeouts).0));
        poll_fn(|context| {
            // Work first: input that has arrived by now moves the deadline.
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            let (due, reason) = self.state().next_deadline(&self.timeouts, context.waker())?;
            if timer.deadline() > due {
                timer.as_mut().reset(due);
            }
            // Each request moves the deadline twice, mostly further away. The timer follows only when it has elapsed: it is
            // in a structure that all connections share, under a lock.
            if timer.deadline() < due {
                ready!(timer.as_mut().poll(context));
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(context));
            Poll::Ready(Err(reason))
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock()
    }
}

impl ActivityState {
    /// Returns since when no request has been in flight or arriving, or the current time if one is in flight. A head counts
    /// from its first byte, so an unfinished head cannot hold up a shutdown.
    fn resting_since(&self) -> Instant {
        if self.in_flight > 0 { Instant::now() } else { self.head_since.unwrap_or(self.last_change) }
    }

    fn has_had_request(&self) -> bool {
        self.requests > 0
    }

    /// Makes the connection's task look at its deadline again.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn eviction_priority(&self) -> Option<(EvictionPriority, Duration)> {
        if self.in_flight > 0 {
            let unread = self.ready.first()?.0.elapsed();
            return (unread >= EVICTION_GRACE).then_some((EvictionPriority::Unread, unread));
        }
        let resting = self.resting_since().elapsed();
        let priority = match self.head_since {
            Some(_) if resting < EVICTION_GRACE => return None,
            Some(_) => EvictionPriority::SlowHead,
            None if !self.has_had_request() && resting >= EVICTION_GRACE => EvictionPriority::NoFirstByte,
            None => EvictionPriority::Idle,
        };
        Some((priority, resting))
    }

    /// Returns the deadline, unless the connection is evicted. `waker` is woken by an eviction.
    fn next_deadline(
        &mut self,
        timeouts: &ConnectionTimeouts,
        waker: &Waker,
    ) -> Result<(Instant, CloseReason), CloseReason> {
        if self.is_evicted && self.eviction_priority().is_some() {
            return Err(CloseReason::Evicted);
        }
        self.is_evicted = false;
        if self.is_http2 && self.abandoned > MAX_ABANDONED && self.abandoned > self.requests / 2 {
            return Err(CloseReason::Abandoning);
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Ok(self.deadline(timeouts))
    }

    /// Returns the earliest deadline.
    fn deadline(&self, timeouts: &ConnectionTimeouts) -> (Instant, CloseReason) {
        let lingering = self.lingering_since.map(|since| (since + timeouts.linger, CloseReason::Lingered));
        let blocked = self.blocked_since.map(|since| (since + timeouts.request, CloseReason::Stalled));
        let request = self.request_deadline(timeouts);
        lingering.into_iter().chain(blocked).fold(request, |first, other| if other.0 < first.0 { other } else { first })
    }

    fn request_deadline(&self, timeouts: &ConnectionTimeouts) -> (Instant, CloseReason) {
        if self.in_flight > 0 {
            // The service ends each request in `timeouts.request`. The client has as long again to read the response, whatever
            // happens to its other requests.
            let all = self.last_change + 2 * timeouts.request;
            let oldest = self.ready.first().map(|(since, _)| *since + timeouts.request);
            return (oldest.map_or(all, |oldest| oldest.min(all)), CloseReason::Stalled);
        }
        if let CloseMode::WhenIdle { since } = self.close_mode {
            // Over HTTP/2, the client must acknowledge the PING that follows the first GOAWAY.
            let limit = if self.is_http2 { timeouts.head } else { timeouts.closing_idle };
            return (since.max(self.last_change) + limit, CloseReason::Idle);
        }
        match self.head_since {
            Some(since) => (since + timeouts.head, CloseReason::SlowHead),
            None if self.has_had_request() => (self.last_change + timeouts.idle, CloseReason::Idle),
            // Over HTTP/2, the preface and SETTINGS come before the first request.
            None if self.is_http2 => (self.last_change + timeouts.head, CloseReason::SlowHead),
            None => (self.last_change + timeouts.first_byte, CloseReason::NoFirstByte),
        }
    }
}

#[cfg(test)]
mod tests;
