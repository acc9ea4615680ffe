//! The memory that connections and requests hold: one budget for the process.
//!
//! A connection is charged when it is accepted and as its input arrives, a request when its head has been parsed, and a body
//! before each segment is allocated. No charge waits. When more than three quarters of the limit are held, a charge ends the
//! slowest incomplete bodies of the payer whose bodies hold most, until they hold as much as it takes. If there is none to
//! end, a network that holds a quarter of the limit gets no more: the rest is for other networks.

mod budget;
mod ledger;

pub use self::{
    budget::{IncompleteBody, MemoryShare, RequestBudget},
    ledger::{BudgetExceeded, Payer},
};
