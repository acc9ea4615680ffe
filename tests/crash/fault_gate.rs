//! A gate in front of both stores that stops the traffic at a chosen point.

use tokio::sync::watch;

use crate::support::{Gate, Side, Verdict};

/// Counts the pieces of all connections, in both directions, and stops one of them.
#[derive(Clone)]
pub struct FaultGate(watch::Sender<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// This many pieces are left, including the one that is stopped.
    Counting(usize, Fate),
    Reached(Fate),
}

/// What happens to the piece that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is held, with everything after it, and never passes.
    Held,
    /// Its connection is closed.
    Cut,
}

impl FaultGate {
    pub fn new() -> Self {
        Self(watch::Sender::new(State::Open))
    }

    /// Holds the piece with this number, counted from 1 from now on.
    pub fn hold_at(&self, number: usize) {
        self.0.send_replace(State::Counting(number, Fate::Held));
    }

    /// Cuts the connection of the piece with this number.
    pub fn cut_at(&self, number: usize) {
        self.0.send_replace(State::Counting(number, Fate::Cut));
    }

    /// Lets everything pass from now on; what is held is lost.
    pub fn open(&self) {
        self.0.send_replace(State::Open);
    }

    pub fn is_reached(&self) -> bool {
        matches!(*self.0.borrow(), State::Reached(_))
    }

    /// Waits until that piece has come.
    pub async fn reached(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|state| matches!(state, State::Reached(_))).await.expect("the gate is there");
    }

    /// Counts a piece, and tells whether it passes by its number.
    fn count(&self) -> bool {
        let mut passes = true;
        self.0.send_if_modified(|state| {
            let State::Counting(left, fate) = *state else { return false };
            passes = left > 1;
            *state = if passes { State::Counting(left - 1, fate) } else { State::Reached(fate) };
            true
        });
        passes
    }
}

impl Gate for FaultGate {
    type Passing = ();

    async fn admit(&self, _: Side, bytes: usize) -> Verdict<()> {
        let closing = Verdict { passing: (), bytes: 0, goes_on: false };
        let passes = self.count();
        let mut state = self.0.subscribe();
        if *state.borrow() != State::Reached(Fate::Held) {
            return if passes { Verdict { bytes, goes_on: true, ..closing } } else { closing };
        }
        state.wait_for(|state| *state != State::Reached(Fate::Held)).await.expect("the gate is there");
        closing
    }

    async fn closes(&self) {
        std::future::pending::<()>().await;
    }
}
