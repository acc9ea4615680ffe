//! The bounded queue between the code that logs and the thread that writes.

use std::{
    mem,
    ops::{Index, IndexMut},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::{Level, Metadata};

use crate::audit::{FREE_LOG_TARGET, LOG_TARGET};

/// The log target of the line of each request, at every level: one client can cause any number of them.
pub const REQUEST_TARGET: &str = "postern::request";

/// How long the first request line waits for others, so that a busy server writes many lines at once, and the thread that
/// handles a request seldom has to wake the one that writes. Other lines are written at once.
const LINGER: Duration = Duration::from_millis(10);

/// Less than the lines of the log have on average.
const TYPICAL_LINE_BYTES: usize = 128;

/// The kind of a line. Each has its own share of the queue, so that none displaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// An audit event that costs its client a password hash, or that no client can repeat.
    Audit,
    /// A warning, an error, or an event of the server itself, such as its stop; never a request.
    Server,
    /// A request, an audit event that costs nothing, or a line of the levels `debug` and `trace`.
    Request,
}

impl LineKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Server, Self::Request];

    /// Returns the kind of the lines of an event.
    pub(super) fn of(event: &Metadata<'_>) -> Self {
        match (event.target(), *event.level()) {
            (LOG_TARGET, _) => Self::Audit,
            // Before the level: a flood of requests that fail is one of warnings.
            (REQUEST_TARGET | FREE_LOG_TARGET, _) | (_, Level::DEBUG | Level::TRACE) => Self::Request,
            _ => Self::Server,
        }
    }

    /// Returns the name, as metrics and the log have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Server => "server",
            Self::Request => "request",
        }
    }

    /// Returns how many bytes of these lines may wait: about 2000 audit events, 1000 warnings or 4000 requests.
    fn max_bytes(self) -> usize {
        match self {
            Self::Audit | Self::Request => 1024 * 1024,
            Self::Server => 512 * 1024,
        }
    }
}

/// A number for each kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineCounts([u64; LineKind::ALL.len()]);

impl LineCounts {
    /// Returns each number with the name of its kind.
    #[must_use]
    pub fn by_name(self) -> [(&'static str, u64); LineKind::ALL.len()] {
        LineKind::ALL.map(|kind| (kind.name(), self[kind]))
    }
}

impl Index<LineKind> for LineCounts {
    type Output = u64;

    fn index(&self, kind: LineKind) -> &u64 {
        &self.0[kind as usize]
    }
}

impl IndexMut<LineKind> for LineCounts {
    fn index_mut(&mut self, kind: LineKind) -> &mut u64 {
        &mut self.0[kind as usize]
    }
}

/// A line of a [`Batch`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub kind: LineKind,
    /// The number of bytes, with the line feed.
    pub length: usize,
}

/// Lines in the order in which they were logged.
pub(super) struct Batch {
    pub bytes: Vec<u8>,
    pub lines: Vec<Line>,
    bytes_of: [usize; LineKind::ALL.len()],
}

impl Batch {
    /// Creates an empty batch with memory for a full one, so that no line waits for an allocation. The system provides the
    /// memory when it is first used.
    pub fn new() -> Self {
        let max_bytes: usize = LineKind::ALL.map(LineKind::max_bytes).iter().sum();
        let lines = Vec::with_capacity(max_bytes / TYPICAL_LINE_BYTES);
        Self { bytes: Vec::with_capacity(max_bytes), lines, bytes_of: Default::default() }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.bytes_of = Default::default();
    }

    /// Adds a line. Returns false if the lines of its kind have used up their share.
    fn add(&mut self, kind: LineKind, line: &[u8]) -> bool {
        let used = self.bytes_of[kind as usize] + line.len();
        let fits = used <= kind.max_bytes();
        if fits {
            self.bytes_of[kind as usize] = used;
            self.bytes.extend_from_slice(line);
            self.lines.push(Line { kind, length: line.len() });
        }
        fits
    }

    /// Returns whether the batch should be written without waiting for further lines: it has other lines than those of
    /// requests, or half of what they may have.
    fn is_due(&self) -> bool {
        let requests = self.bytes_of[LineKind::Request as usize];
        requests < self.bytes.len() || requests >= LineKind::Request.max_bytes() / 2
    }
}

/// Lines that wait to be written. Adding one takes a lock that is never held during a write.
pub(super) struct LineQueue {
    state: Mutex<QueueState>,
    /// Signals the writer: there are lines to write.
    pending: Condvar,
    /// Signals [`Self::wait_until_written`].
    written: Condvar,
    dropped: [AtomicU64; LineKind::ALL.len()],
}

struct QueueState {
    waiting: Batch,
    writer: WriterState,
    /// Whether the process ends, and lines are written without delay.
    is_finishing: bool,
}

/// What the thread that writes is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    /// It waits for a line.
    Idle,
    /// It has seen the line of a request, and waits for further ones.
    Lingering,
    /// It is about to take the lines, or is writing those that it has taken.
    Writing,
}

impl LineQueue {
    pub fn new() -> Self {
        let state = QueueState { waiting: Batch::new(), writer: WriterState::Idle, is_finishing: false };
        Self { state: Mutex::new(state), pending: Condvar::new(), written: Condvar::new(), dropped: Default::default() }
    }

    /// Adds a line, which ends with its only line feed, or drops and counts it. Never waits for the reader of the log.
    pub fn add(&self, kind: LineKind, line: &[u8]) {
        let mut state = self.state.lock();
        let is_added = state.waiting.add(kind, line);
        let must_wake = match state.writer {
            WriterState::Idle => true,
            WriterState::Lingering => state.waiting.is_due(),
            WriterState::Writing => false,
        };
        if must_wake {
            state.writer = WriterState::Writing;
        }
        drop(state);
        if must_wake {
            self.pending.notify_one();
        }
        if !is_added {
            self.count_dropped(kind, 1);
        }
    }

    /// Counts lines that were not written.
    pub fn count_dropped(&self, kind: LineKind, lines: u64) {
        self.dropped[kind as usize].fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns how many lines were dropped since the start.
    pub fn dropped(&self) -> LineCounts {
        let mut counts = LineCounts::default();
        for kind in LineKind::ALL {
            counts[kind] = self.dropped[kind as usize].load(Ordering::Relaxed);
        }
        counts
    }

    /// Waits for lines, and exchanges them for those in `batch`, which have been written. Only for the thread that writes.
    pub fn take(&self, batch: &mut Batch) {
        batch.clear();
        let mut state = self.state.lock();
        while state.waiting.bytes.is_empty() {
            state.writer = WriterState::Idle;
            self.written.notify_all();
            self.pending.wait(&mut state);
        }
        if !state.waiting.is_due() && !state.is_finishing {
            state.writer = WriterState::Lingering;
            self.pending.wait_for(&mut state, LINGER);
        }
        state.writer = WriterState::Writing;
        mem::swap(&mut state.waiting, batch);
    }

    /// Waits until every line is written, at most for `limit`.
    pub fn wait_until_written(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        state.is_finishing = true;
        self.pending.notify_one();
        let is_unwritten =
            |state: &mut QueueState| state.writer != WriterState::Idle || !state.waiting.bytes.is_empty();
        self.written.wait_while_until(&mut state, is_unwritten, deadline);
    }
}
