//! Uses of sessions that are being recorded while nobody waits for it.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tracing::debug;

use super::job::Reply;
use crate::{model::SessionId, store::StoreError};

/// How many uses may wait for the writer thread, a quarter of its queue. Beyond that a use is not recorded; the next
/// request of its session tries again.
const MAX_USES: usize = 1024;

/// The sessions whose use is queued, so that concurrent requests of a session queue one write.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionUses(Arc<Mutex<HashSet<SessionId>>>);

impl SessionUses {
    /// Adds a session until the returned value is dropped. Returns `None` if it is there already, or if there are
    /// [`MAX_USES`].
    pub(super) fn begin(&self, session: SessionId) -> Option<QueuedUse> {
        let mut sessions = self.0.lock();
        let is_new = sessions.len() < MAX_USES && sessions.insert(session);
        is_new.then(|| QueuedUse { session, uses: self.clone() })
    }
}

/// A use that is queued. It is recorded even if the request that made it is gone.
#[derive(Debug)]
pub(super) struct QueuedUse {
    session: SessionId,
    uses: SessionUses,
}

impl Drop for QueuedUse {
    fn drop(&mut self) {
        self.uses.0.lock().remove(&self.session);
    }
}

impl<T> Reply<T> for QueuedUse {
    fn is_abandoned(&self) -> bool {
        false
    }

    fn send(self, outcome: Result<T, StoreError>) {
        if let Err(error) = outcome {
            log_unrecorded(&error, self.session);
        }
    }
}

/// Logs that a use is not recorded. The session can be used nevertheless.
pub(super) fn log_unrecorded(error: &StoreError, session: SessionId) {
    debug!(%error, session = %session, "failed to record the use of a session");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_queued_once_until_it_is_recorded() {
        let (uses, session) = (SessionUses::default(), SessionId::random());
        let first = uses.begin(session).expect("the first");

        assert!(uses.begin(session).is_none());
        drop(first);
        assert!(uses.begin(session).is_some());
    }

    #[test]
    fn queued_uses_are_limited() {
        let uses = SessionUses::default();
        let queued: Vec<_> = (0..MAX_USES).filter_map(|_| uses.begin(SessionId::random())).collect();

        assert_eq!(queued.len(), MAX_USES);
        assert!(uses.begin(SessionId::random()).is_none());
    }
}
