//! What a connection is doing, and how long it may go on with that.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker, ready},
};

use tokio::time::{Duration, Instant, sleep_until};

use super::patience::{Over, Patience};
use crate::http::HeadError;

/// How long a first byte, or the rest of a head, may be on its way before that counts against the connection where places
/// are scarce.
const GRACE: Duration = Duration::from_secs(1);

/// Why a connection may give way to another one; the last reason is the best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// It has begun to send a head a while ago.
    SlowHead,
    /// It has no request.
    Idle,
    /// It has never had one.
    Silent,
}

/// What is known of one connection. Who reads, who answers and who waits share it.
#[derive(Debug)]
pub struct Watch {
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    heard: Heard,
    has_asked: bool,
    /// Since when no request is under way.
    quiet_since: Instant,
    /// Since when something is arriving that is not whole yet.
    arriving_since: Option<Instant>,
    /// Since when the client does not take what is written.
    blocked_since: Option<Instant>,
    parting: Parting,
    /// Since when what comes is read for the client's sake alone.
    lingering_since: Option<Instant>,
    /// Requests whose answers have not been taken.
    under_way: usize,
    /// When one of them came or was answered last.
    moved: Instant,
    /// What was made of the heads that hyper has not handed over yet.
    heads: VecDeque<Option<HeadError>>,
    is_late: bool,
    is_displaced: bool,
    waker: Option<Waker>,
}

/// What a connection has been heard to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Http1,
    Http2,
}

/// Whether the connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    NotYet,
    WithAnAnswer,
    Since(Instant),
}

/// A request whose answer has not been taken.
pub struct UnderWay(Arc<Watch>);

impl UnderWay {
    /// Whether its answer shall be the connection's last.
    pub fn is_last(&self) -> bool {
        self.0.state().parting != Parting::NotYet
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.moved = Instant::now();
        state.quiet_since = state.moved;
    }
}

impl Watch {
    /// A connection that has just been made.
    pub fn new(patience: Patience) -> Self {
        let now = Instant::now();
        let state = State {
            heard: Heard::Nothing,
            has_asked: false,
            quiet_since: now,
            arriving_since: None,
            blocked_since: None,
            parting: Parting::NotYet,
            lingering_since: None,
            under_way: 0,
            moved: now,
            heads: VecDeque::new(),
            is_late: false,
            is_displaced: false,
            waker: None,
        };
        Self { patience, state: Mutex::new(state) }
    }

    /// The handshake is done: the first byte has its time from now.
    pub fn shook_hands(&self) {
        self.state().quiet_since = Instant::now();
    }

    /// HTTP/2 is spoken.
    pub fn speaks_http2(&self) {
        self.state().heard = Heard::Http2;
    }

    /// Whether something is arriving that is not whole yet.
    pub fn arriving(&self, is_arriving: bool) {
        let mut state = self.state();
        if state.heard == Heard::Nothing {
            // Until it turns out to be the preface of the other one.
            state.heard = Heard::Http1;
        }
        if !is_arriving {
            state.arriving_since = None;
        } else if state.arriving_since.is_none() {
            state.arriving_since = Some(Instant::now());
        }
    }

    /// Until the client has asked something. To be awaited beside the work, which is what wakes it.
    pub async fn asked(&self) {
        poll_fn(|_| if self.state().has_asked { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Until nothing has come for as long as a client may take that means to go on, and nothing is under way.
    pub async fn quiet(&self) {
        let due = || self.state().resting_since() + self.patience.parting;
        while due() > Instant::now() {
            sleep_until(due()).await;
        }
    }

    /// Whether a head has taken too long, so that this is to be answered in its place.
    pub fn is_late(&self) -> bool {
        self.state().is_late
    }

    /// A head is whole, or not to be taken: the next request that hyper hands over is it.
    pub fn head(&self, bad: Option<HeadError>) {
        let mut state = self.state();
        state.arriving_since = None;
        state.heads.push_back(bad);
    }

    /// A request has been handed over, and is under way until what is returned is dropped; with what was made of its head.
    pub fn request(self: &Arc<Self>) -> (UnderWay, Option<HeadError>) {
        let mut state = self.state();
        state.under_way += 1;
        state.has_asked = true;
        state.moved = Instant::now();
        let bad = state.heads.pop_front().flatten();
        (UnderWay(Arc::clone(self)), bad)
    }

    /// Whether the client takes what is written.
    pub fn blocked(&self, is_blocked: bool) {
        self.state().blocked_since = is_blocked.then(Instant::now);
    }

    /// The connection shall end with its next answer.
    pub fn part(&self) {
        let mut state = self.state();
        if state.parting == Parting::NotYet {
            state.parting = Parting::WithAnAnswer;
        }
    }

    /// The connection shall end once it is quiet.
    pub fn leave(&self) {
        self.state().parting = Parting::Since(Instant::now());
    }

    /// What comes from now on is not looked at.
    pub fn linger(&self) {
        self.state().lingering_since = Some(Instant::now());
    }

    /// Why the connection may give way to another one, and for how long that has been so.
    pub fn yields(&self) -> Option<(Claim, Duration)> {
        self.state().yields()
    }

    /// Asks the connection to give way, if it still may.
    pub fn displace(&self) {
        let mut state = self.state();
        state.is_displaced = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Does the work of the connection for as long as it may go on.
    ///
    /// # Errors
    /// Where it may not.
    pub async fn attend<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Result<T, Over> {
        let mut timer = pin!(sleep_until(self.state().due(&self.patience).0));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(Ok(done));
                }
                // Only now: what has arrived until now counts.
                let (due, over) = self.state().next(&self.patience, context.waker())?;
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                ready!(timer.as_mut().poll(context));
                if !self.answers_late(over) {
                    return Poll::Ready(Err(over));
                }
            }
        })
        .await
    }

    /// Whether the client shall be told that its head is late: once, and in HTTP/1.
    fn answers_late(&self, over: Over) -> bool {
        let mut state = self.state();
        let answers = over == Over::SlowHead && state.heard == Heard::Http1 && !state.is_late;
        state.is_late |= answers;
        answers
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Since when nothing has been under way: since now, where something is. A head that arrives counts from its beginning:
    /// one that never ends shall not hold up the end of the server.
    fn resting_since(&self) -> Instant {
        if self.under_way > 0 || !self.heads.is_empty() {
            return Instant::now();
        }
        self.arriving_since.map_or(self.quiet_since, |since| since.max(self.quiet_since))
    }

    fn yields(&self) -> Option<(Claim, Duration)> {
        if self.under_way > 0 || !self.heads.is_empty() {
            return None;
        }
        let quiet = self.quiet_since.elapsed();
        match self.arriving_since {
            Some(since) => Some((Claim::SlowHead, since.elapsed().min(quiet))).filter(|(_, slow)| *slow >= GRACE),
            None if !self.has_asked && quiet >= GRACE => Some((Claim::Silent, quiet)),
            None => Some((Claim::Idle, quiet)),
        }
    }

    /// When the connection is over, and why, if nothing changes until then.
    fn next(&mut self, patience: &Patience, waker: &Waker) -> Result<(Instant, Over), Over> {
        if self.is_displaced && self.yields().is_some() {
            return Err(Over::Displaced);
        }
        self.is_displaced = false;
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Ok(self.due(patience))
    }

    fn due(&self, patience: &Patience) -> (Instant, Over) {
        let lingering = self.lingering_since.map(|since| (since + patience.linger, Over::Lingered));
        let blocked = self.blocked_since.map(|since| (since + patience.request, Over::Stalled));
        let doing = self.doing(patience);
        lingering.into_iter().chain(blocked).fold(doing, |first, other| if other.0 < first.0 { other } else { first })
    }

    fn doing(&self, patience: &Patience) -> (Instant, Over) {
        match self.arriving_since {
            // Streams do not wait for each other, and all that comes is read.
            Some(since) if self.heard == Heard::Http2 => return (since + patience.head, Over::SlowHead),
            // What comes during another request is read when that is answered.
            Some(since) if self.under_way == 0 => {
                return (since.max(self.quiet_since) + patience.head, Over::SlowHead);
            }
            _ => {}
        }
        if self.under_way > 0 || !self.heads.is_empty() {
            // The answer has its own time; then the client has as much to take it.
            return (self.moved + 2 * patience.request, Over::Stalled);
        }
        match (self.parting, self.heard) {
            (Parting::Since(since), _) => (since.max(self.quiet_since) + patience.head, Over::Idle),
            (_, Heard::Nothing) => (self.quiet_since + patience.first_byte, Over::Silent),
            // HTTP/2 has much to say before a request.
            _ if !self.has_asked => (self.quiet_since + patience.head, Over::SlowHead),
            _ => (self.quiet_since + patience.idle, Over::Idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn aged(prepare: impl FnOnce(&Arc<Watch>), age_ms: u64) -> Option<(Claim, Duration)> {
        let watch = Arc::new(Watch::new(Patience::of(Duration::from_secs(10), Duration::from_secs(75))));
        prepare(&watch);
        tokio::time::advance(Duration::from_millis(age_ms)).await;
        watch.yields()
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_give_way_first_then_who_idles_and_then_slow_heads_the_longest_before_others() {
        let answered = |watch: &Arc<Watch>| {
            watch.arriving(true);
            watch.head(None);
            drop(watch.request());
        };
        let mut claims = [
            aged(|watch| watch.arriving(true), 5000).await,
            aged(answered, 100).await,
            aged(answered, 60_000).await,
            aged(|_| {}, 900).await,
            aged(|_| {}, 1000).await,
            aged(|_| {}, 4000).await,
        ];

        claims.sort();

        let in_order = claims.map(|claim| claim.map(|(claim, age)| (claim, age.as_millis())));
        assert_eq!(
            in_order,
            [
                Some((Claim::SlowHead, 5000)),
                Some((Claim::Idle, 100)),
                Some((Claim::Idle, 900)),
                Some((Claim::Idle, 60_000)),
                Some((Claim::Silent, 1000)),
                Some((Claim::Silent, 4000)),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_with_a_request_or_a_head_that_has_just_begun() {
        let with_request = |watch: &Arc<Watch>| {
            watch.head(None);
            std::mem::forget(watch.request());
        };

        assert_eq!(aged(with_request, 60_000).await, None);
        assert_eq!(aged(|watch| watch.head(None), 60_000).await, None);
        assert_eq!(aged(|watch| watch.arriving(true), 900).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_a_second_after_its_last_answer() {
        let watch = Arc::new(Watch::new(Patience::of(Duration::from_secs(10), Duration::from_secs(75))));
        watch.head(None);
        let (under_way, _) = watch.request();
        assert!(tokio::time::timeout(Duration::from_mins(1), watch.quiet()).await.is_err(), "a request is under way");
        drop(under_way);
        let answered = Instant::now();

        watch.quiet().await;

        assert_eq!(answered.elapsed().as_millis(), 1000);
    }
}
